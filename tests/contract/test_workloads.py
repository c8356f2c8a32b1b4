"""Workload files in real environments: a server with its driver, Debian packages, and each way to fail."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.contracts.answers import first_answer
from isobench.contracts.launch import commands
from isobench.core.errors import MeasurementError
from isobench.planning import catalog
from isobench.planning.workloads import select_workloads
from isobench.processes.accounting import pids_with
from isobench.workloads.measured import Measured, output_of
from isobench.workloads.root import image_workload
from isobench.workloads.workload import Allotment
from tests.contract.opening import GUEST, opened
from tests.image import LAYERS, SHOWN, Entry, oci_archive

pytestmark = pytest.mark.root

SOURCE = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
    inet_pton(AF_INET, getenv("SERVER") ? getenv("SERVER") : "0.0.0.0", &to.sin_addr);
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        puts("starting");
        fflush(stdout);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&to, sizeof to) < 0 || listen(fd, 5) < 0)
            return 1;
        for (;;) {
            int other = accept(fd, NULL, NULL);
            if (write(other, "fine\n", 5) < 0)
                return 2;
            close(other);
        }
    }
    char text[64];
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 || read(fd, text, 5) != 5)
        return 3;
    printf("{\"answer\": \"%.4s\", \"took\": [7, 2.5]}\n", text);
    return 0;
}
"""
FILE = """\
title = "a server"

[root]
files = { "/opt/program" = "program" }

[server]
command = ["/opt/program", "serve", "at $PORT"]
ready = { port = 7009 }

[driver]
command = ["/opt/program", "ask"]
expect = '"answer": "fine"'

[[numbers]]
name = "took"
unit = "ms"
meaning = "made up"
json = "took.1"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A workload of one static program."""
    command = ["/usr/bin/cc", "-x", "c", "-", "-static", "-o", str(tmp_path / "program")]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    (tmp_path / "server.toml").write_text(FILE)
    return tmp_path / "server.toml"


def _parameters(*names: str) -> Iterator[object]:
    marks = {"engine": [pytest.mark.docker], "vm": [pytest.mark.libvirt]}
    for name in names:
        yield pytest.param(name, marks=marks.get(catalog.environments()[name].layer, []))


def _read(file: Path) -> Measured:
    (found,) = select_workloads(str(file))
    return found


@pytest.mark.parametrize("name", list(_parameters("process", "chroot", "ns-all", "handmade", "runc", "docker", GUEST)))
def test_a_server_and_its_driver(name: str, file: Path) -> None:
    """Its own loopback is up, the server's end is no failure, and the second instance finds the port free."""
    workload = _read(file)
    with opened(name) as sandbox:
        for _ in range(2):
            values = workload.measure(sandbox)
            assert values["took"] == 0.0025
            assert {"first-answer", "wall", "cpu"} <= values.keys() and min(values.values()) >= 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="wants two CPUs")
@pytest.mark.tool("busybox")
@pytest.mark.parametrize("name", list(_parameters("process", "handmade", "docker", GUEST)))
def test_the_driver_has_a_cpu_of_its_own(name: str, tmp_path: Path) -> None:
    """Where the host has one more than the server is given: each tells where it may run."""
    shutil.copy(shutil.which("busybox") or "", tmp_path / "busybox")
    where = "busybox grep Cpus_allowed_list: /proc/self/status"
    (tmp_path / "where.toml").write_text(f"""
title = "two CPUs"
[root]
files = {{ "/bin/busybox" = "busybox", "/bin/sh" = "busybox" }}
[server]
command = "{where} > /data/server; exec busybox sleep 60"
ready = {{ command = "busybox test -s /data/server" }}
[driver]
command = "busybox cat /data/server; {where}"
expect = '(?s)^Cpus_allowed_list:\\s(\\d+)\\n.*:\\s(?!\\1)\\d+$'
""")
    (workload,) = select_workloads(str(tmp_path / "where.toml"), Allotment(cpus=1))
    with opened(name) as sandbox:
        assert workload.measure(sandbox)["wall"] > 0


@pytest.mark.parametrize("name", list(_parameters("process", "docker")))
@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('"serve"', '"ask"', "the server did not become ready: it exited with status 3"),
        ('["/opt/program", "serve", "at $PORT"]', '["/opt/none"]', "cannot be started: /opt/none: No such file"),
        ('"answer": "fine"', '"answer": "good"', "the answer is wrong"),
        ("took.1", "took.2", "the JSON of the output has no took.2"),
    ],
)
def test_what_fails_of_it(name: str, file: Path, before: str, after: str, reason: str) -> None:
    """One line of each, from a real instance."""
    assert before in FILE
    file.write_text(FILE.replace(before, after))
    workload = _read(file)
    with opened(name) as sandbox, pytest.raises(MeasurementError, match=reason):
        workload.measure(sandbox)


