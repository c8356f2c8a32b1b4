"""A dead run's name, and mechanisms that find nothing of it."""

from __future__ import annotations

NAME = "isobench-20260101T000000Z-abcdef"


def nothing(run: str) -> list[str]:
    return []
