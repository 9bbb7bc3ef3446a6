"""Every method on the same hidden values: the numbers, the marks, the files, what fails."""

import csv
import re

import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset, cloudy_field
from hypothesis import given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.classical.baselines import linear_in_time, nearest
from oceanfill.pipeline.cli.tables import comparison_table
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.splits import hold_out
from oceanfill.pipeline.jobs.compare import (
    Scored,
    compare,
    largest_box,
    locate,
    score_rows,
    usual_methods,
    write,
)
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.jobs.methods import Candidate, Method
from oceanfill.pipeline.settings import Training

torch.set_num_threads(1)
SIMPLE = ("nearest", "linear-time")


@pytest.fixture(scope="module")
def field():
    return cloudy_field(dates=20, rows=16, columns=18)


@pytest.fixture(scope="module")
def comparison(field):
    return compare(field, SIMPLE, seed=3)


def scored(estimates, truth, dates):
    """Values of a row of dates, each error one."""
    cell = np.column_stack([dates, np.zeros((len(dates), 2), int)])
    nothing = np.zeros(len(dates))
    found = Scored(truth, np.ones(len(dates)), cell, nothing, nothing)
    found.estimates = {name: (mean, np.ones(len(dates))) for name, mean in estimates.items()}
    return found


def test_the_scores_are_those_of_the_methods_without_what_was_hidden(field, comparison):
    choosing, wanted = hold_out(field, 0.2, np.random.default_rng(3))
    seen = field.hide(choosing | wanted)
    assert {row["method"] for row in comparison.rows} == set(SIMPLE)
    for row in comparison.rows:
        mean, error = {"nearest": nearest, "linear-time": linear_in_time}[row["method"]](seen)
        wrong = (mean - field.values)[wanted]
        ratio = np.abs((mean - field.values) / error)
        sigma = error[wanted] * np.quantile(ratio[choosing], 0.6827)
        assert row["n"] == wanted.sum()
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean(wrong**2)), rel=1e-5)
        assert row["bias"] == pytest.approx(wrong.mean(), rel=1e-4)
        assert row["mae"] == pytest.approx(np.abs(wrong).mean(), rel=1e-5)
        assert row["coverage_1sigma"] == pytest.approx((np.abs(wrong) <= sigma).mean(), abs=0.01)
        assert row["rmse_low"] < row["rmse"] < row["rmse_high"]
        assert row["seconds"] > 0
    assert comparison.rows[0]["rmse"] <= comparison.rows[1]["rmse"]


def test_no_hidden_value_is_in_any_estimate(field, comparison):
    _, wanted = hold_out(field, 0.2, np.random.default_rng(3))
    other = cloudy_field(dates=20, rows=16, columns=18)
    other.values[wanted] = 99.0
    again = compare(other, SIMPLE, seed=3).scored.estimates
    for name, (mean, error) in comparison.scored.estimates.items():
        np.testing.assert_array_equal(mean, again[name][0])
        np.testing.assert_array_equal(error, again[name][1])


def test_the_interval_is_that_of_the_rmse_over_many_dates():
    """The mean square of n normal errors has a standard deviation of sqrt(2 / n), their RMSE half of that."""
    dates = np.arange(900)
    row = score_rows(scored({"one": np.random.default_rng(0).standard_normal(900)}, np.zeros(900), dates))[0]
    half = 1.96 / np.sqrt(2 * 900)
    assert [row["rmse_low"], row["rmse_high"]] == pytest.approx(
        [row["rmse"] - half, row["rmse"] + half], abs=0.01
    )


def test_what_dates_cannot_tell_from_the_best_is_a_tie():
    rng = np.random.default_rng(0)
    dates = np.repeat(np.arange(40), 5)
    errors = rng.choice([-1.0, 1.0], 200)
    flipped = np.where(dates % 2, 1.1, 0.92) * errors  # better on half of the dates, a little worse on all
    rows = score_rows(scored({"worse": 1.2 * errors, "even": flipped, "best": errors}, np.zeros(200), dates))
    assert [(row["method"], row["tie"]) for row in rows] == [
        ("best", False),
        ("even", True),
        ("worse", False),
    ]


def test_one_date_supports_no_difference():
    rows = score_rows(scored({"one": np.ones(5), "two": 3 * np.ones(5)}, np.zeros(5), np.zeros(5, int)))
    assert rows[1]["tie"]


def test_folds_are_scored_together(field, comparison):
    both = compare(field, SIMPLE, seed=3, folds=2)
    second = compare(field, SIMPLE, seed=4)
    for row in both.rows:
        parts = [
            next(part for part in one.rows if part["method"] == row["method"]) for one in (comparison, second)
        ]
        n = np.array([part["n"] for part in parts])
        assert row["n"] == n.sum()
        squares = n @ np.square([part["rmse"] for part in parts])
        assert row["rmse"] == pytest.approx(np.sqrt(squares / n.sum()), rel=1e-6)


def test_a_method_that_fails_is_a_row_with_the_reason(field, tmp_path):
    def fails(field):
        raise ValueError("singular matrix\nand more")

    found = compare(field, (fails, "nearest"))
    why = "the method fails failed (ValueError: singular matrix); repair it"
    assert found.rows[-1] == {"method": "fails", "failed": why}
    assert found.rows[0]["method"] == "nearest"
    write(found, tmp_path / "out")
    assert f"fails: {why}" in (tmp_path / "out.md").read_text()


