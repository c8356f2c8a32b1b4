"""Signed images in the registry of a sandbox, for engines that read containers-policy.json(5): Podman, skopeo.

They are signed by "simple signing": an OpenPGP message with the digest of the image's manifest
(containers-signature(5)), in a folder beside the registry (a "lookaside", containers-registries.d(5)). The key is made
for the sandbox. Only its public half outlives the signing: the rest is on a tmpfs of a mount namespace, and GPG's agent
ends with its PID namespace.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from isobench.contracts.images import Rejected, Signed
from isobench.core import deadlines
from isobench.core.errors import MeasurementError
from isobench.environments._offers import LABEL, Offers, upload
from isobench.images.layers import digest_of, image_of_layers
from isobench.probe.launcher import ENVIRON
from isobench.processes.programs import output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from isobench.contracts.images import Layer

KEY = "rsa3072"
"""The kind of the key, GPG's own default; every build of an engine verifies it."""
_SIGNING = """
set -e
exec 3<"$2" 4>"$3" 5>"$4"
mount -t tmpfs -o mode=0700 tmpfs /dev/shm
if [ -d /run/user ]; then mount -t tmpfs tmpfs /run/user; fi
export GNUPGHOME=/dev/shm/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key isobench "$1" sign never
gpg --batch --quiet --export isobench >&4
gpg --batch --quiet --sign <&3 >&5
"""
"""Signs a file, and writes the public key and the signature; they are opened first, because the work folder may be
where a tmpfs is mounted. GPG's agent would have its socket below /run/user, and the path of a socket has to be short.
"""
_APART = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
_VARIANT = "isobench.variant"
"""A label by which images with the same layers differ, and so do their digests."""
_REJECTED = r"(?i)image rejected|rejected by policy|GPG signature: gpgme"
"""Matches what Podman and skopeo say if the policy refuses an image; the last part is the end of a long message."""


class SignedOffers(Offers):
    """What a sandbox's registry offers, with signatures, to engines with these settings; a subclass has
    `isobench.contracts.images.VerifiesImages`."""

    def __init__(self, workdir: Path, labels: Mapping[str, str]) -> None:
        super().__init__(workdir, labels)
        self._signatures = workdir / "signatures"
        self._settings = workdir / ".config/containers"  # HOME is the work folder
        # Instead of the host's, which may block the loopback, have a mirror or a credential helper for it, or say where
        # signatures are, which would be looked for in each pull.
        (self._settings / "registries.d").mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._settings / "registries.conf").write_text("unqualified-search-registries = []\n")
        self._made: dict[str, Signed] = {}
        """By the name of the first image, which has the registry's port."""

    def signed(self, name: str, layers: Sequence[Layer]) -> Signed:
        kept = self._running()
        repository = f"{self._run}/{name}"
        reference = f"{kept.address}/{repository}"
        found = Signed(*(f"{reference}:{tag}" for tag in Signed._fields))
        if found.image in self._made:
            return found
        digests = {}
        for tag in Signed._fields:
            image = image_of_layers(layers, {**self._labels, LABEL: name, _VARIANT: tag})
            upload(kept, repository, tag, image)
            digests[tag] = digest_of(image.manifest)
        self._sign(found.image, digests["image"])
        for tag in ("image", "altered"):
            self._enclose(repository, digests[tag])
        self._configure(reference)
        self._made[found.image] = found
        return found

    def policy(self, *, verified: bool) -> Path:
        """The file with the policy."""
        return self._signatures / ("demanding.json" if verified else "accepting.json")

    def _sign(self, reference: str, digest: str) -> None:
        """Make a key and sign the image with it. Raises `MeasurementError`."""
        self._signatures.mkdir(mode=0o700, exist_ok=True)
        payload, key, signature = (self._signatures / name for name in ("payload.json", "key.gpg", "signature"))
        payload.write_text(json.dumps(_payload(reference, digest)))
        words = [*_APART, "sh", "-c", _SIGNING, "sh", KEY, *map(str, (payload, key, signature))]
        try:
            output(words, deadlines.stretched(120), environ={**ENVIRON, "HOME": "/dev/shm"})
        except MeasurementError as error:
            raise MeasurementError(f"signing an image: {error.reason.partition(': ')[2]}") from error

    def _enclose(self, repository: str, digest: str) -> None:
        """Put the signature where engines look for that of an image."""
        folder = self._signatures / "lookaside" / f"{repository}@{digest.replace(':', '=')}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._signatures / "signature", folder / "signature-1")

    def _configure(self, repository: str) -> None:
        """Write the place of the signatures, under its newer and its older name, and both policies."""
        where = (self._signatures / "lookaside").as_uri()
        places = {"docker": {repository: {"lookaside": where, "sigstore": where}}}
        (self._settings / "registries.d/isobench.yaml").write_text(json.dumps(places))  # JSON is YAML
        demanded = {
            "type": "signedBy",
            "keyType": "GPGKeys",
            "keyPath": str(self._signatures / "key.gpg"),
            "signedIdentity": {"type": "matchRepository"},
        }
        for verified, requirement in ((True, demanded), (False, {"type": "insecureAcceptAnything"})):
            self.policy(verified=verified).write_text(json.dumps({"default": [requirement]}))


def _payload(reference: str, digest: str) -> dict[str, Any]:
    """What is signed (containers-signature(5))."""
    return {
        "critical": {
            "type": "atomic container signature",
            "image": {"docker-manifest-digest": digest},
            "identity": {"docker-reference": reference},
        },
        "optional": {},
    }


@contextmanager
def rejections() -> Iterator[None]:
    """Turn an error that says that the policy refused an image into `Rejected`."""
    try:
        yield
    except MeasurementError as error:
        if re.search(_REJECTED, error.reason):
            raise Rejected(error.reason) from error
        raise
