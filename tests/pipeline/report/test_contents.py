"""What a report says, without its pictures."""

from __future__ import annotations

import json
from unittest.mock import Mock

import numpy as np
import pandas as pd
from oceanfill.pipeline.report.contents import Attributes, describe_choice, describe_repeat, tabulate_truth
from oceanfill.pipeline.report.parts import Section, format_time
from oceanfill.pipeline.report.survey import Survey


def test_score_of_one_of_several_variables_carries_its_name():
    held = {"sst_held_out_rmse": 1.0, "chl_held_out_rmse": 2.0, "method": "oi"}
    assert [Attributes(held, name).get("held_out_rmse") for name in ("sst", "chl")] == [1, 2]
    assert Attributes(held, "sst").get("method") == "oi"
    assert Attributes(held, "sst").curve == []


def test_choice_marks_what_is_delivered():
    rows = [
        {"method": "oi", "rmse": 0.5, "bias": 0.1, "coverage_1sigma": 0.7, "choice": "least RMSE"},
        {"method": "unet", "rmse": 0.6, "bias": -0.1, "coverage_1sigma": 0.6, "choice": "", "share": 0.25},
    ]
    attrs = {"method": "unet", "delivered": "oi", "held_out_choice": "least RMSE"}
    attributes = Attributes(attrs | {"candidate_scores": json.dumps(rows)}, "sst")
    none = np.zeros(0)
    survey = Survey("sst", {"units": "K"}, Mock(), pd.Index([]), none, none, none, none)
    made = describe_choice(survey, attributes)
    assert dict(made.facts)["Why"] == "least RMSE on the validation values"
    assert made.tables[0].caption.endswith("in K")
    assert made.tables[0].rows[0] == ("oi (delivered)", "0.5", "+0.1", "70.0%", "–")
    assert made.tables[0].rows[1] == ("unet", "0.6", "-0.1", "60.0%", "25.0%")


def test_truth_has_a_row_for_each_flag():
    row = {"label": "all", "variable": "sst", "units": "K", "n": 1234, "rmse": 0.5, "bias": 0.1, "mae": 0.2}
    (table,) = tabulate_truth([row, row | {"label": "gaps", "coverage_1sigma": 0.7}]).tables
    assert table.rows[0] == ("all", "1,234", "0.5", "0.1", "0.2", "–", "–", "–")
    assert table.rows[1][6] == "70.0%"
    assert len(table.head) == len(table.rows[0])


def test_configuration_that_is_no_json_is_shown_as_it_is():
    code = dict(describe_repeat({"configuration": "{broken"}).code)
    assert list(code.values()) == ["{broken"]


def test_names_of_links_and_dates():
    assert Section("Maps of 2020-01-02 12:00: the least").anchor == "maps-of-2020-01-02-12-00-the-least"
    assert format_time("2020-01-02T00:00:00.000") == "2020-01-02"
    assert format_time("2020-01-02 06:30:00") == "2020-01-02 06:30"
