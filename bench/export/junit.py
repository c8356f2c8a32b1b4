"""JUnit XML, for CI servers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from isobench.export._shared import Format, against, estimates

if TYPE_CHECKING:
    from isobench.analysis.results import Estimate, Results


def write(results: Results) -> bytes:
    """JUnit XML: a test case for each cell, failed where the cell failed in a measured block, skipped where skipped."""
    session = results.session
    failed = {(f.scenario, f.environment): f for f in session.failures if f.block > 0}
    counts: dict[str, str] = {"failures": str(len(failed)), "skipped": str(len(session.skips)), "errors": "0"}
    groups: dict[tuple[str, str], list[Estimate]] = {}
    for row in estimates(results):
        groups.setdefault((row.scenario, row.environment), []).append(row)
    cells = sorted({*groups, *failed})
    tests = str(len(cells) + len(session.skips))
    root = Xml.Element("testsuites")
    attributes = {"name": "isobench", "tests": tests, "timestamp": session.started, **counts}
    suite = Xml.SubElement(root, "testsuite", attributes)
    for scenario, environment in cells:
        case = Xml.SubElement(suite, "testcase", classname=_legal(scenario), name=_legal(environment))
        if (scenario, environment) in failed:
            failure = failed[scenario, environment]
            Xml.SubElement(case, "failure", message=_legal(failure.reason)).text = _legal(failure.console)
        if (scenario, environment) in groups:
            lines = [
                f"{row.metric} {row.median:.6g} {row.unit} {against(row)}" for row in groups[scenario, environment]
            ]
            Xml.SubElement(case, "system-out").text = _legal("\n".join(lines))
    for skip in session.skips:
        case = Xml.SubElement(
            suite, "testcase", classname=_legal(skip.scenario or "all"), name=_legal(skip.environment)
        )
        Xml.SubElement(case, "skipped", message=_legal(skip.reason))
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _legal(text: str) -> str:
    """Remove the characters that XML 1.0 does not allow."""
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )


FORMAT = Format("junit", "junit.xml", write)
