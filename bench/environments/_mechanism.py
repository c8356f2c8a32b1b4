"""Mechanisms that environments of several families share: the registry from which engines fetch images, and GPG, with
which images are signed."""

from __future__ import annotations

from isobench.contracts.mechanism import Mechanism, Tool

_REGISTRY = Tool("docker-registry", ("docker-registry",))
_ZSTD = Tool("zstd", ("zstd",))
REGISTRY = Mechanism(
    "registry",
    programs=("docker-registry",),
    tools=(_REGISTRY, _ZSTD),
    needs=(
        _REGISTRY.need("images from a registry", everyday=False),
        _ZSTD.need("images compressed with zstd", everyday=False),
    ),
)

_GPG = Tool("gpg", ("gpg", "gnupg"))
_AGENT = Tool("gpg-agent", ("gpg-agent", "gnupg"))
SIGNING = Mechanism(
    "signatures of images",
    tools=(_GPG, _AGENT),
    needs=tuple(tool.need("signed images", everyday=False) for tool in (_GPG, _AGENT)),
)
