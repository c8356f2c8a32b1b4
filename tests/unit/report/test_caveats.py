"""What a reader has to know first."""

from __future__ import annotations

from isobench.report.caveats import caveats
from tests.unit.report.made import context


def test_an_emulated_host_is_told_as_one() -> None:
    """Not as a virtual machine, whose ratios are to be trusted."""
    made = context()
    made.session.host["virtual"] = "emulated CPU (QEMU without KVM)"
    told = caveats(made)
    assert any("emulated CPU" in text and "neither times nor ratios" in text for text in told)
    assert not any("trust the ratios" in text for text in told)


def test_a_confined_isobench_is_told() -> None:
    """A daemon's containers are not pinned where isobench is: a ratio to a process compares two hosts then."""
    made = context()
    for how, is_told in (("no", False), ("1 of 2 processors, nice 15", True)):
        made.session.host["confined"] = how
        assert any(how in text and "do not hold" in text for text in caveats(made)) == is_told


def test_a_busy_host_is_told_and_a_quiet_one_is_not() -> None:
    """From a fifth of the blocks on."""
    made = context()
    for block in made.session.blocks[1:2]:
        block.marks.append("steal")
    assert any("The host was busy: 1 of 5 blocks were disturbed" in text for text in caveats(made))
    made.session.blocks[1].marks.clear()
    assert not any("busy" in text for text in caveats(made))
