"""Scores by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from oceanfill.pipeline.holdout.score_classes import Places, ScoreClasses, count_inside, score_classes


@pytest.fixture(scope="module")
def scores():
    """Forty values: the errors are 1 in January and 3 in July, the last ten are never observed."""
    dates = pd.date_range("2020-01-01", periods=20).append(pd.date_range("2020-07-01", periods=20))
    truth = np.zeros(40)
    mean = np.where(dates.month == 1, 1.0, -3.0)
    age = np.concatenate([np.repeat([1.0, 2, 5], 10), np.full(10, np.inf)])
    lat, lon = np.tile([30.0, 31, 38, 39], 10), np.full(40, 5.0)
    places = Places(dates, lat, lon, np.full(40, np.inf), age)
    return score_classes(mean, np.full(40, 2.0), truth, np.ones(40), np.arange(40), places)


def test_scores_of_classes_are_those_of_their_values(scores):
    by = {(one.by, one.name): one for one in scores}
    whole = by["all", "all"]
    assert (whole.n, whole.bias, whole.rmse) == (40, -1, pytest.approx(np.sqrt(5)))
    assert whole.low < whole.rmse < whole.high
    winter, summer = by["season", "December to February"], by["season", "June to August"]
    assert (winter.n, winter.rmse, winter.coverage_1sigma) == (20, 1, 1)
    assert (summer.n, summer.rmse, summer.coverage_1sigma, summer.coverage_2sigma) == (20, 3, 0, 1)
    assert by["age", "never observed"].n == 10
    ages = [one for one in scores if one.by == "age"]
    assert [one.name for one in ages][:2] == ["up to 1 day", "1 to 2 days"]
    assert sum(one.n for one in ages) == 40
    assert {one.name for one in scores if one.by == "region"} == {"south-west", "north-west"}


def test_a_kind_of_one_class_is_left_out(scores):
    assert "distance" not in {one.by for one in scores}


def test_scores_are_read_as_they_were_written(scores):
    held = ScoreClasses(scores, (0.125, 0.5))
    found = ScoreClasses.from_json(held.to_json())
    assert found.reliability == (0.125, 0.5)
    assert found.scores[0].rmse == pytest.approx(np.sqrt(5), rel=1e-5)
    assert [one.name for one in found.scores] == [one.name for one in scores]


def test_a_class_of_one_value_has_no_interval():
    dates = pd.DatetimeIndex(["2020-01-01", "2020-07-01"])
    places = Places(dates, np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2))
    found = score_classes(np.ones(2), np.ones(2), np.zeros(2), np.ones(2), np.arange(2), places)
    assert [(one.low, one.high) for one in found[1:]] == [(None, None)] * 2


def test_share_inside_is_weighted():
    assert count_inside(np.array([-0.5, 2.0]), [1.0, 3.0], np.array([3.0, 1])) == (0.75, 1)
