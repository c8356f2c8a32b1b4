"""Which of the pairs of interfaces are a killed dockerd's own; real ones: tests/contract/test_daemons.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from isobench.daemons.links import chosen, recorded

if TYPE_CHECKING:
    from pathlib import Path

BEFORE = {1, 2, 3}


def pair(index: int, inner: str, outer: str, master: str = "docker0") -> list[dict[str, Any]]:
    """Both ends here, as dockerd has them for a moment."""
    return [
        {"ifindex": index, "ifname": inner, "link": outer},
        {"ifindex": index + 1, "ifname": outer, "link": inner, **({"master": master} if master else {})},
    ]


def moved(index: int, name: str, master: str = "docker0") -> dict[str, Any]:
    """The host's end, where the other is in a container's namespace."""
    return {"ifindex": index, "ifname": name, "link_index": index - 1, "link_netnsid": 0, "master": master}


def test_what_is_in_the_database_is_ours_beside_another_dockerd() -> None:
    """Also on a bridge that was there before; once for each pair."""
    links = [*pair(8, "veth0000001", "veth0000002"), *pair(10, "veth0000003", "veth0000004")]
    assert list(chosen(links, BEFORE, "", {"veth0000001"}, is_alone=False)) == ["veth0000001"]


@pytest.mark.parametrize("master", ["docker0", ""])
def test_a_pair_that_was_not_yet_written_down(master: str) -> None:
    """Ours where no other dockerd can be making it."""
    links = pair(8, "veth0000001", "veth0000002", master)
    assert list(chosen(links, BEFORE, "", (), is_alone=True)) == ["veth0000001"]
    assert list(chosen(links, BEFORE, "", (), is_alone=False)) == []


def test_the_end_of_a_container_that_lives_on() -> None:
    """Ours on the bridge that we made; on another it may be anybody's."""
    links = [moved(8, "veth0000001"), moved(9, "veth0000002", "br0")]
    assert list(chosen(links, BEFORE, "docker0", (), is_alone=True)) == ["veth0000001"]
    assert list(chosen(links, BEFORE, "", (), is_alone=True)) == []
    assert list(chosen(links, BEFORE, "docker0", (), is_alone=False)) == []


def test_what_was_there_before_or_has_another_name_is_nobodys() -> None:
    """Whatever else speaks for it."""
    links = [*pair(2, "veth0000001", "veth0000002"), *pair(8, "veth-a", "veth-b"), moved(10, "veth12345678")]
    assert list(chosen(links, BEFORE, "docker0", {"veth0000001", "veth-a"}, is_alone=True)) == []


def test_the_database(tmp_path: Path) -> None:
    """Pages of JSON; there may be none."""
    assert recorded(tmp_path) == set()
    (tmp_path / "network/files").mkdir(parents=True)
    page = b'\xed\x0c\xda\xed{"id":"1","SrcName":"veth00ab12f","nid":"2"}\0\0{"SrcName":"eth0"}'
    (tmp_path / "network/files/local-kv.db").write_bytes(page)
    assert recorded(tmp_path) == {"veth00ab12f"}
