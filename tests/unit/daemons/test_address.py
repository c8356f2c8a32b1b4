"""The engine that is used is the one that the docker command would use."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.core.errors import Unavailable
from isobench.daemons import address, private

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of its own, and nothing said in the environment."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def context(folder: Path, name: str, docker: object, **certificates: str) -> None:
    """As `docker context create` writes it."""
    where = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts/meta" / where
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": docker}}))
    tls = folder / "contexts/tls" / where / "docker"
    tls.mkdir(parents=True)
    for kind, text in certificates.items():
        (tls / f"{kind}.pem").write_text(text)


def current(folder: Path, name: str) -> None:
    """As `docker context use` writes it."""
    (folder / "config.json").write_text(json.dumps({"currentContext": name}))


def test_the_usual_socket_where_nothing_is_said() -> None:
    """No configuration at all."""
    assert address.address() == address.Address("unix:///var/run/docker.sock")
    assert address.address().path == "/var/run/docker.sock"


def test_who_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST before DOCKER_CONTEXT before the current context; empty ones say nothing."""
    context(folder, "mine", {"Host": "unix:///mine.sock"})
    context(folder, "other", {"Host": "unix:///other.sock"})
    current(folder, "mine")
    assert str(address.address()) == "unix:///mine.sock (docker context mine)"
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert str(address.address()) == "unix:///other.sock (DOCKER_CONTEXT other)"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert address.address().url == address.DEFAULT_ADDRESS
    monkeypatch.setenv("DOCKER_HOST", "unix:///host.sock")
    assert str(address.address()) == "unix:///host.sock (DOCKER_HOST)"
    monkeypatch.setenv("DOCKER_HOST", "")
    monkeypatch.setenv("DOCKER_CONTEXT", "")
    assert address.address().url == "unix:///mine.sock"


def test_another_engine_that_was_chosen_is_not_replaced(folder: Path) -> None:
    """By a private one: neither where a context names it, nor where nobody can tell which it is."""
    assert not private._has_context()
    current(folder, "default")
    assert not private._has_context()
    for text in ('{"currentContext": "gone"}', "{"):
        (folder / "config.json").write_text(text)
        assert private._has_context()
    context(folder, "mine", {"Host": "unix:///mine.sock"})
    current(folder, "mine")
    assert private._has_context()


def test_certificates_of_a_context(folder: Path) -> None:
    """Those that are there; checking the engine's name may be switched off."""
    context(folder, "far", {"Host": "tcp://h:2376"}, ca="1", cert="2", key="3")
    context(folder, "lax", {"Host": "tcp://h:2376", "SkipTLSVerify": True})
    context(folder, "open", {"Host": "tcp://h:2375"})
    found = {}
    for name in ("far", "lax", "open"):
        current(folder, name)
        found[name] = address.address().tls
    far = found["far"]
    assert far is not None and far.verify and far.ca.endswith("/docker/ca.pem") and far.key.endswith("/docker/key.pem")
    assert found["lax"] == address.Tls("", "", "", False)
    assert found["open"] is None


def test_certificates_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_TLS_VERIFY checks the engine's name, DOCKER_TLS alone does not."""
    (folder / "ca.pem").write_text("1")
    monkeypatch.setenv("DOCKER_HOST", "tcp://h:2376")
    monkeypatch.setenv("DOCKER_TLS", "1")
    assert address.address().tls == address.Tls(f"{folder}/ca.pem", "", "", False)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder / "none"))
    assert address.address().tls == address.Tls("", "", "", True)


def test_ssh_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.setenv("DOCKER_HOST", "ssh://user@host.example")
    with pytest.raises(Unavailable, match=r"ssh://user@host.example \(DOCKER_HOST\).* every figure") as caught:
        address.address()
    assert "unset DOCKER_HOST" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("[" * 100_000, "is not JSON"),
        ('{"currentContext": "gone"}', "no Docker context 'gone'"),
        ('{"currentContext": "odd"}', "names no Docker engine"),
        ('{"currentContext": "empty"}', "names no Docker engine"),
    ],
)
def test_what_is_not_understood_is_named(folder: Path, text: str, said: str) -> None:
    """The file, or the context; never another engine in its place."""
    context(folder, "odd", ["x"])
    context(folder, "empty", {"Host": ""})
    (folder / "config.json").write_text(text)
    with pytest.raises(Unavailable, match=said) as caught:
        address.address()
    assert caught.value.remedy


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    """A pipe is no file: nobody waits for it."""
    os.mkfifo(folder / "config.json")
    assert address.address().url == address.DEFAULT_ADDRESS


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda x: (
            st.dictionaries(st.sampled_from(["currentContext", "Endpoints", "docker", "Host", "x"]), x, max_size=3)
            | st.lists(x, max_size=2)
        ),
    )
)
def test_odd_json_gives_an_address_or_a_reason(document: object) -> None:
    """Whatever its types."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", name)
        context(Path(name), "x", document)
        for text in (json.dumps(document), json.dumps({"currentContext": "x"})):
            (Path(name) / "config.json").write_text(text)
            try:
                assert address.address().url
            except Unavailable as error:
                assert error.reason
