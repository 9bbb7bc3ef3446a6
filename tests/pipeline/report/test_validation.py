"""The section of a report about independent points."""

from __future__ import annotations

import pandas as pd
from oceanfill.pipeline.holdout.validation import Validation
from oceanfill.pipeline.report.validation import describe_validation


def make_row(by: str, name: str, **figures: float) -> dict:
    row = {"by": by, "name": name, "n": 40, "platforms": 3, "bias": 0.1, "rmse": 0.5, "sd": 0.49}
    row |= {
        "robust_sd": 0.4,
        "correlation": 0.9,
        "coverage_1sigma": 0.6,
        "coverage_2sigma": 0.9,
        "spread_skill": 0.8,
    }
    row |= {
        f"{key}_{end}": 0.05
        for key in ("bias", "rmse", "sd", "robust_sd", "correlation")
        for end in ("low", "high")
    }
    return row | figures


def make(**parts) -> Validation:
    rows = [make_row("all", "all", rmse_low=0.4, rmse_high=0.6)]
    rows += [
        make_row("origin", "observed", rmse=0.2),
        make_row("origin", "filled", bias_low=None, correlation=None),
    ]
    held = {"scores": rows, "spread": [], "reliability": (), "collocation": [], "notes": ("a note",)}
    held |= {"variable": "sst", "units": "degree_Celsius", "points": "a.csv", "matchups": pd.DataFrame()}
    return Validation(**(held | parts))


def test_figures_have_their_intervals_and_units():
    section = describe_validation(make())
    facts = dict(section.facts)
    assert facts["RMSE"] == "0.5 °C, 95% interval 0.4 to 0.6"
    assert facts["Correlation"] == "0.9, 95% interval 0.05 to 0.05"
    assert facts["Match-ups"] == "40 of 3 platforms"
    assert facts["Within one and two standard errors"] == "60.0% and 90.0%"
    assert facts["Note"] == "a note"
    (table,) = section.tables
    assert table.rows[2][0] == "Origin: filled"
    assert table.rows[2][4] == "–", "no interval of the bias"
    assert table.rows[2][8] == "–", "no correlation"
    (picture,) = section.pictures
    assert "observed 0.2, filled 0.5 °C." in picture.alt


def test_spread_reliability_and_sources_are_shown_where_they_are_known():
    spread = [
        {"n": 5, "error_low": 0.1, "error_high": 0.2, "expected": e, "found": 2 * e} for e in (0.1, 0.3)
    ]
    sources = [{"source": "field", "n": 9, "error_sd": 0.3, "error_sd_low": None, "error_sd_high": None}]
    sources[0] |= {"correlation": 0.95}
    found = make(spread=spread, reliability=tuple(k / 20 for k in range(1, 20)), collocation=sources)
    section = describe_validation(found)
    assert section.tables[1].rows == [["field", "9", "0.3", "–", "0.95"]]
    _, scatter, diagram = section.pictures
    assert "0.2 where 0.1 is expected, 0.6 where 0.3 is expected." in scatter.alt
    assert "50% in the 50% interval, 80% in the 80% interval" in diagram.alt
