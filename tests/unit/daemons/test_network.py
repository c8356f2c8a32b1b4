"""What a private dockerd did to the host's rules, told from what others did; the real one: tests/contract."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from isobench.daemons import network
from isobench.daemons.network import parsed, undoing
from isobench.filesystem.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

SUBNETS = ("172.17.0.1/16",)


def commands(before: str, now: str) -> list[str]:
    """What is run to get from the rules of now to those before."""
    return [" ".join(words) for words in undoing(parsed(before), parsed(now), SUBNETS)]


def filters(*rules: str, policy: str = "ACCEPT", chains: str = "") -> str:
    """iptables-save's answer."""
    made = "".join(f":{chain} - [0:0]\n" for chain in chains.split())
    return f"# by test\n*filter\n:FORWARD {policy} [1:2]\n{made}" + "".join(f"{rule}\n" for rule in rules) + "COMMIT\n"


FOREIGN = '-A FORWARD -s 172.17.9.9/32 -m comment --comment "of mine" -j ACCEPT'
JUMP = "-A FORWARD -j DOCKER-USER"
INSIDE = "-A DOCKER-USER -j RETURN"


def test_what_dockerd_made_goes_and_the_policy_comes_back() -> None:
    """Chains last, when nothing jumps to them."""
    now = filters(JUMP, FOREIGN, INSIDE, policy="DROP", chains="DOCKER-USER")
    assert commands(filters(FOREIGN), now) == [
        "-t filter -D FORWARD -j DOCKER-USER",
        "-t filter -F DOCKER-USER",
        "-t filter -X DOCKER-USER",
        "-t filter -P FORWARD ACCEPT",
    ]


@pytest.mark.parametrize("before", ["", filters()])
def test_a_table_that_was_not_there_was_open(before: str) -> None:
    """iptables-save says nothing of a table that nobody has used."""
    assert commands(before, filters(policy="DROP")) == ["-t filter -P FORWARD ACCEPT"]


def test_what_was_there_before_is_left_alone() -> None:
    """Also what looks like dockerd's, and a policy that was DROP."""
    same = filters(JUMP, INSIDE, "-A FORWARD -i docker0 -j ACCEPT", policy="DROP", chains="DOCKER-USER")
    assert commands(same, same) == []


def test_what_others_did_meanwhile_is_theirs() -> None:
    """A rule that they made, and one that they took away."""
    gone = "-A FORWARD -s 10.0.0.1/32 -j DROP"
    assert commands(filters(gone), filters(FOREIGN)) == []
    made = "*nat\n-A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE\nCOMMIT\n"
    assert commands("", made) == []


def test_a_killed_containers_port_is_taken_back() -> None:
    """The one rule of dockerd's that names neither its chains nor its bridge."""
    rule = "POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE"
    assert commands("", f"*nat\n-A {rule}\nCOMMIT\n") == [f"-t nat -D {rule}"]


def test_what_dockerd_emptied_is_filled_again_in_its_order() -> None:
    """Beside a rule whose owner has taken it away, which takes no place."""
    one, two = "-A DOCKER -s 10.1.0.1/32 -j DROP", "-A DOCKER -s 10.1.0.2/32 -j DROP"
    before = filters("-A FORWARD -s 10.0.0.1/32 -j DROP", FOREIGN, "-A FORWARD -j DOCKER", one, two, chains="DOCKER")
    assert commands(before, filters(FOREIGN)) == [
        "-t filter -N DOCKER",
        "-t filter -I FORWARD 2 -j DOCKER",
        "-t filter -I DOCKER 1 -s 10.1.0.1/32 -j DROP",
        "-t filter -I DOCKER 2 -s 10.1.0.2/32 -j DROP",
    ]


def test_what_a_living_session_wrote_down_is_not_left_behind(tmp_path: Path) -> None:
    """It is locked, by this process or another, until its session ends."""
    assert not network.left_behind(tmp_path)
    held = atomic_write(network._file(tmp_path), [b"{}"], lock=True)
    assert not network.left_behind(tmp_path)
    os.close(held)
    assert network.left_behind(tmp_path)
