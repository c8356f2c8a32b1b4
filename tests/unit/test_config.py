"""Configuration: what a file and the environment say become defaults, and what is wrong with them is named."""

from __future__ import annotations

import argparse
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from isobench import config
from isobench.commands import run
from isobench.core.errors import UsageError

COMMANDS = ("run", "report", "trend")


def parsed(*words: str) -> argparse.Namespace:
    """`isobench run WORDS` with what the current folder and the environment say."""
    parser = argparse.ArgumentParser()
    run.configure(parser)
    config.apply("run", parser, COMMANDS)
    return parser.parse_args(words)


def test_the_command_line_comes_before_the_environment_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One option in all three places, one in two, one in the file alone; the rest as if there were none."""
    monkeypatch.chdir(tmp_path)
    Path("isobench.toml").write_text(
        '[run]\nblocks = 3\nseed = 4\nenvironments = ["process", "docker"]\nmax_time = "20m"\nquiet = true\n'
    )
    monkeypatch.setenv("ISOBENCH_RUN_BLOCKS", "5")
    monkeypatch.setenv("ISOBENCH_RUN_SEED", "6")
    found = parsed("--blocks", "7")
    assert (found.blocks, found.seed, found.environments) == (7, 6, "process,docker")
    assert (found.max_time, found.quiet, found.profile) == (1200.0, True, "default")


def test_pyproject_serves_where_there_is_no_file_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table [tool.isobench.run] is read; isobench.toml comes before it; another project's is left alone."""
    monkeypatch.chdir(tmp_path)
    project = Path("pyproject.toml")
    project.write_text("[tool.other]\nblocks = 1\n")
    assert parsed().blocks is None
    project.write_text("[tool.isobench.run]\nblocks = 2\n")
    assert parsed().blocks == 2
    Path("isobench.toml").write_text("[run]\nblocks = 3\n")
    assert parsed().blocks == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[run]\nbloks = 3\n",
            "isobench.toml: [run] bloks: isobench run has no option 'bloks'; did you mean 'blocks'?",
        ),
        ("[rnu]\nblocks = 3\n", "isobench has no command 'rnu'; did you mean 'run'?"),
        ('[run]\nblocks = "many"\n', "isobench.toml: [run] blocks: 'many' is not a whole number"),
        ('[run]\nprofile = "slow"\n', "'slow' is none of quick, default, rigorous"),
        ('[run]\nquiet = "perhaps"\n', "'perhaps' is neither true nor false"),
        ('[run]\nmax-time = "soon"\n', "'soon' is not a duration"),
        ("[run]\nseed = [1, 2]\n", "is neither text nor a number"),
        ("run = 3\n", "run is not a table"),
        ("[run\n", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """A usage error, exit code 2, that says where and what."""
    monkeypatch.chdir(tmp_path)
    Path("isobench.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        parsed()
    assert said in caught.value.reason and "isobench.toml" in caught.value.reason


def test_an_unknown_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this command's: a variable for another command says nothing here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOBENCH_TREND_NONSENSE", "1")
    parsed()
    monkeypatch.setenv("ISOBENCH_RUN_PROFIL", "quick")
    with pytest.raises(UsageError, match="did you mean 'profile'"):
        parsed()


@given(some.one_of(some.binary(max_size=200), some.text(string.printable, max_size=200).map(str.encode)))
def test_any_bytes_are_a_configuration_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Nothing but our own error comes out of a file that anybody may have written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("any"))
        Path("isobench.toml").write_bytes(b"[run]\n" + data)
        try:
            parsed()
        except UsageError as error:
            assert "isobench.toml" in error.reason
