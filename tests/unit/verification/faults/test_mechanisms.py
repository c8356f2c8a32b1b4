"""Every mechanism that the catalogue has is killed over."""

from __future__ import annotations

from isobench.planning import catalog
from verification.faults import mechanisms


def test_no_mechanism_is_left_out() -> None:
    """One environment at least of each module that makes any; those of distributions boot for minutes on TCG."""
    chosen = {name for family in mechanisms.FAMILIES.values() for name in family.environments.split(",")}
    known = catalog.environments()
    assert chosen <= known.keys()
    modules = {type(one).__module__ for one in known.values()}
    killed = {type(known[name]).__module__ for name in chosen}
    assert modules - killed == {"isobench.environments.libvirt.distro"}
    assert {name for name in known if name.startswith("tcg") and name.count("-") == 0} <= chosen