def test_with_a_truth_the_gaps_are_scored_with_all_that_was_observed():
    dataset = cloudy_dataset()
    field = cloudy_field()
    truth = dataset.truth.to_numpy()
    shifted = (truth + np.where(field.sea, 0.5, 0)).astype(np.float32)
    one = np.where(np.isfinite(truth), np.float32(1), np.float32(np.nan))
    made = Candidate("shifted", (shifted, one), (shifted, one))
    row = compare(field, [Method("shifted", lambda data, settings: [{"shifted": made}])], truth=truth).rows[0]
    assert row["n"] == (~field.observed & field.sea).sum()
    assert [row["rmse"], row["mae"], row["bias"]] == pytest.approx([0.5, 0.5, 0.5], rel=1e-5)
    # µ is one minus the RMSE over the truth's root mean square; every wave but the mean is right.
    rows, columns = largest_box(field.sea)
    box = (slice(None), rows, columns)
    errors = np.where(field.observed, 0.02, 0.5)[box]
    expected = 1 - np.sqrt(np.mean(errors**2)) / np.sqrt(np.mean(truth[box] ** 2))
    assert row["mu"] == pytest.approx(expected, abs=2e-3)
    daily = 1 - np.sqrt((errors**2).mean(axis=(1, 2)) / (truth[box] ** 2).mean(axis=(1, 2)))
    assert row["sigma"] == pytest.approx(daily.std(), rel=0.02)
    assert 0.05 < row["lambda_x"] < 5
    with pytest.raises(InputError, match="the truth has no value in a gap"):
        compare(field, ["nearest"], truth=np.where(field.observed, truth, np.nan))


def test_where_the_hidden_values_are():
    field = cloudy_field(dates=4, rows=6, columns=8)
    field.values[:] = 1.0
    field.values[1:3, :, 4:] = np.nan
    field.values[3, 5, 7] = np.nan
    here = np.zeros(field.values.shape, bool)
    here[1, 3, 6] = here[2, 5, 7] = here[2, 4, 4] = True
    found = locate(field, here)
    km = np.radians(0.1) * 6371 * np.cos(np.radians(field.lat.mean()))
    np.testing.assert_array_equal(found.cell, np.argwhere(here))
    np.testing.assert_allclose(found.distance, np.array([3, 1, 4]) * km, rtol=0.01)
    np.testing.assert_array_equal(found.age, [1, 1, 2])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_the_largest_box_is_the_largest(seed, rows, columns):
    where = np.random.default_rng(seed).random((rows, columns)) < 0.7
    found = where[largest_box(where)]
    areas = [
        (b - a) * (d - c)
        for a in range(rows)
        for b in range(a + 1, rows + 1)
        for c in range(columns)
        for d in range(c + 1, columns + 1)
        if where[a:b, c:d].all()
    ]
    assert found.all()
    assert found.size == max(areas, default=0)


def test_the_files_have_the_rows(comparison, tmp_path):
    paths = write(comparison, tmp_path / "found.v1")
    assert [path.name for path in paths] == ["found.v1.csv", "found.v1.md"]
    with paths[0].open() as file:
        kept = list(csv.DictReader(file))
    assert [row["method"] for row in kept] == [row["method"] for row in comparison.rows]
    assert [float(row["rmse"]) for row in kept] == [row["rmse"] for row in comparison.rows]
    lines = paths[1].read_text().splitlines()
    assert re.match(rf"\| {comparison.rows[0]['method']} \| {comparison.rows[0]['rmse']:.4g} \|", lines[2])
    assert lines[2].endswith("| best |")
    assert comparison_table(comparison).row_count == 2


def test_names_that_are_not_there_are_refused(field):
    with pytest.raises(InputError, match=r"no method is called .krig.; choose one of .*oi"):
        compare(field, ["krig"])
    with pytest.raises(InputError, match=r"there is no hold-out .swaths.; choose one of clouds, tracks"):
        compare(field, ["nearest"], holdout="swaths")


def test_a_field_in_which_nothing_can_be_hidden_is_refused(field):
    bare = field.hide(np.broadcast_to(np.arange(20)[:, None, None] > 0, field.values.shape))
    with pytest.raises(InputError, match="no values can be hidden by dates"):
        compare(bare, ["nearest"], holdout="dates")


def test_networks_and_the_first_guess_are_among_them(field):
    found = compare(field, ("oi", "unet", "nearest"), training=Training(epochs=1))
    assert not any("failed" in row for row in found.rows)
    assert found.weighted
    assert {row["method"] for row in found.rows} == {"oi", "unet", "nearest"}
    by = {row["method"]: row for row in found.rows}
    assert by["oi"]["rmse"] < by["nearest"]["rmse"]
    assert by["unet"]["seconds"] > by["oi"]["seconds"]
    assert usual_methods()[-1] == "unet"


def test_auto_delivers_the_best_and_says_why(caplog):
    rows = []
    with caplog.at_level("INFO", logger="oceanfill"):
        filled = fill(
            cloudy_dataset(dates=8, rows=12, columns=14),
            variable="sst",
            method="auto",
            training=Training(epochs=1),
            report=rows.extend,
        )
    said = next(record.getMessage() for record in caplog.records if "is delivered" in record.getMessage())
    assert len(rows) == 5
    least = min(rows, key=lambda row: row["validation_rmse"])["method"]
    (chosen,) = (row for row in rows if row["choice"])
    assert chosen["choice"] in ("least RMSE", f"within one standard error of {least}")
    assert said == f"{chosen['method']} is delivered: {chosen['choice']} on the validation values"
    assert (filled.attrs["delivered"], filled.attrs["held_out_choice"]) == (
        chosen["method"],
        chosen["choice"],
    )
    assert isinstance(filled, xr.Dataset)
