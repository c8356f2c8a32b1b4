"""Whether an engine accepts images that nobody has signed, by this host's settings: Podman's and skopeo's policy,
Docker Content Trust, the image verifiers of containerd. Each function returns one sentence, for the facts of an
environment (`signatures`). Settings that cannot be understood are reported as such.
"""

from __future__ import annotations

import json
import os
import pwd
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isobench.filesystem.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = Path("/etc/containers/policy.json")
"""The system's policy (containers-policy.json(5))."""
_OF_A_USER = ".config/containers/policy.json"
"""The policy that replaces it for one user, in the user's home."""
_MOST_BYTES = 1 << 20
_MOST_SCOPES = 5
ANY = "any image is accepted, also one that nobody has signed"
_REFUSED = "every image is refused"
_REQUIREMENTS = {
    "insecureAcceptAnything": "",
    "reject": "",
    "signedBy": "with GPG",
    "signedBaseLayer": "with GPG, its base layer too",
    "sigstoreSigned": "with sigstore",
}
"""The types of requirements, and for a signature, how it is made."""


class _Odd(Exception):
    """A file that cannot be understood; the message completes "FILE …"."""


class _Absent(_Odd):
    """There is no such file."""


def own_home() -> Path | None:
    """The home of the user that this process is; None if there is no such user."""
    return _home_of(str(os.geteuid()))


def callers_home() -> Path | None:
    """The home of the ordinary user that this process is, or who called sudo; None if there is none."""
    return own_home() if os.geteuid() else _home_of(os.environ.get("SUDO_UID", ""))


def _home_of(user: str) -> Path | None:
    with suppress(KeyError, ValueError, OverflowError):
        return Path(pwd.getpwuid(int(user)).pw_dir)
    return None


def by_policy(home: Path | None) -> str:
    """By the policy of Podman and skopeo: a user's with this home, or else the system's."""
    for file in (*([home / _OF_A_USER] if home is not None else []), POLICY):
        try:
            return _by_policy_in(file)
        except _Absent:
            continue
        except _Odd as odd:
            return f"not known: {file} {odd}"
    return f"not known: there is no {POLICY}"


def _by_policy_in(file: Path) -> str:
    policy = _read(file, "json")
    default, others = _demanded(policy.get("default")), [*_exceptions(policy.get("transports", {}))]
    differing = [f"for {scope} {words}" for scope, words in others if words != default]
    more = [f"and {len(differing) - _MOST_SCOPES} more"] if len(differing) > _MOST_SCOPES else []
    return "; ".join((f"{default} ({file})", *differing[:_MOST_SCOPES], *more))


def _exceptions(transports: Any) -> Iterator[tuple[str, str]]:
    """Each scope with its own requirements: a whole transport, or a registry or repository in it."""
    if not isinstance(transports, dict) or not all(isinstance(scopes, dict) for scopes in transports.values()):
        raise _Odd("has transports of an unknown form")
    for transport, scopes in transports.items():
        for scope, requirements in scopes.items():
            yield f"{transport}:{scope}"[:100], _demanded(requirements)


def _demanded(requirements: Any) -> str:
    """What requirements demand of an image. It has to meet all of them."""
    if not isinstance(requirements, list) or not requirements:
        raise _Odd("lacks a list of requirements")
    kinds = [one.get("type") if isinstance(one, dict) else None for one in requirements]
    if any(not isinstance(kind, str) or kind not in _REQUIREMENTS for kind in kinds):
        raise _Odd("has a requirement of an unknown type")
    if "reject" in kinds:
        return _REFUSED
    how = [words for kind, words in _REQUIREMENTS.items() if kind in kinds and words]
    return f"only signed images are accepted ({' and '.join(how)})" if how else ANY


_MODES = {
    "enforced": "only signed images are accepted",
    "permissive": f"{ANY}, which is logged",
    "disabled": ANY,
}
"""Modes of content trust in an engine that has it (Mirantis Container Runtime); others refuse the setting."""
_FALSE = ("", "0", "f", "F", "false", "False", "FALSE")
"""Values of DOCKER_CONTENT_TRUST that the docker command takes for "off"; all others turn it on."""


def by_content_trust(settings: Path | None, why_not: str = "") -> str:
    """By Docker Content Trust, in the engine with this daemon.json and in the docker command; without a file why it is
    not known."""
    try:
        engine = _of_engine(settings) if settings is not None else f"not known: {why_not}"
    except _Odd as odd:
        engine = f"not known: {settings} {odd}"
    if os.environ.get("DOCKER_CONTENT_TRUST", "") in _FALSE:
        return f"{engine}; DOCKER_CONTENT_TRUST is not set"
    return f"{engine}; the docker command accepts only signed images (DOCKER_CONTENT_TRUST), other clients do not ask"


def _of_engine(settings: Path) -> str:
    try:
        document = _read(settings, "json")
    except _Absent:
        return ANY
    if "content-trust" not in document:
        return f"{ANY} ({settings} has no content-trust)"
    trust = document["content-trust"]
    mode = trust.get("mode", "disabled") if isinstance(trust, dict) else None
    if not isinstance(mode, str) or mode not in _MODES:
        raise _Odd("has content-trust of an unknown form")
    return f"{_MODES[mode]} (content-trust in {settings})"


_VERIFIERS = Path("/opt/containerd/image-verifier/bin")
_PLUGIN = "io.containerd.image-verifier.v1.bindir"


def by_image_verifiers(settings: Path) -> str:
    """By the verifiers of the containerd with this configuration: programs in one folder (since version 1.7)."""
    try:
        folder = _folder_of_verifiers(settings)
        names = _programs(folder)
    except _Odd as odd:
        return f"not known: {settings} {odd}"
    if not names:
        return f"{ANY} (no image verifier in {folder})"
    shown = ", ".join([*names[:_MOST_SCOPES], *(["…"] if len(names) > _MOST_SCOPES else [])])
    return f"the image verifiers in {folder} decide ({shown}), for clients that use the transfer service"


def _folder_of_verifiers(settings: Path) -> Path:
    try:
        plugins = _read(settings, "toml").get("plugins", {})
    except _Absent:
        return _VERIFIERS
    plugin = plugins.get(_PLUGIN, {}) if isinstance(plugins, dict) else None
    folder = plugin.get("bin_dir", str(_VERIFIERS)) if isinstance(plugin, dict) else None
    if not isinstance(folder, str) or "\0" in folder:
        raise _Odd("has image verifiers of an unknown form")
    return Path(folder)


def _programs(folder: Path) -> list[str]:
    """The names of the programs in a folder; none if there is no such folder."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _Odd(f"names {folder}, which cannot be read: {error.strerror}") from error


def _read(file: Path, form: str) -> dict[str, Any]:
    """A document of settings. Raises `_Odd`."""
    try:
        text = read_regular(file, _MOST_BYTES).decode()
        document = json.loads(text) if form == "json" else tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _Absent("does not exist") from error
    except OSError as error:
        raise _Odd(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _Odd(f"is not {form.upper()}") from error
    if not isinstance(document, dict):
        raise _Odd("is not an object of settings")
    return document
