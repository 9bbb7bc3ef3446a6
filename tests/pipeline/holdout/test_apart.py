"""Points that are kept out of a filling."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.apart import set_apart
from oceanfill.pipeline.holdout.validation import validate
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.compare import compare
from oceanfill.pipeline.jobs.fill import fill


@pytest.fixture(scope="module")
def small():
    return cloudy_dataset(dates=10, rows=12, columns=14)


@pytest.fixture(scope="module")
def points(small, tmp_path_factory):
    """The truth at three buoys, read without error."""
    path = tmp_path_factory.mktemp("points") / "buoys.csv"
    rows = []
    for name, lat, lon in (("a", 35.52, -5.43), ("b", 35.77, -5.16), ("c", 35.93, -4.91)):
        value = small.truth.interp(lat=lat, lon=lon).to_numpy()
        rows.append(
            pd.DataFrame({"time": small.time, "lat": lat, "lon": lon, "platform": name, "sst": value})
        )
    pd.concat(rows).to_csv(path, index=False)
    return str(path)


def test_the_cells_around_points_are_hidden_where_they_are_observed(small, points):
    field = open_field(small, variable="sst")
    apart = set_apart(field, points)
    around = np.zeros((12, 14), bool)
    for lat, lon in ((35.52, -5.43), (35.77, -5.16), (35.93, -4.91)):
        row, column = int((lat - 35) / 0.1), int((lon + 6) / 0.1)
        around[row : row + 2, column : column + 2] = True
    assert around.sum() == 12
    np.testing.assert_array_equal(apart.hidden, field.observed & around)
    assert len(apart.matched.points) == 30


def test_a_reach_hides_all_within_it(small, points):
    field = open_field(small, variable="sst")
    wide = set_apart(field, points, reach=25.0).hidden
    east = np.cos(np.radians(35.5)) * (field.lon + 5.43)
    near = np.hypot(field.lat - 35.52, east) * 111.19 < 24.8
    assert (wide[:, near] == field.observed[:, near]).all()
    far = np.ones(near.shape, bool)
    for lat, lon in ((35.52, -5.43), (35.77, -5.16), (35.93, -4.91)):
        far &= np.hypot(field.lat - lat, np.cos(np.radians(35.5)) * (field.lon - lon)) * 111.19 > 25.2
    assert not wide[:, far].any()
    with pytest.raises(InputError, match=r"every value of sst is within reach.*smaller hold_out_reach="):
        set_apart(field, points, reach=500.0)


def test_values_that_are_kept_out_do_not_matter(small, points):
    """What is observed at the points may be anything: the result is the same."""
    found = fill(small.drop_vars("truth"), method="oi", hold_out=points)
    hidden = set_apart(open_field(small, variable="sst"), points).hidden
    changed = small.drop_vars("truth")
    changed["sst"] = changed.sst.where(~hidden)
    again = fill(changed, method="oi", hold_out=points)
    np.testing.assert_array_equal(again.sst, found.sst)
    assert (found.sst_source.to_numpy()[hidden] >= 2).all()
    cell = found.sst_source.sel(lat=35.5, lon=-5.5, method="nearest")
    assert (cell == 3).all(), "a buoy at rest hides its cells on all dates"
    expected = validate(found, points)
    assert found.attrs["validation_n"] == 30
    assert found.attrs["validation_rmse"] == pytest.approx(expected.scores[0]["rmse"], rel=1e-6)
    assert found.attrs["validation_points"] == "buoys.csv"
    assert json.loads(found.attrs["validation"])["scores"][0]["platforms"] == 3
    assert json.loads(found.attrs["configuration"])["hold_out"] == points
    assert "buoys.csv" in json.loads(found.attrs["input_checksums"])


def test_the_row_of_the_score_is_that_of_the_points(small, points):
    rows = []
    found = fill(small.drop_vars("truth"), method="nearest", hold_out=points, report=rows.extend)
    assert rows[-1]["method"] == "delivered, at buoys.csv"
    assert rows[-1]["rmse"] == found.attrs["validation_rmse"]


def test_logarithms_are_undone_at_the_points(small, points, tmp_path):
    """The mean of a lognormal variable is exp(mu + sigma^2 / 2); it is interpolated in its own units."""
    frame = pd.read_csv(points).rename(columns={"sst": "chl"})
    frame["chl"] = np.exp((frame.chl - 15) / 10)
    frame.to_csv(tmp_path / "chl.csv", index=False)
    chl = np.exp((small.sst - 15) / 10).rename("chl").to_dataset().assign(mask=small.mask)
    field = open_field(chl, variable="chl", transform="log")
    values = np.exp((small.truth - 15) / 10)
    mean = np.log(values.to_numpy()) - field.offset
    apart = set_apart(field, str(tmp_path / "chl.csv"))
    found = apart.interpolate(field, mean, np.full(mean.shape, 0.6))
    expected = [
        values.interp(lat=float(lat), lon=float(lon)) for lat, lon in frame[["lat", "lon"]].to_numpy()[::10]
    ]
    assert found.estimate == pytest.approx(np.concatenate(expected) * np.exp(0.18), rel=1e-5)


def test_compare_scores_methods_at_the_points(small, points):
    found = compare(small.drop_vars("truth"), "nearest,climatology", hold_out=points)
    by = {row["method"]: row for row in found.rows}
    assert by["nearest"]["points_rmse"] < by["climatology"]["points_rmse"]
    assert by["nearest"]["points_platforms"] == 3
    assert by["nearest"]["points_rmse_low"] < by["nearest"]["points_rmse"] < by["nearest"]["points_rmse_high"]
    hidden = set_apart(open_field(small, variable="sst"), points).hidden
    assert not found.field.observed[hidden].any()


def test_what_has_no_points_is_refused(small, points):
    bare = small.drop_vars("truth")
    with pytest.raises(InputError, match=r"nothere\.csv: no such file"):
        fill(bare, method="oi", hold_out="nothere.csv")
    with pytest.raises(InputError, match="hold_out_reach= is that of points"):
        fill(bare, method="oi", hold_out_reach=3.0)
    with pytest.raises(InputError, match="hold_out_reach=-1 is no distance"):
        fill(bare, method="oi", hold_out=points, hold_out_reach=-1)
    with pytest.raises(InputError, match="filled in memory and not block by block; leave out hold_out="):
        fill(bare, method="oi", hold_out=points, n_workers=2)
    with pytest.raises(InputError, match="sst has no date, so points cannot be paired"):
        fill(bare.isel(time=0, drop=True), method="oi", hold_out=points)
