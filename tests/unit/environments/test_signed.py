"""Signed images: which of them have a signature, of what, and where engines are told to look for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from isobench.contracts.images import Layer, Rejected
from isobench.core.errors import MeasurementError
from isobench.environments import _signed
from isobench.environments._signed import SignedOffers, rejections

SIGNATURE = b"an OpenPGP message"


class FakeRegistry:
    """Keeps the manifests."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.manifests: dict[str, bytes] = {}

    def put_blob(self, repository: str, digest: str, blob: object) -> None: ...

    def put_manifest(self, repository: str, tag: str, manifest: bytes, kind: str) -> None:
        self.manifests[f"{self.address}/{repository}:{tag}"] = manifest


class Offered(SignedOffers):
    """With a registry in memory."""

    def __init__(self, workdir: Path) -> None:
        super().__init__(workdir, {})
        self.kept = FakeRegistry("127.0.0.1:1")
        self.said: list[list[str]] = []
        """The words of every command."""

    def _running(self) -> Any:
        return self.kept


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """In a work folder with a space in its name; what is said to GPG writes what GPG would."""
    workdir = tmp_path / "the work/isobench-1-Abc/podman"
    workdir.mkdir(parents=True)
    made = Offered(workdir)

    def gpg(words: list[str], seconds: float, *, environ: dict[str, str]) -> str:
        made.said.append(words)
        Path(words[-2]).write_bytes(b"a key")
        Path(words[-1]).write_bytes(SIGNATURE)
        return ""

    monkeypatch.setattr(_signed, "output", gpg)
    return made


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Layer, ...]:
    blob = tmp_path / "000.tar.gz"
    blob.write_bytes(b"layer")
    return (Layer(blob, 5, "sha256:1", "sha256:2"),)


def test_the_signature_is_of_the_first_image_alone(offered: Offered, layers: tuple[Layer, ...]) -> None:
    """All three differ in their digests; the altered one has the signature all the same, the unsigned one has none."""
    found = offered.signed("signed", layers)
    assert found.image == "127.0.0.1:1/isobench-1-abc/signed:image"
    digests = {image: hashlib.sha256(text).hexdigest() for image, text in offered.kept.manifests.items()}
    assert set(digests) == set(found) and len(set(digests.values())) == 3
    folder = offered._signatures
    signed = json.loads((folder / "payload.json").read_text())["critical"]
    assert signed == {
        "type": "atomic container signature",
        "image": {"docker-manifest-digest": f"sha256:{digests[found.image]}"},
        "identity": {"docker-reference": found.image},
    }
    places = {path.parent.name: path.read_bytes() for path in folder.glob("lookaside/isobench-1-abc/*/signature-1")}
    assert places == {f"signed@sha256={digests[image]}": SIGNATURE for image in (found.image, found.altered)}


def test_engines_are_told_where_to_look_and_whom_to_trust(offered: Offered, layers: tuple[Layer, ...]) -> None:
    """By settings in the work folder, which is their HOME. The policies differ in nothing else."""
    offered.signed("signed", layers)
    settings = offered._signatures.parent / ".config/containers/registries.d/isobench.yaml"
    where = f"{offered._signatures.as_uri()}/lookaside"
    assert json.loads(settings.read_text()) == {
        "docker": {"127.0.0.1:1/isobench-1-abc/signed": {"lookaside": where, "sigstore": where}}
    }
    assert "%20" in where
    demanding, accepting = (json.loads(offered.policy(verified=one).read_text()) for one in (True, False))
    assert accepting == {"default": [{"type": "insecureAcceptAnything"}]}
    ((only,),) = demanding.values()
    assert only["type"] == "signedBy" and Path(only["keyPath"]).read_bytes() == b"a key"


def test_a_key_is_made_once_for_a_registry(offered: Offered, layers: tuple[Layer, ...]) -> None:
    """Another registry has another address, of which the first signature says nothing."""
    first = offered.signed("signed", layers)
    assert offered.signed("signed", layers) == first and len(offered.said) == 1
    offered.kept = FakeRegistry("127.0.0.1:2")
    assert offered.signed("signed", layers).image.startswith("127.0.0.1:2/") and len(offered.said) == 2


def test_gpg_is_kept_apart(offered: Offered, layers: tuple[Layer, ...]) -> None:
    """Its agent ends with a PID namespace, which ends with this process; its files are on a tmpfs."""
    offered.signed("signed", layers)
    (words,) = offered.said
    assert words[:2] == ["setpriv", "--pdeathsig=KILL"]
    assert {"--pid", "--mount", "--kill-child"} <= set(words) and "GNUPGHOME=/dev/shm/" in words[words.index("-c") + 1]


def test_a_key_that_cannot_be_made_is_told(
    offered: Offered, layers: tuple[Layer, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next cell tries again."""

    def fails(*words: object, **options: object) -> str:
        raise MeasurementError("setpriv --pdeathsig=KILL: gpg: no entropy")

    with monkeypatch.context() as patch:
        patch.setattr(_signed, "output", fails)
        with pytest.raises(MeasurementError, match=r"^signing an image: gpg: no entropy$"):
            offered.signed("signed", layers)
    assert offered.signed("signed", layers).image in offered.kept.manifests


@pytest.mark.parametrize(
    ("said", "is_rejected"),
    [
        ("podman pull: Source image rejected: A signature was required, but no signature exists", True),
        ("skopeo copy: Running image docker://x is rejected by policy.", True),
        ("podman pull: Invalid GPG signature: gpgme.Signature{Summary:128}", True),
        ("podman pull: connection refused", False),
    ],
)
def test_a_refusal_is_told_from_other_failures(said: str, is_rejected: bool) -> None:
    with pytest.raises(MeasurementError) as caught, rejections():
        raise MeasurementError(said)
    assert isinstance(caught.value, Rejected) == is_rejected and caught.value.reason == said
