"""Names of pages are safe and tell everything apart, whatever it is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.site import names

SAFE = re.compile(r"[a-z0-9_][a-z0-9_.~-]*")
ANY = st.one_of(st.text(), st.text("aA.-_~/@+ é\x00", max_size=12), st.from_regex(r"[a-z0-9.-]{1,80}", fullmatch=True))


@given(ANY)
def test_a_name_is_safe(name: str) -> None:
    """As a file on every file system, in an address, as an id: no folder above, no hidden file, not too long."""
    slug = names.slug(name)
    assert SAFE.fullmatch(slug) and ".." not in slug and len(slug) <= 80 and slug != "index"
    assert not slug.endswith(".")
    assert SAFE.fullmatch(names.host_folder(name, f"{name} CPU"))
    assert SAFE.fullmatch(names.place(name))


@given(ANY, ANY)
def test_two_names_are_told_apart(one: str, other: str) -> None:
    """Also where upper and lower case are one."""
    assert (names.slug(one) == names.slug(other)) == (one == other)
    assert (names.place(one) == names.place(other)) == (one == other)
    assert names.place(one, 1) not in (names.place(one), names.place(other))


@pytest.mark.parametrize("name", ["startup.ready", "io-direct.randread-4k.p99", "docker", "ns-all", "1"])
def test_what_is_plain_keeps_its_name(name: str) -> None:
    """So that addresses can be read and typed."""
    assert names.slug(name) == name


@pytest.mark.parametrize("name", ["index", "..", "a..b", ".a", "a.", "Docker", "docker/x", "docker~1", "", "a" * 61])
def test_what_is_not_plain_gets_a_digest(name: str) -> None:
    """And a digest never looks like a plain name."""
    assert re.fullmatch(r"[a-z0-9_-]+~[0-9a-f]{16}", names.slug(name))


def test_machines_of_one_host_id_have_folders_of_their_own() -> None:
    """A host without known hardware is called as its id."""
    assert names.host_folder("host", "host") == "host"
    folders = {names.host_folder("host", f"host CPU {n}") for n in range(3)}
    assert len(folders) == 3 and all(folder.startswith("host~") for folder in folders)
