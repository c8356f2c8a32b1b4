"""Docker's variants: each that claims one difference has one."""

from __future__ import annotations

import pytest

from isobench.contracts.capabilities import Capability
from isobench.environments.docker.engine import ENVIRONMENTS, Docker

VARIANTS = [e for e in ENVIRONMENTS if isinstance(e, Docker)]
BY_NAME = {e.name: e for e in VARIANTS}


@pytest.mark.parametrize("variant", [e for e in VARIANTS if e.single_factor], ids=lambda e: e.name)
def test_a_single_factor_is_one(variant: Docker) -> None:
    """The host configurations of a variant and of the one it is compared with differ in one field."""
    assert variant.compared_with is not None
    here, below = variant.host_config, BY_NAME[variant.compared_with].host_config
    assert len([key for key in here.keys() | below.keys() if here.get(key) != below.get(key)]) == 1


def test_a_read_only_root_offers_no_storage() -> None:
    """What cannot be written to is not offered to scenarios that write."""
    assert [e.name for e in ENVIRONMENTS if Capability.ROOTFS not in e.capabilities] == ["docker-readonly"]
