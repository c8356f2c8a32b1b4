"""Write the schemas of all that `--json` prints, and of a workload's file, into docs/, out of the code:
`python -m tests.schemas`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import msgspec

from isobench import cli
from isobench.workloads.file import WorkloadFile

FOLDER = Path(__file__).parents[1] / "docs"


def schemas() -> dict[str, str]:
    """The text of each file by its name."""
    found = {}
    for name, document in {**cli.documents(), "workload": WorkloadFile}.items():
        text = msgspec.json.encode(_as_any_version_makes_it(msgspec.json.schema(document)))
        found[f"{name}.schema.json"] = msgspec.json.format(text, indent=1).decode() + "\n"
    return found


def _as_any_version_makes_it(value: Any) -> Any:
    """Without the indentation of docstrings, which Python leaves away itself since 3.13; of alternatives null is the
    last, as msgspec has it since 0.22."""
    if isinstance(value, list):
        return [_as_any_version_makes_it(one) for one in sorted(value, key=lambda one: one == {"type": "null"})]
    if not isinstance(value, dict):
        return value
    return {
        key: inspect.cleandoc(one) if key == "description" and isinstance(one, str) else
        _as_any_version_makes_it(one)
        for key, one in value.items()
    }  # fmt: skip


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text)
