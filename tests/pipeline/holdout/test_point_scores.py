"""Statistics of match-ups."""

from __future__ import annotations

import numpy as np
import pytest
from oceanfill.pipeline.holdout.point_scores import (
    Differences,
    bin_spread,
    collocate,
    count_reliability,
    score_points,
)
from scipy.stats import iqr, median_abs_deviation


def make(off, error=1.0, platform=None, observed=None, days=None) -> Differences:
    off = np.asarray(off, float)
    observed = np.zeros(len(off)) if observed is None else observed
    platform = np.arange(len(off)) if platform is None else platform
    days = np.zeros(len(off), int) if days is None else days
    time = np.datetime64("2020-01-01", "ns") + days.astype("timedelta64[D]")
    return Differences(
        observed + off, np.broadcast_to(error, off.shape).astype(float), observed, platform, time
    )


def test_statistics_are_those_of_their_definitions():
    rng = np.random.default_rng(0)
    observed = 1e6 + rng.standard_normal(400)
    off = 0.3 + 0.5 * rng.standard_normal(400)
    (row,) = score_points(make(off, 0.5, rng.integers(0, 20, 400), observed), None)
    assert row["n"], row["platforms"] == (400, 20)
    assert row["bias"] == pytest.approx(off.mean(), abs=1e-9)
    assert row["rmse"] == pytest.approx(np.sqrt((off**2).mean()), rel=1e-6)
    assert row["sd"] == pytest.approx(off.std(), rel=1e-6)
    assert row["robust_sd"] == pytest.approx(iqr(off, scale="normal"), rel=1e-4)
    assert row["robust_sd"] == pytest.approx(median_abs_deviation(off, scale="normal"), rel=0.1)
    assert row["correlation"] == pytest.approx(np.corrcoef(observed + off, observed)[0, 1], rel=1e-6)
    assert row["coverage_1sigma"] == np.mean(np.abs(off) <= 0.5)
    assert row["spread_skill"] == pytest.approx(0.5 / row["rmse"])


def test_intervals_respect_platforms():
    """Errors of a platform are alike: with offsets of sd 1 the bias of 25 has a standard error of 0.2."""
    rng = np.random.default_rng(1)
    platform = np.repeat(np.arange(25), 200)
    off = rng.standard_normal(25)[platform] + 0.1 * rng.standard_normal(5000)
    offsets = np.array([off[platform == k].mean() for k in range(25)])
    (row,) = score_points(make(off, 1.0, platform), None)
    half = (row["bias_high"] - row["bias_low"]) / 2
    assert half == pytest.approx(1.96 * offsets.std() / 5, rel=0.08)
    (apart,) = score_points(make(off, 1.0, np.arange(5000)), None)
    assert apart["bias_high"] - apart["bias_low"] < half / 5, "5000 platforms of one value each"
    for key in ("rmse", "sd", "robust_sd"):
        assert row[f"{key}_low"] < row[key] < row[f"{key}_high"]


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, held = np.random.default_rng(2), []
    for _ in range(60):
        platform = np.repeat(np.arange(30), 5)
        off = 0.5 + rng.standard_normal(30)[platform]
        (row,) = score_points(make(off, 1.0, platform), None)
        held.append(row["bias_low"] <= 0.5 <= row["bias_high"])
    assert 0.85 <= np.mean(held) <= 1


def test_a_single_platform_is_resampled_in_runs_of_ten_days():
    days = np.arange(100)
    off = np.where(days // 10 % 2 == 0, 1.0, -1.0)
    (row,) = score_points(make(off, 1.0, np.zeros(100, int), None, days + 8), None)
    assert row["platforms"] == 1
    assert row["bias_high"] - row["bias_low"] > 0.8, "ten values, not a hundred"
    (short,) = score_points(make(off[:3], 1.0, np.zeros(3, int), None, np.full(3, 5)), None)
    assert short["bias_low"] is None
    assert short["correlation"] is None, "the points do not vary"


def test_without_errors_there_is_no_coverage():
    (row,) = score_points(make([1.0, 2.0], np.nan), None)
    assert "coverage_1sigma" not in row
    assert bin_spread(make([1.0, 2.0], np.nan)) == []
    assert count_reliability(make([1.0], np.nan)) == ()


def test_an_honest_error_is_on_the_diagonal_and_half_of_it_is_not():
    rng = np.random.default_rng(3)
    error = rng.uniform(0.2, 2, 6000)
    off = error * rng.standard_normal(6000)
    rows = bin_spread(make(off, error))
    assert len(rows) == 10
    assert sum(row["n"] for row in rows) == 6000
    assert [row["found"] / row["expected"] for row in rows] == pytest.approx([1] * 10, abs=0.1)
    assert rows[0]["error_high"] < rows[1]["error_low"] <= rows[1]["error_high"]
    found = count_reliability(make(off, error))
    assert found[9] == pytest.approx(0.5, abs=0.02)
    assert found[18] == pytest.approx(0.95, abs=0.01)
    assert count_reliability(make(off, error / 2))[9] == pytest.approx(0.264, abs=0.02)


def test_equal_errors_are_one_class():
    assert [row["n"] for row in bin_spread(make(np.ones(500), 0.3))] == [500]


def test_triple_collocation_finds_the_errors():
    rng = np.random.default_rng(4)
    truth = 15 + 2 * rng.standard_normal(4000)
    sizes = (0.5, 0.3, 0.8)
    sources = [truth + size * rng.standard_normal(4000) for size in sizes]
    sources[2] = 3 + 1.2 * sources[2]  # a source in its own scale: its error is in that scale
    rows = collocate(sources, ["a", "b", "c"], np.repeat(np.arange(40), 100))
    assert [row["error_sd"] for row in rows] == pytest.approx([0.5, 0.3, 0.96], rel=0.08)
    assert [row["correlation"] for row in rows] == pytest.approx(
        [2 / np.hypot(2, size) for size in sizes], abs=0.01
    )
    assert all(row["error_sd_low"] < row["error_sd"] < row["error_sd_high"] for row in rows)


def test_a_negative_variance_is_no_error():
    rng = np.random.default_rng(5)
    truth, shared = rng.standard_normal((2, 500))
    rows = collocate([truth, truth + 0.7 * shared, truth - 0.7 * shared], ["a", "b", "c"], np.arange(500))
    assert rows[0]["error_sd"] is None
