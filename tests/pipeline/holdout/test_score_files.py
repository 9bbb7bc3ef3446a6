"""Scores of files whose values are paired by date and position."""

import numpy as np
import pytest
from fields import cloudy_dataset, cloudy_field
from oceanfill.pipeline.cli.tables import score_table
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.score_files import read_truth, score
from oceanfill.pipeline.io.field import open_field


@pytest.fixture
def pair(tmp_path):
    """Write a filled dataset and a truth; the estimate is 0.5 too warm in the north, its error is 0.4."""
    data = cloudy_dataset(dates=6)
    truth = data[["truth"]].rename(truth="sst").assign(mask=data.mask)
    filled = truth.assign(sst=truth.sst + 0.5 * (truth.lat > 36)).assign(sst_error=0 * truth.sst + 0.4)

    def write(filled=filled, truth=truth):
        filled.to_netcdf(tmp_path / "filled.nc")
        truth.to_netcdf(tmp_path / "truth.nc")
        return tmp_path / "filled.nc", tmp_path / "truth.nc"

    write.filled, write.truth = filled, truth
    return write


def test_values_are_paired_whatever_the_order_and_the_convention(pair):
    north = (pair.truth.lat > 36) & (pair.truth.mask == 1)
    share = float(north.sum() / (pair.truth.mask == 1).sum())
    turned = pair.filled.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    turned = turned.assign_coords(lon=turned.lon % 360).sortby("lon")
    for filled in (pair.filled, turned):
        (row,) = score(*pair(filled, pair.truth.isel(time=slice(2, 5))))
        assert row["bias"] == pytest.approx(0.5 * share, rel=1e-5)
        assert row["rmse"] == pytest.approx(0.5 * np.sqrt(share), rel=1e-5)
        assert row["coverage_1sigma"] == pytest.approx(1 - share)
        assert row["n"] == 3 * int((pair.truth.mask == 1).sum())


def test_each_value_of_a_flag_has_a_row(pair):
    kind = (0 * pair.truth.sst.fillna(0) + (pair.truth.lat > 36)).astype(np.int8)
    kind.attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "south north"}
    rows = {row["label"]: row for row in score(*pair(truth=pair.truth.assign(kind=kind)), by="kind")}
    assert rows["south"]["rmse"] == pytest.approx(0, abs=1e-6)
    assert rows["north"]["bias"] == pytest.approx(0.5, rel=1e-5)
    assert rows["all"]["n"] == rows["south"]["n"] + rows["north"]["n"]
    assert [column.header for column in score_table(list(rows.values())).columns][1:3] == ["n", "RMSE"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda filled: filled.assign_coords(lat=filled.lat + 0.05), "its grid .* have no counterpart"),
        (lambda filled: filled.isel(time=slice(1, None)), "1 of the 6 dates"),
        (lambda filled: filled.where(filled.time > filled.time[0]), "is missing at .* fill it there as well"),
        (lambda filled: filled.rename(sst="chl", sst_error="chl_error"), "no variable in common"),
    ],
)
def test_files_that_cannot_be_paired_raise(pair, change, message):
    with pytest.raises(InputError, match=message):
        score(*pair(change(pair.filled)))


def test_the_truth_of_a_field_is_on_its_grid_and_dates(tmp_path):
    """The file has some dates and columns, in another order and another convention of longitudes."""
    field = cloudy_field(dates=6)
    truth = cloudy_dataset(dates=6)[["truth"]].rename(truth="sst")
    part = truth.isel(time=slice(2, 5), lat=slice(None, None, -1), lon=slice(3, None))
    part.assign_coords(lon=part.lon % 360).sortby("lon").to_netcdf(tmp_path / "truth.nc")
    expected = truth.sst.to_numpy().astype(np.float32)
    expected[:2] = expected[5:] = expected[..., :3] = np.nan
    np.testing.assert_allclose(read_truth(field, tmp_path / "truth.nc"), expected, rtol=1e-6)
    with pytest.raises(InputError, match=r"no.nc: no such file; check the path"):
        read_truth(field, tmp_path / "no.nc")
    truth.rename(sst="chl").to_netcdf(tmp_path / "other.nc")
    with pytest.raises(InputError, match=r"other.nc: there is no variable 'sst'; it has chl"):
        read_truth(field, tmp_path / "other.nc")


def test_the_truth_of_logarithms_is_in_logarithms(tmp_path):
    data = cloudy_dataset(dates=6)
    truth = data[["truth"]].rename(truth="sst")
    truth.to_netcdf(tmp_path / "truth.nc")
    field = open_field(data, variable="sst", transform="log")
    np.testing.assert_allclose(read_truth(field, tmp_path / "truth.nc"), np.log(truth.sst), rtol=1e-6)