@pytest.mark.tool("busybox")
@pytest.mark.parametrize("name", list(_parameters("chroot", "ns-all", "runc", "podman", "docker", GUEST)))
def test_an_image(name: str, tmp_path: Path) -> None:
    """Every file has the same content everywhere, and its user, folder, variables and entry point are honoured."""
    program = Path(shutil.which("busybox") or "").read_bytes()
    files = [f"/{file}" for file in SHOWN]
    config = {"Entrypoint": ["/usr/bin/busybox"], "WorkingDir": "/srv/app", "User": "web", "Env": ["WHO=me"]}
    layers = [[Entry("usr/bin/busybox", program, 0o755)], *LAYERS, [Entry("opt/first", SHOWN["opt/first"], 0o644)]]
    image = oci_archive(tmp_path / "image.tar", layers, config)
    text = f"sha256sum {' '.join(files)}; pwd; id -u; id -g; echo $WHO; echo > /data/x; ls /opt /removed /cache"
    workload = Measured(image_workload(str(image), ["sh", "-c", text]))
    (step,) = workload._steps()
    cpus, memory = workload.allotment
    launch = commands(workload.root.archive, *step.words, cpus=cpus, memory_bytes=memory, timeout=60)
    with opened(name) as sandbox, sandbox.launch(launch) as instance:
        instance.stdin.write(b"\n")
        answer = first_answer(instance.stdout)
        instance.wait()
    said = output_of(answer).splitlines()
    assert [line.split() for line in said[: len(files)]] == [
        [hashlib.sha256(content).hexdigest(), f"/{file}"] for file, content in SHOWN.items()
    ]
    assert said[len(files) : len(files) + 4] == ["/srv/app", "33", "44", "me"]
    assert [line for line in said[len(files) + 4 :] if line] == [
        *("/cache:", "new", "/opt:", "first", "second", "/removed:", "again")
    ]


@pytest.mark.parametrize(
    "name",
    list(
        _parameters(
            "process", "ns-all", "docker", "docker-hostnet", "docker-published", f"{GUEST}-user", f"{GUEST}-tap"
        )
    ),
)
def test_a_driver_on_the_host(name: str, file: Path) -> None:
    """It reaches the server over the environment's own path, where the host has its own server at that port, too. Its
    processes are gone afterwards, and the host's CPU time is without it."""
    file.write_text(FILE.replace("[driver]", '[driver]\nwhere = "host"\nwarm_up = ["/opt/program", "ask"]'))
    workload = _read(file)
    with opened(name) as sandbox, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 7009))
        other.listen()
        values = workload.measure(sandbox)
        facts = workload.facts(sandbox)
    assert values["took"] == 0.0025 and values["host-cpu"] >= 0
    assert facts["driver"].startswith("on the host")
    assert not pids_with("/probe", "run", "/opt/program", "ask")


@pytest.mark.libvirt
def test_no_path_from_the_host(file: Path) -> None:
    """To a guest without a network card: the cell fails and says why."""
    file.write_text(FILE.replace("[driver]", '[driver]\nwhere = "host"'))
    with (
        opened(GUEST) as sandbox,
        pytest.raises(MeasurementError, match="no path from the host to the server: the host's own"),
    ):
        _read(file).measure(sandbox)


@pytest.mark.slow
@pytest.mark.tool("mmdebstrap")
@pytest.mark.parametrize("name", list(_parameters("process", "ns-all", "docker")))
def test_the_one_of_the_tutorial(name: str) -> None:
    """docs/your-own.md says to write this file."""
    workload = _read(Path(__file__).parents[2] / "docs/ping.toml")
    with opened(name) as sandbox:
        assert workload.measure(sandbox)["hundred"] > 0


@pytest.mark.slow
@pytest.mark.tool("mmdebstrap")
@pytest.mark.parametrize("name", list(_parameters("process", "docker")))
@pytest.mark.parametrize("workload", sorted(catalog.workloads()))
def test_a_shipped_one(name: str, workload: str) -> None:
    """It is made of packages and gives each of its numbers."""
    (found,) = select_workloads(workload)
    with opened(name) as sandbox:
        values = found.measure(sandbox)
    assert {number.name for number in found.workload.numbers} | {"wall", "cpu", "host-cpu"} <= values.keys()
    assert values.keys() <= {metric.name for metric in found.metrics}
