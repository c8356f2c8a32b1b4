"""Whether unsigned images are accepted, from settings of every form: told in words, and never a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from isobench.environments import _signatures as signatures
from isobench.environments._signatures import ANY, by_content_trust, by_image_verifiers, by_policy

ACCEPT, REJECT = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
GPG = [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/key"}]
SIGSTORE = [{"type": "sigstoreSigned", "keyPath": "/key"}]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's policy, which is not there yet."""
    monkeypatch.setattr(signatures, "POLICY", tmp_path / "policy.json")
    monkeypatch.delenv("DOCKER_CONTENT_TRUST", raising=False)
    return tmp_path / "policy.json"


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        (ACCEPT, ANY),
        (REJECT, "every image is refused"),
        (GPG, "only signed images are accepted (with GPG)"),
        (SIGSTORE, "only signed images are accepted (with sigstore)"),
        ([*ACCEPT, *GPG], "only signed images are accepted (with GPG)"),
        ([*GPG, *SIGSTORE], "only signed images are accepted (with GPG and with sigstore)"),
        ([*GPG, *REJECT], "every image is refused"),
    ],
)
def test_an_image_has_to_meet_all_requirements(system: Path, requirements: object, words: str) -> None:
    system.write_text(json.dumps({"default": requirements}))
    assert by_policy(None) == f"{words} ({system})"


def test_exceptions_are_told_where_they_differ(system: Path) -> None:
    """By transport and scope, the first five."""
    scopes = {"": REJECT, "here.example/a": GPG, "here.example/b": ACCEPT}
    system.write_text(json.dumps({"default": ACCEPT, "transports": {"docker": scopes, "docker-daemon": {"": ACCEPT}}}))
    signed = "for docker:here.example/a only signed images are accepted (with GPG)"
    assert by_policy(None) == f"{ANY} ({system}); for docker: every image is refused; {signed}"
    many = {f"{number}.example": REJECT for number in range(9)}
    system.write_text(json.dumps({"default": ACCEPT, "transports": {"docker": many}}))
    assert by_policy(None).count("; for docker:") == 5 and by_policy(None).endswith("; and 4 more")


def test_a_users_policy_replaces_the_systems(system: Path, tmp_path: Path) -> None:
    """If there is one."""
    system.write_text(json.dumps({"default": REJECT}))
    home = tmp_path / "home"
    assert by_policy(home) == f"every image is refused ({system})"
    own = home / ".config/containers/policy.json"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps({"default": GPG}))
    assert by_policy(home) == f"only signed images are accepted (with GPG) ({own})"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not an object of settings"),
        (b"{}", "lacks a list of requirements"),
        (b'{"default": []}', "lacks a list of requirements"),
        (b'{"default": {"type": "reject"}}', "lacks a list of requirements"),
        (b'{"default": ["reject"]}', "has a requirement of an unknown type"),
        (b'{"default": [{"type": ["reject"]}]}', "has a requirement of an unknown type"),
        (b'{"default": [{"type": "accept"}]}', "has a requirement of an unknown type"),
        (b'{"default": [{"type": "reject"}], "transports": []}', "has transports of an unknown form"),
        (b'{"default": [{"type": "reject"}], "transports": {"docker": []}}', "has transports of an unknown form"),
        (b'{"default": [{"type": "reject"}], "transports": {"docker": {"": 1}}}', "lacks a list of requirements"),
    ],
)
def test_a_policy_of_another_form_is_told(system: Path, content: bytes, why: str) -> None:
    """Podman refuses it, too."""
    system.write_bytes(content)
    assert by_policy(None) == f"not known: {system} {why}"


def test_what_is_no_readable_file_is_told(system: Path) -> None:
    """Nothing, a folder, a FIFO on which reading would block, a file that is too large."""
    assert by_policy(None) == f"not known: there is no {system}"
    system.mkdir()
    assert by_policy(None).startswith(f"not known: {system} cannot be read: ")
    system.rmdir()
    os.mkfifo(system)
    assert by_policy(None) == f"not known: {system} cannot be read: not a regular file"
    system.unlink()
    with system.open("wb") as file:
        file.truncate(2 << 20)
    assert "cannot be read: 2097152 bytes" in by_policy(None)


def test_whose_policy_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of root its own; of engines without root that of the user who called sudo, if somebody did."""
    own = signatures.own_home()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert signatures.callers_home() is None
    monkeypatch.setenv("SUDO_UID", str(os.getuid()))
    assert signatures.callers_home() == own
    for odd in ("x", "-1", "9" * 40):
        monkeypatch.setenv("SUDO_UID", odd)
        assert signatures.callers_home() is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", f"{ANY} (FILE has no content-trust)"),
        ('{"content-trust": {"mode": "enforced"}}', "only signed images are accepted (content-trust in FILE)"),
        ('{"content-trust": {"mode": "permissive"}}', f"{ANY}, which is logged (content-trust in FILE)"),
        ('{"content-trust": {}}', f"{ANY} (content-trust in FILE)"),
        ('{"content-trust": {"mode": ["enforced"]}}', "not known: FILE has content-trust of an unknown form"),
        ('{"content-trust": true}', "not known: FILE has content-trust of an unknown form"),
        ("nonsense", "not known: FILE is not JSON"),
    ],
)
def test_content_trust_of_an_engine(system: Path, tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "daemon.json"
    assert by_content_trust(file).startswith(f"{ANY}; ")
    file.write_text(content)
    assert by_content_trust(file) == words.replace("FILE", str(file)) + "; DOCKER_CONTENT_TRUST is not set"


def test_content_trust_of_the_docker_command(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes everything for "on" that is not "off". What engine answers may not be known."""
    for value, is_on in (("1", True), ("true", True), ("yes", True), ("0", False), ("False", False), ("", False)):
        monkeypatch.setenv("DOCKER_CONTENT_TRUST", value)
        found = by_content_trust(None, "it is on another host")
        assert found.startswith("not known: it is on another host; ")
        assert ("the docker command accepts only signed images" in found) == is_on


def test_image_verifiers_are_programs_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the usual one or the configured one; what cannot be run does not count."""
    usual, other, settings = tmp_path / "usual", tmp_path / "other", tmp_path / "config.toml"
    monkeypatch.setattr(signatures, "_VERIFIERS", usual)
    assert by_image_verifiers(settings) == f"{ANY} (no image verifier in {usual})"
    settings.write_text(f'version = 2\n[plugins."io.containerd.image-verifier.v1.bindir"]\nbin_dir = "{other}"\n')
    other.mkdir()
    (other / "README").write_text("")
    assert by_image_verifiers(settings) == f"{ANY} (no image verifier in {other})"
    (other / "cosign").write_text("#!/bin/sh\n")
    (other / "cosign").chmod(0o755)
    assert by_image_verifiers(settings).startswith(f"the image verifiers in {other} decide (cosign)")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[", "is not TOML"),
        ("plugins = 1", "has image verifiers of an unknown form"),
        ('[plugins]\n"io.containerd.image-verifier.v1.bindir" = 1', "has image verifiers of an unknown form"),
        ('[plugins."io.containerd.image-verifier.v1.bindir"]\nbin_dir = 1', "has image verifiers of an unknown form"),
        ('[plugins."io.containerd.image-verifier.v1.bindir"]\nbin_dir = "/dev/null"', "which cannot be read"),
    ],
)
def test_settings_of_containerd_of_another_form_are_told(tmp_path: Path, content: str, why: str) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text(content)
    assert by_image_verifiers(settings).startswith(f"not known: {settings} ") and why in by_image_verifiers(settings)
