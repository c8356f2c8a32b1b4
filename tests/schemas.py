"""Write the schemas of all that `--json` prints, and of a workload's file, into docs/, out of the code:
`python -m tests.schemas`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from isobench import cli
from isobench.workloads.file import WorkloadFile

FOLDER = Path(__file__).parents[1] / "docs"


def schemas() -> dict[str, str]:
    """The text of each file by its name."""
    found = {}
    for name, document in {**cli.documents(), "workload": WorkloadFile}.items():
        text = msgspec.json.encode(msgspec.json.schema(document))
        found[f"{name}.schema.json"] = msgspec.json.format(text, indent=1).decode() + "\n"
    return found


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text)
