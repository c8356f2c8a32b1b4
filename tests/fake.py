"""The fake environment: the protocols in memory, with times and failures as a test scripts them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from isobench.contracts.capabilities import Capability
from isobench.contracts.launch import Launch, idle
from isobench.core.errors import IsobenchError
from isobench.core.model import Metric

if TYPE_CHECKING:
    from isobench.contracts.environment import Layer, Role
    from isobench.contracts.mechanism import Mechanism


class FakeInstance:
    """An instance that is ready after `seconds` on a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.stdin: BinaryIO = io.BytesIO()
        self.stdout: BinaryIO = io.BytesIO(b"ready\n")
        start = 10**9
        self.events: dict[str, int] = {"requested": start, "ready": start + int(seconds * 1e9)}
        self.cpu: dict[str, float] = {"payload": seconds}

    def host_pids(self) -> Mapping[int, Role]:
        return {}

    def wait(self) -> int:
        ready = self.events["ready"]
        self.events.update(released=ready + 10, exited=ready + 1010, gone=ready + 2010)
        return 0


class FakeSandbox:
    """Launches instances; raises the next scripted error instead where there is one."""

    def __init__(self, environment: FakeEnvironment) -> None:
        self._environment = environment

    def daemons(self) -> list[int]:
        return []

    def facts(self) -> Mapping[str, str]:
        return {"version.fake": "1"}

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[FakeInstance]:
        self._environment.launches += 1
        error = self._environment.errors.get(self._environment.launches)
        if error is not None:
            raise error
        self._environment.living += 1
        try:
            yield FakeInstance(self._environment.seconds)
        finally:
            self._environment.living -= 1


class SayingInstance:
    """An instance that is ready and then says this, whatever it is asked."""

    def __init__(self, said: bytes) -> None:
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(said)

    def host_pids(self) -> Mapping[int, Role]:
        return {}

    def wait(self) -> int:
        return 0


class SayingSandbox:
    """Made of guests that answer with these JSON values, one a line."""

    memory_bytes = 1 << 28

    def __init__(self, said: Sequence[object]) -> None:
        self._said = b"ready\n" + b"".join(json.dumps(one).encode() + b"\n" for one in said)

    def daemons(self) -> list[int]:
        return []

    @contextmanager
    def launch(self, launch: Launch) -> Iterator[SayingInstance]:
        yield SayingInstance(self._said)


class FakeEnvironment:
    """One environment; `errors` maps the number of a launch (1 is the proof) to what it raises."""

    title = "fake"
    layer: Layer = "process"
    adds = "nothing"
    compared_with: str | None = None
    single_factor = False
    groups = frozenset({"default"})
    capabilities = frozenset({Capability.READY, Capability.PROBE})
    mechanisms: tuple[Mechanism, ...] = ()

    def __init__(
        self,
        name: str,
        seconds: float = 0.001,
        errors: Mapping[int, IsobenchError] | None = None,
        unavailable: IsobenchError | None = None,
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.errors = dict(errors or {})
        self.unavailable = unavailable
        self.launches = 0
        self.living = 0
        self.open_now = False

    @contextmanager
    def open(self, workdir: Path) -> Iterator[FakeSandbox]:
        if self.unavailable is not None:
            raise self.unavailable
        self.open_now = True
        try:
            yield FakeSandbox(self)
        finally:
            self.open_now = False


class FakeScenario:
    """One metric, `ready`: the scripted seconds."""

    title = "fake scenario"
    metrics = (Metric("ready", "second", "until it says ready"),)
    needs = frozenset({Capability.READY})
    groups = frozenset({"default"})

    def __init__(self, name: str = "fake") -> None:
        self.name = name

    def measure(self, sandbox: FakeSandbox) -> Mapping[str, float]:
        with sandbox.launch(idle()) as instance:
            instance.wait()
        return {"ready": (instance.events["ready"] - instance.events["requested"]) / 1e9}
