"""Outliers: gross errors are found; fronts, filaments, skewed quantities and calm fields are left alone."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset, unit
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.outliers import NO_SCREEN, learn_screen
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.records.prepare import prepare
from oceanfill.pipeline.records.record import Record
from scipy.ndimage import gaussian_filter
from tracks import BOUNDS, mission

SHAPE = 24, 40, 50
T, Y, X = np.meshgrid(*(np.arange(extent) for extent in SHAPE), indexing="ij")


def under_clouds(values: np.ndarray) -> np.ndarray:
    clouds = gaussian_filter(np.random.default_rng(9).standard_normal(SHAPE), (1, 4, 4))
    return np.where(clouds < 0, values, np.nan).astype(np.float32)


def find(values: np.ndarray) -> np.ndarray:
    nothing = np.zeros(values.shape, np.float32)
    return learn_screen([(values, nothing)]).find(values, nothing)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def smooth() -> np.ndarray:
    return unit(gaussian_filter(noise(1), (2, 3, 3)))


def spoil(values: np.ndarray, share: float = 0.005) -> tuple[np.ndarray, np.ndarray]:
    """Add 5 to 50 standard deviations to a share of the values; return them and where they are."""
    rng = np.random.default_rng(4)
    at = np.isfinite(values) & (rng.random(values.shape) < share)
    off = rng.choice([-1, 1], values.shape) * rng.uniform(5, 50, values.shape) * np.nanstd(values)
    return np.where(at, values + off, values).astype(np.float32), at


FIELDS = {
    "smooth with noise": smooth() + 0.1 * noise(),
    "a front that moves": np.where(10 + T + 4 * np.sin(Y / 7) < X, 20, 10) + 0.05 * noise(),
    "filaments of one cell": np.where((X + T) % 20 == 0, 5, 0) + 0.05 * noise(),
    "chlorophyll in logarithms": 1.2 * smooth() - 1 + 0.3 * noise(),
    "white noise": noise(),
}


@pytest.mark.parametrize("name", FIELDS)
def test_gross_errors_are_found_and_hardly_anything_else(name):
    values = under_clouds(FIELDS[name])
    number = np.isfinite(values).sum()
    assert find(values).sum() <= 0.0005 * number
    spoilt, at = spoil(values)
    found = find(spoilt)
    assert (found & at).sum() >= (0.85 if name == "white noise" else 0.99) * at.sum()
    assert (found & ~at).sum() <= 0.0005 * number


def test_skewed_values_are_kept_in_logarithms_and_a_single_map_is_screened():
    values = under_clouds(smooth() + 0.1 * noise())[:1]
    values[0, 20, 20] = 12
    assert np.argwhere(find(values)).tolist() == [[0, 20, 20]]
    dataset = cloudy_dataset(dates=10)
    dataset["sst"] = np.exp(dataset.sst / 3)
    assert not open_field(dataset, variable="sst", transform="log").outliers.any()


def test_few_values_and_fields_that_are_mostly_one_number_are_not_screened():
    few = np.full((3, 4, 4), np.nan, np.float32)
    few[:, 0] = 1 + np.arange(4)
    few[0, 0, 0] = 1000
    assert learn_screen([(few, 0 * few)]) is NO_SCREEN
    ice = np.where(smooth() > 1.5, 100 * smooth(), 0).astype(np.float32)
    assert learn_screen([(ice, 0 * ice)]) is NO_SCREEN


def test_errors_that_are_known_to_be_large_excuse_a_difference():
    values = under_clouds(smooth() + 0.05 * noise())
    at = tuple(np.argwhere(np.isfinite(values))[5000])
    values[at] += 2
    error = np.zeros(SHAPE, np.float32)
    screen = learn_screen([(values, error)])
    assert screen.find(values, error)[at]
    error[at] = 1
    assert not screen.find(values, error)[at]


def spoilt_dataset() -> xr.Dataset:
    dataset = cloudy_dataset(dates=20)
    seen = np.argwhere(dataset.sst.notnull().to_numpy())
    dataset["sst"][tuple(seen[len(seen) // 2])] = 150
    return dataset


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("how", ["drop", "flag", "keep"])
def test_one_value_of_150_is_flagged_and_does_not_reach_the_analysis(how, blocks, tmp_path, caplog):
    dataset = spoilt_dataset()
    at = np.unravel_index(np.nanargmax(dataset.sst), dataset.sst.shape)
    dataset.drop_vars("truth").to_netcdf(tmp_path / "in.nc")
    more = {"cache": str(tmp_path / "cache.zarr")} if blocks else {}
    with caplog.at_level(logging.INFO, "oceanfill"):
        out = fill(tmp_path / "in.nc", method="linear-time", variable="sst", outliers=how, **more)
    source, value, analysis = (
        float(out[name].to_numpy()[at]) for name in ("sst_source", "sst", "sst_analysis")
    )
    assert source == (1 if how == "keep" else 4)
    assert value == pytest.approx(150 if how != "drop" else analysis)
    assert (analysis > 100) == (how == "keep")
    if how != "keep":
        assert abs(analysis - float(dataset.truth.to_numpy()[at])) < 4
    said = [text for text in out.attrs.get("input_treatment", "").split("; ") if text.startswith("outliers")]
    then = {"drop": "not used, and replaced by the analysis", "flag": "kept in the output, but not used"}
    wanted = [f"outliers, unlike all values around them, {then[how]}: 1"] if how != "keep" else []
    assert [text.partition(" (")[0] for text in said] == wanted
    assert (sum("outliers, unlike" in text for text in caplog.messages) == 1) == (how != "keep")
    assert out.sst_source.attrs["flag_meanings"].split()[4] == "outlier"


def test_a_record_that_is_too_large_to_be_read_at_once_learns_from_boxes(tmp_path):
    values, at = spoil(under_clouds(FIELDS["smooth with noise"]))
    dates = np.datetime64("2020-01-01", "ns") + np.arange(SHAPE[0]) * np.timedelta64(1, "D")
    coords = {"time": dates, "lat": 30 + 0.1 * np.arange(SHAPE[1]), "lon": 0.1 * np.arange(SHAPE[2])}
    xr.Dataset({"sst": (("time", "lat", "lon"), values)}, coords).to_netcdf(tmp_path / "in.nc")
    store = prepare(tmp_path / "in.nc", tmp_path / "in.zarr", cells=16)
    record = Record(str(store))
    whole, boxes = record.screen, record.choose_boxes(most=3e4)
    assert 4 <= len(boxes) <= 7
    assert len({(rows.start, columns.start) for _, rows, columns in boxes}) == len(boxes)
    fields = [record.read_with_outliers(*box) for box in boxes]
    part = learn_screen([(field.values, field.error_variance) for field in fields])
    assert part.limit == pytest.approx(whole.limit, rel=0.25)
    field = record.read_field(slice(0, SHAPE[0]))
    assert (field.outliers & at).sum() >= 0.99 * at.sum()
    np.testing.assert_array_equal(
        np.isfinite(field.values), np.isfinite(values) & ~field.outliers & field.sea
    )


def test_points_are_compared_with_those_before_and_after_them():
    data = mission("a")[["sla_filtered"]].rename(sla_filtered="sla")
    data.sla.to_numpy()[500] += 5
    field_of = {"grid": 0.25, "bounds": BOUNDS, "method": "linear-time"}
    out = fill(data, **field_of)
    assert "not used, and replaced by the analysis: 1 (" in out.attrs["input_treatment"]
    kept = fill(data, outliers="keep", **field_of)
    assert "outliers" not in kept.attrs.get("input_treatment", "")
    assert float(out.sla_analysis.max()) < float(kept.sla_analysis.max())
    with pytest.raises(InputError, match="maps of points have no value to flag as an outlier"):
        fill(data, outliers="flag", **field_of)


def test_what_cannot_be_done_with_outliers():
    with pytest.raises(InputError, match="outliers cannot be treated by 'burn'; choose drop, flag, keep"):
        open_field(cloudy_dataset(dates=4), outliers="burn")
