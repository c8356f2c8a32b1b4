"""The drawings' colours, on a light page and on a dark one.

Ten hues, chosen by hand: every mark has a contrast of at least 3:1 to its background (WCAG 2.1, success criterion
1.4.11), on both pages, and no two look alike to people with red-green colour blindness. Whatever has a colour of its
own has a marker, a hatch or a letter of its own too.
"""

from __future__ import annotations

INK, FAINT, GRID, PAPER = "#1d2329", "#5b6570", "#dde2e7", "#fdfefe"
"""Words and intervals; axes and figures beside bars; lines behind the marks; the card beneath (`style.css`)."""

CYCLE = ("#2f82d2", "#c07a00", "#a81c00", "#7d8c8b", "#832db6", "#5e3023", "#e85aa0", "#2f7d32", "#2b3340", "#0099a8")
"""One colour for each series, those drawn most first."""

DARK = {
    INK: "#e8ebee",
    FAINT: "#a7b1bb",
    GRID: "#343b43",
    PAPER: "#181c20",
    **dict(
        zip(
            CYCLE,
            ("#4f97e6", "#ffb02e", "#e8432a", "#8c9a99", "#c08cff",
             "#a0705c", "#ffa8d4", "#4caf50", "#dfe4ee", "#4fdcec"),
            strict=True,
        )
    ),
}  # fmt: skip
"""The replacement of each on a dark page. No replacement is itself replaced."""
