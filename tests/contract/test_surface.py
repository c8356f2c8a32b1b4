"""Which system calls real instances let through."""

from __future__ import annotations

import json

import pytest

from isobench.environments._signatures import ANY, POLICY
from isobench.images.seccomp import DENIED
from isobench.scenarios.surface import Surface
from tests.contract.opening import GUEST, inner, opened

ALWAYS = {"bpf", "mount", "kexec_load", "init_module", "unshare", "swapon"}
"""Denied by every version of Docker's default profile."""


def _names(facts: dict[str, str], what: str) -> set[str]:
    return set(facts[f"calls.{what}"].split(", ")) - {"none"}


def _facts(name: str) -> dict[str, str]:
    with opened(name) as sandbox:
        return dict(Surface().facts(sandbox))


@pytest.mark.root
def test_the_filter_made_by_hand_denies_what_it_was_made_from() -> None:
    """Exactly that, clone3 among it, which it says is absent."""
    facts = _facts("ns-all+seccomp")
    assert facts["calls.profile"] == "as documented"
    assert ALWAYS | {"clone3"} <= _names(facts, "denied") <= DENIED
    assert not _names(facts, "unknown")


@pytest.mark.root
def test_without_a_filter_the_kernel_refuses_who_lacks_a_capability() -> None:
    """Nothing is denied; fewer capabilities are refused more."""
    every, fewer = _facts("process"), _facts("ns-all+caps")
    assert not _names(every, "denied") and not _names(fewer, "denied")
    assert {"sethostname", "reboot", "syslog"} <= _names(fewer, "refused") - _names(every, "refused")
    assert int(fewer["calls"]) < int(every["calls"]) and fewer["calls.absent"] == every["calls.absent"]


@pytest.mark.docker
def test_dockers_own_profile() -> None:
    """It denies what its documentation says whatever its version, and the documentation is compared with the rest."""
    facts = _facts("docker")
    assert _names(facts, "denied") >= ALWAYS and "read" not in _names(facts, "denied")
    assert facts["calls.profile"] and not _names(facts, "unknown")
    assert "/etc/hosts (" in facts["mounted"] and facts["sockets"] == "none"
    assert facts["outside.seccomp"] == "filter" and facts["outside.capabilities"] == facts["capabilities"]


@pytest.mark.libvirt
def test_a_guests_kernel_is_its_own() -> None:
    facts = _facts(GUEST)
    assert facts["kernel"].startswith("its own")
    assert facts["outside.program"].startswith("qemu-system") and facts["outside.seccomp"] == "filter"
    assert facts["mounted"] == "none"
    assert int(facts["calls"]) > 300 and not _names(facts, "denied") | _names(facts, "unknown")


@pytest.mark.root
@pytest.mark.tool("podman")
def test_podmans_policy_is_told_as_podman_reads_it() -> None:
    """Podman shows the default of the system's own file; a user's file is read before it."""
    with opened("podman") as sandbox:
        told, own = sandbox.facts()["signatures"], inner(sandbox)
        shown = json.loads(own.driver._copied(own, "image", "trust", "show", "--json"))
    default = next(one["type"] for one in shown if one["repo_name"] == "default")
    if str(POLICY) in told:
        beginning = {"accept": ANY, "reject": "every image is refused"}.get(default, "only signed images are accepted")
        assert told.startswith(f"{beginning} ({POLICY})")


@pytest.mark.docker
@pytest.mark.parametrize("name", ["docker", "containerd"])
def test_what_docker_and_containerd_demand_of_an_image_is_known(name: str) -> None:
    """Of the private daemons of a test it is nothing, as long as nobody has installed an image verifier."""
    with opened(name) as sandbox:
        told = sandbox.facts()["signatures"]
    assert told.startswith(ANY) or "decide" in told, told


@pytest.mark.root
@pytest.mark.tool("systemd-nspawn")
def test_nspawn_has_the_hosts_kernel_whatever_its_boot_id() -> None:
    assert _facts("nspawn")["kernel"] == "the host's"
