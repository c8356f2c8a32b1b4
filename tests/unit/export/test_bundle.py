"""A run as one archive to send to somebody: it loads, has the report, and no word names the host or a user."""

from __future__ import annotations

import argparse
import io
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.commands import export
from isobench.export import bundle
from isobench.results import store
from isobench.results.record import EnvironmentRecord, FailureRecord, SkipRecord
from tests.unit.analysis.made import write_run
from tests.unit.report.made import session as made_session

HOST, USER = "alices-laptop", "alice17"


@pytest.fixture
def run(tmp_path: Path) -> store.Run:
    """One whose free text names the host and a user wherever it may."""
    loaded = store.load(write_run(tmp_path))
    words = f"{HOST}: /home/{USER}/results, {HOST}-0123abcd"
    there = loaded.session.environments
    session = msgspec.structs.replace(
        loaded.session,
        host_id=f"{HOST}-0123abcd",
        command=["isobench", "run", "--out", f"/home/{USER}/results"],
        host={"name": words},
        fingerprint={"cpu": words},
        versions={HOST: words},
        environments=[msgspec.structs.replace(one, facts={"domain": words}) for one in there],
        skips=[SkipRecord("kvm", "", words, words)],
        failures=[FailureRecord(1, "docker", "startup", words, words)],
        left_behind=[words],
    )
    return loaded._replace(session=session)


def unpacked(data: bytes, to: Path) -> dict[str, Path]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python does not have it
        archive.extractall(to)
        assert all(entry.uname == "" and entry.uid == 0 for entry in archive)
    return {file.name: file for file in to.rglob("*") if file.is_file()}


def test_it_names_nobody_and_is_a_run(run: store.Run, tmp_path: Path) -> None:
    files = unpacked(bundle.bundle(run), tmp_path / "sent")
    drawings = {name for name in files if name.endswith(".svg")}
    assert drawings and set(files) == {"suite.json", "session.json", "report.md", "index.html"} | drawings
    for file in files.values():
        assert HOST not in file.read_text() and USER not in file.read_text(), file.name
        assert HOST not in str(file)
    loaded = store.load(files["session.json"].parent)
    assert {s.benchmark: s.values for s in loaded.series} == {s.benchmark: s.values for s in run.series}
    assert [e.name for e in loaded.session.environments] == [e.name for e in run.session.environments]


def test_runs_of_one_machine_stay_of_one_machine(run: store.Run) -> None:
    other = msgspec.structs.replace(run.session, host_id=f"{HOST}-99999999")
    names = [bundle.anonymous(one).host_id for one in (run.session, run.session, other)]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("name", ["vm", "kvm", "host", "startup", "process"])
def test_a_host_that_is_called_like_something_of_ours(run: store.Run, name: str) -> None:
    """What isobench itself calls things stays."""
    session = msgspec.structs.replace(run.session, host_id=f"{name}-0123abcd")
    clean = bundle.anonymous(session)
    assert [(e.name, e.layer) for e in clean.environments] == [(e.name, e.layer) for e in session.environments]
    assert clean.failures[0].scenario == "startup" and clean.skips[0].environment == "kvm"


@given(text=st.text(), number=st.integers(0, 2**32 - 1))
def test_any_text(text: str, number: int) -> None:
    """Whatever a fact says, the record stays one, and the host's id is not in it."""
    digits = f"{number:08x}"
    facts = EnvironmentRecord("kvm", "KVM", "vm", "", None, False, {"said": f"{text} box-{digits} {text}"})
    clean = bundle.anonymous(msgspec.structs.replace(made_session(), host_id=f"box-{digits}", environments=[facts]))
    assert f"box-{digits}" not in clean.environments[0].facts["said"]


def test_the_command(run: store.Run, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    export.configure(parser)
    out = tmp_path / "run.tar.gz"
    store.save(run)
    assert export.run(parser.parse_args([str(run.path), "--to", "bundle", "--out", str(out)])) == 0
    assert "report.md" in unpacked(out.read_bytes(), tmp_path / "sent")


def test_other_people_s_programs_are_not_named(run: store.Run) -> None:
    marks = ["other programs kept CPUs busy (42% of all, most of it secret(1))", "the machine swapped (300 pages)"]
    block = msgspec.structs.replace(run.session.blocks[0], marks=marks)
    clean = bundle.anonymous(msgspec.structs.replace(run.session, blocks=[block]))
    assert clean.blocks[0].marks == ["other programs kept CPUs busy (42% of all)", "the machine swapped (300 pages)"]
