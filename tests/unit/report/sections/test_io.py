"""I/O: latencies, storage paths, the first write through an overlay."""

from __future__ import annotations

from isobench.analysis.results import Difference
from isobench.layout.blocks import Figure, Table, plain
from isobench.report.sections import io
from tests.unit.report.made import context, estimate, overlays, row_of


def test_latencies_are_drawn_from_the_median_to_the_tail() -> None:
    """A panel a job with p50, p99 and p99.9; a percentile and the CPU time are no costs of their own in the title."""
    tails = {"p50": 0.5, "p99": 2.0, "p99.9": 20.0, "cpu": 0.1}
    rows = [estimate("io", "randread-4k", name, 1.0) for name in ("process", "docker")]
    rows += [estimate("io", f"randread-4k-{t}", n, r) for n in ("process", "docker") for t, r in tails.items()]
    figures = [block for block in io.build(context(estimates=rows, blocks=6)) if isinstance(block, Figure)]
    assert len(figures) == 3 and figures[1].title == "io latencies of 1 operation", "both have the same tail"
    rows = [row._replace(median=2 * row.median) if (row.metric, row.environment) == ("randread-4k-p99.9", "docker")
            else row for row in rows]  # fmt: skip
    figures = [block for block in io.build(context(estimates=rows, blocks=6)) if isinstance(block, Figure)]
    assert "in docker, where one operation in a thousand takes 80.0× the median" in figures[1].title
    assert [plain(cell.text) for cell in figures[1].data.rows[1]][1:] == ["50.0 µs", "200 µs", "4.00 ms"]
    assert all("-p99" not in plain(row[0].text) for row in figures[0].data.rows)


def test_a_storage_path_is_set_against_the_one_it_differs_from() -> None:
    """Paired by block, with the cause named only where it is one; against the baseline there is the ratio already."""
    rows = [estimate("io", "randread-4k", name, r) for name, r in (("process", 1.0), ("ns-all", 2.0), ("docker", 3.0))]
    tables = [b for b in io.build(context(estimates=rows)) if isinstance(b, Table) and "storage path" in b.caption]
    (row,) = [[plain(cell.text) for cell in row] for row in tables[0].rows]
    assert row[0] == "docker against ns-all" and row[2].startswith("several things")
    assert row[3] == "200 µs" and row[4].startswith("+1")


def test_copy_up_is_drawn_against_the_size_of_the_file() -> None:
    """Metrics of a first write become one figure over the size, whose title says what the largest file tells."""
    sizes = (("1k", 1.0), ("1m", 2.0), ("100m", 50.0))
    rows = [estimate("io", f"copy-up-{size}", name, r) for name in ("process", "docker") for size, r in sizes]
    figure = next(b for b in io.build(context(estimates=rows)) if isinstance(b, Figure) and "First write" in b.title)
    assert figure.title == "First write to the largest file: docker against process: 50.0×"
    cells = row_of(figure.data, "docker")[1:]
    assert cells == ["100 µs (98.0 µs … 102 µs)", "200 µs (196 µs … 204 µs)", "5.00 ms (4.90 ms … 5.10 ms)"]


def test_an_overlay_is_set_against_a_volume() -> None:
    """What copying up costs is Docker's overlay against Docker's volume, paired, for first and second write alike; an
    overlay without such a partner stands against the baseline."""
    figures = [b for b in io.build(overlays("process", "ns-all", "docker", "docker-volume")) if isinstance(b, Figure)]
    (figure,) = [f for f in figures if f.title.startswith("An overlay")]
    assert figure.title == "An overlay adds to the first write to files of 3 of 3 sizes; none stands out"
    rows = [[plain(cell.text) for cell in row] for row in figure.data.rows]
    assert [row[0] for row in rows[::4]] == ["docker against docker-volume", "ns-all against process"]
    assert [row[1] for row in rows[:4]] == ["copy-up-1k", "copy-up-1m", "copy-up-100m", "again-1m"]
    assert "named volume" in rows[0][2] and "several things" in rows[4][2]
    assert rows[0][3] == "1.00 ms" and rows[0][4] == "+4.24 [+3.82, +4.66] ms"
    assert rows[3][4].startswith("+4"), rows[3]
    assert "95 % interval; n = 11 pairs" in figure.note


def test_an_overlay_is_named_where_it_certainly_adds_most() -> None:
    """One size and path by more than all others reach; none where none is certain."""
    near = Difference("io", "m", "docker", "volume", "second", 12, 1.0, 0.5, 1.5)
    far, unsure = near._replace(value=9.0, low=8.0, high=10.0), near._replace(value=2.0, low=-1.0, high=3.0)
    assert io._what_overlays_add({near: (0, "x"), far: (2, "y")}, 3).endswith("to the largest file: y")
    assert io._what_overlays_add({unsure: (0, "x")}, 3) == "No first write certainly costs more through an overlay"


def test_copy_up_without_an_overlay_has_nothing_to_set_it_against() -> None:
    """Where neither an overlay nor its partner was measured, there is the one figure."""
    for names in (("process",), ("docker",), ("process", "docker-volume")):
        assert len([b for b in io.build(overlays(*names)) if isinstance(b, Figure)]) == 1
