"""A signed image: what it costs that an engine verifies the signature before it uses the image.

The image is the smallest kind, so that the rest of the pull is short: an engine verifies a signature of the manifest,
whatever the image contains. That it compares each layer with its digest is part of every pull.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from isobench.contracts.capabilities import Capability, KeepsImages, Lack
from isobench.contracts.images import Rejected, VerifiesImages
from isobench.core.errors import IsobenchError, MeasurementError
from isobench.core.model import Metric
from isobench.host.capabilities import lacking
from isobench.host.counters import Counter
from isobench.processes.programs import find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.contracts.environment import Sandbox
    from isobench.contracts.images import Signed
    from isobench.contracts.scenario import Scenario

KIND = "scratch"
_NAME = "signed"
_ORDER = (False, True, True, False)
"""Without and with verification, so that a steady drift is the same in both."""


class SignedImage:
    """The same image pulled by two policies (`isobench.contracts.scenario.Scenario`)."""

    name = "image-signed"
    title = "Image: its signature verified"
    needs = frozenset({Capability.PROBE, Capability.IMAGES, Capability.SIGNED_IMAGES})
    groups = frozenset({"image"})
    metrics = (
        Metric("pull-unverified", "second", "fetching and unpacking a signed image by a policy that accepts any image"),
        Metric("pull-verified", "second", "the same by a policy that demands its signature"),
    )
    typical_seconds = 3.0
    expected_interference = frozenset({Counter.PSI_CPU, Counter.PSI_IO, Counter.INTERRUPTS})

    def lacks(self) -> Lack | None:
        """Checks the registry program, GPG, the right to keep its agent apart, and the image's layers."""
        from isobench.daemons import registry
        from isobench.images.kinds import layers_of_kind

        if (lack := registry.why_not()) is not None:
            return lack
        for program in ("gpg", "gpg-agent"):  # the agent makes the key; Debian's package of gpg only recommends it
            if find(program) is None:
                return Lack(f"{program} is not installed", f"apt-get install {program}")
        if "CAP_SYS_ADMIN" in lacking():
            return Lack("CAP_SYS_ADMIN is missing, without which GPG's agent might remain")
        try:
            layers_of_kind(KIND)
        except IsobenchError as error:
            return Lack(error.reason, error.remedy)
        return None

    def facts(self, sandbox: Sandbox) -> Mapping[str, str]:
        """How the image is signed, which is done now, before the first block."""
        _signed(_images(sandbox))
        return {"signature": "simple signing with GPG (RSA, 3072 bits), in a folder of this host"}

    def measure(self, sandbox: Sandbox) -> Mapping[str, float]:
        """Each time is the mean of two pulls. Raises `MeasurementError` also if an image is accepted that the policy
        has to refuse."""
        images = _images(sandbox)
        signed = _signed(images)
        try:
            _refused(images, signed.unsigned, "an unsigned image")
            _refused(images, signed.altered, "an image with another one's signature")
            seconds: dict[bool, list[float]] = {False: [], True: []}
            for verified in _ORDER:
                seconds[verified].append(_pull_time(images, signed.image, verified=verified))
            return {
                "pull-unverified": sum(seconds[False]) / len(seconds[False]),
                "pull-verified": sum(seconds[True]) / len(seconds[True]),
            }
        finally:
            with suppress(MeasurementError):  # the next cell reports it
                images.clear(_NAME)


def _images(sandbox: Sandbox) -> VerifiesImages:
    images = sandbox.images() if isinstance(sandbox, KeepsImages) else None
    if not isinstance(images, VerifiesImages):
        raise MeasurementError("its engine verifies no images")
    return images


def _signed(images: VerifiesImages) -> Signed:
    from isobench.images.kinds import layers_of_kind

    return images.signed(_NAME, layers_of_kind(KIND))


def _refused(images: VerifiesImages, image: str, what: str) -> None:
    """Raise `MeasurementError` unless the engine refuses to use an image."""
    images.clear(_NAME)
    try:
        images.pull_by_policy(image, verified=True)
    except Rejected:
        return
    raise MeasurementError(f"a policy that demands a signature let {what} through")


def _pull_time(images: VerifiesImages, image: str, *, verified: bool) -> float:
    images.clear(_NAME)
    began = time.monotonic()
    images.pull_by_policy(image, verified=verified)
    return time.monotonic() - began


SCENARIOS: tuple[Scenario, ...] = (SignedImage(),)
