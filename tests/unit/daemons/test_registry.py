"""What a host lacks for a registry, without starting one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from isobench.core.errors import Unavailable
from isobench.daemons import registry

ROOT = Path(__file__).parents[3]
ASKING = """
from isobench.daemons import registry
registry.find = lambda name: name
print(registry.why_not())
"""


def test_a_host_with_a_loopback_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find", lambda name: name)
    assert registry.why_not() is None


@pytest.mark.root
@pytest.mark.parametrize("setup", ["true", "ip link set lo up && ip address del 127.0.0.1/8 dev lo"])
def test_a_host_without_a_loopback_is_told_at_once(setup: str) -> None:
    """One that is down, or that has the address of IPv6 alone. Each start would wait for it for a minute."""
    command = ["unshare", "--net", "sh", "-c", f'{setup}; exec "$@"', "sh", sys.executable, "-c", ASKING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "programs of this host cannot reach each other at 127.0.0.1: " in done.stdout


def test_what_is_lacking_keeps_it_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find", lambda name: name)
    monkeypatch.setattr(registry, "LOOPBACK", "192.0.2.1")  # nobody's (RFC 5737)
    with pytest.raises(Unavailable, match=r"at 192\.0\.2\.1: ") as failed:
        registry.start(tmp_path / "registry")
    assert failed.value.remedy and not (tmp_path / "registry").exists()
