"""A mechanism that environments of several families share: the registry from which engines fetch images."""

from __future__ import annotations

from isobench.contracts.mechanism import Mechanism, Tool

_REGISTRY = Tool("docker-registry", ("docker-registry",))
REGISTRY = Mechanism(
    "registry",
    programs=("docker-registry",),
    tools=(_REGISTRY,),
    needs=(_REGISTRY.need("images from a registry", everyday=False),),
)
