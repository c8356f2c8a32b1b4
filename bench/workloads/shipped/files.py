"""The files of this folder, as a plug-in's module names its own."""

from __future__ import annotations

from pathlib import Path

WORKLOADS = tuple(sorted(Path(__file__).parent.glob("*.toml")))
