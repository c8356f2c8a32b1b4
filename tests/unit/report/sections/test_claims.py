"""What a run says about what people claim."""

from __future__ import annotations

from isobench.report.blocks import plain
from isobench.report.sections import claims
from tests.unit.report.made import all_tables, context, estimate, with_differences_of_none, with_session


def test_claims_without_a_measurement_are_open() -> None:
    """A run of startup alone leaves memory and overhead open, and says how containers compare with VMs."""
    rows = [estimate("startup", "ready", n, r) for n, r in (("process", 1.0), ("docker", 300.0), ("tcg", 3000.0))]
    made = with_differences_of_none(context(estimates=rows, blocks=8))
    (table,) = all_tables(claims.build(made))
    verdicts = {plain(row[0].text)[:20]: plain(row[1].text) for row in table.rows}
    assert len(verdicts) == 13
    assert verdicts["Containers are light"] == "measured", "an emulated guest decides no claim about virtual machines"
    assert verdicts["Containers save reso"] == "open"
    made.session.host["virtual"] = "bare metal"
    rows = [row._replace(environment=row.environment.replace("tcg", "kvm")) for row in rows]
    made = with_session(with_differences_of_none(context(estimates=rows, blocks=8)), made.session)
    (table,) = all_tables(claims.build(with_differences_of_none(made)))
    assert "holds" in [plain(row[1].text) for row in table.rows]
