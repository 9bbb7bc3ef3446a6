"""One map, with a date or without: filled in space, scored, written, and used as a covariate."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.patterns import draw_cloud_gaps, hide_clouds
from oceanfill.pipeline.holdout.score_files import score
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.seamask import sea_from_coastline
from oceanfill.pipeline.jobs.compare import compare
from oceanfill.pipeline.jobs.fill import fill
from scipy.ndimage import gaussian_filter

ROWS, COLUMNS = 24, 28


def smooth(seed: int, scale: float = 4.0) -> np.ndarray:
    """Random eddies of variance 1."""
    values = gaussian_filter(np.random.default_rng(seed).standard_normal((ROWS, COLUMNS)), scale, mode="wrap")
    return (values - values.mean()) / values.std()


def cloudy_map(lat0: float = 36.0) -> tuple[xr.Dataset, np.ndarray]:
    """A map under clouds and its truth."""
    truth = 15 + smooth(1)
    clouds = smooth(2, 2.5) > 0.4
    data = xr.Dataset(
        {"sst": (("lat", "lon"), np.where(clouds, np.nan, truth).astype(np.float32), {"units": "degC"})},
        {"lat": lat0 + 0.1 * np.arange(ROWS), "lon": -30 + 0.1 * np.arange(COLUMNS)},
    )
    return data, np.where(clouds, truth, np.nan)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("dated", [False, True])
def test_a_single_map_is_filled_in_space(tmp_path: Path, dated: bool, blocks: bool, caplog) -> None:
    data, truth = cloudy_map()
    if dated:
        data = data.expand_dims(time=[np.datetime64("2020-05-01", "ns")])
    data.to_netcdf(tmp_path / "in.nc")
    caplog.set_level(logging.INFO)
    how = {"cache": str(tmp_path / "cache.zarr")} if blocks else {}
    fill(tmp_path / "in.nc", tmp_path / "out.nc", **how)
    assert "a single map is filled by optimal interpolation" in caplog.text
    with xr.open_dataset(tmp_path / "out.nc") as out:
        assert out.sst.dims == (("time", "lat", "lon") if dated else ("lat", "lon"))
        assert out.attrs["method"] == out.attrs["delivered"] == "oi"
        assert ("time_coverage_start" in out.attrs) == dated
        assert "undated" not in out.variables
        found, error = (out[name].to_numpy().reshape(ROWS, COLUMNS) for name in ("sst", "sst_error"))
        assert out.attrs["held_out_n"] > 20
        assert 0.5 < out.attrs["held_out_coverage_1sigma"] < 0.95
    gaps = np.isfinite(truth)
    off = (found - truth)[gaps]
    assert np.sqrt(np.mean(off**2)) < 0.3, "the mean of the map would be off by 1"
    assert 0.5 < np.mean(np.abs(off) < error[gaps]) < 0.95
    np.testing.assert_array_equal(found[~gaps], data.sst.to_numpy().reshape(ROWS, COLUMNS)[~gaps])


def test_a_single_map_is_scored_against_another(tmp_path: Path) -> None:
    data, truth = cloudy_map()
    filled = fill(data, method="linear-space")
    filled.to_netcdf(tmp_path / "filled.nc")
    data.assign(sst=(data.sst.dims, truth)).to_netcdf(tmp_path / "truth.nc")
    (row,) = score(tmp_path / "filled.nc", tmp_path / "truth.nc")
    off = (filled.sst.to_numpy() - truth)[np.isfinite(truth)]
    assert row["n"] == off.size
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-4)


@pytest.mark.parametrize("method", ["linear-time", "dineof", "unet", "climatology", "blend", "auto"])
def test_methods_that_need_time_are_refused_with_those_that_do_not(tmp_path: Path, method: str) -> None:
    data, _ = cloudy_map()
    sentence = rf"the method {method} needs several dates.*choose pretrained or oi or nearest or linear-space"
    with pytest.raises(InputError, match=sentence):
        fill(data, tmp_path / "out.nc", method=method)
    assert not list(tmp_path.iterdir())


def test_options_of_a_network_do_not_go_with_a_single_map() -> None:
    data, _ = cloudy_map()
    with pytest.raises(InputError, match="the method unet needs several dates, and there is one"):
        fill(data, epochs=2)


def test_methods_are_compared_on_a_single_map() -> None:
    data, _ = cloudy_map()
    found = compare(open_field(data))
    assert {row["method"] for row in found.rows} == {"pretrained", "oi", "nearest", "linear-space"}
    assert all(row["rmse"] < 1 for row in found.rows)
    with pytest.raises(InputError, match="persistence needs several dates"):
        compare(open_field(data), ["oi", "persistence"])


def test_several_maps_without_dates_cannot_be_sorted(tmp_path: Path) -> None:
    data, _ = cloudy_map()
    for name in ("a.nc", "b.nc"):
        data.to_netcdf(tmp_path / name)
    with pytest.raises(InputError, match=r"b\.nc: it has no time axis, and neither has .*a\.nc"):
        fill([tmp_path / "a.nc", tmp_path / "b.nc"], method="oi")


def test_the_gaps_of_a_single_map_are_moved_over_it() -> None:
    field = open_field(cloudy_map()[0])
    hidden = hide_clouds(field, 0.1, np.random.default_rng(0))
    assert 0.2 < hidden.sum() / field.observed.sum() < 0.35
    assert not (hidden & ~field.observed).any()
    drawn = draw_cloud_gaps(field, 50, np.random.default_rng(0))
    assert field.observed[tuple(drawn.target.T)].all()
    assert not field.observed[tuple(drawn.model.T)].any()
    assert (drawn.target != drawn.model).any(axis=1).all()


def test_land_of_a_single_map_is_that_of_the_coastline() -> None:
    """Sicily and Tunisia, where nothing is observed; in the whole map land is observed as often as sea."""
    lat, lon = 34 + 0.25 * np.arange(20), 9 + 0.25 * np.arange(24)
    data = xr.Dataset({"sst": (("lat", "lon"), 15 + np.random.default_rng(0).normal(size=(20, 24)))})
    data = data.assign_coords(lat=lat, lon=lon)
    whole = open_field(data.assign(sst=data.sst.where(data.sst < 16)))
    assert whole.sea.all()
    sea, _ = sea_from_coastline(*np.meshgrid(lat, lon, indexing="ij"))
    assert 0.1 < (~sea).mean() < 0.5
    cut = open_field(data.assign(sst=data.sst.where(sea & (data.sst < 16))))
    np.testing.assert_array_equal(cut.sea, sea)


@pytest.mark.parametrize("dated", [False, True])
def test_a_map_without_time_helps(tmp_path: Path, dated: bool) -> None:
    """Bathymetry of one pixel's scale, which no method can guess from the values around a gap."""
    rng = np.random.default_rng(3)
    depth = rng.standard_normal((ROWS, COLUMNS))
    time = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    truth = 15 + np.stack([0.5 * smooth(k) for k in range(6)]) - 2 * depth
    clouds = np.stack([smooth(20 + k, 2.5) > 0.2 for k in range(6)])
    coords = cloudy_map()[0].coords
    data = xr.Dataset(
        {"sst": (("time", "lat", "lon"), np.where(clouds, np.nan, truth))}, {**coords, "time": time}
    )
    aid = xr.Dataset({"depth": (("lat", "lon"), depth)}, coords)
    if dated:
        aid = aid.expand_dims(time=[np.datetime64("1999-07-01", "ns")])
    aid.to_netcdf(tmp_path / "depth.nc")
    alone = fill(data, method="oi")
    helped = fill(data, method="oi", auxiliary=[f"{tmp_path / 'depth.nc'}:depth"], intervals=(90,))
    seen = np.isfinite(data.sst.to_numpy())
    np.testing.assert_array_equal(helped.sst.to_numpy()[seen], data.sst.to_numpy()[seen])

    def rmse(filled: xr.Dataset) -> float:
        return float(np.sqrt(np.nanmean((filled.sst.to_numpy() - truth)[~seen] ** 2)))

    assert rmse(alone) > 0.5  # the depth is the same on all dates
    assert rmse(helped) < 0.3
    inside = (helped.sst_lower_90.to_numpy() < truth) & (truth < helped.sst_upper_90.to_numpy())
    assert inside[~seen].mean() > 0.7


def test_a_map_that_explains_nothing_is_left_out(caplog) -> None:
    data, _ = cloudy_map()
    caplog.set_level(logging.INFO)
    noise = xr.Dataset({"z": (("lat", "lon"), np.random.default_rng(9).standard_normal((ROWS, COLUMNS)))})
    found = fill(data, method="oi", auxiliary=[noise.assign_coords(data.coords)])
    assert "it is left out" in caplog.text
    np.testing.assert_array_equal(found.sst, fill(data, method="oi").sst)


def test_a_time_of_length_one_that_the_map_lacks_is_its_date(tmp_path: Path) -> None:
    data, _ = cloudy_map()
    data["time"] = "time", [np.datetime64("2020-05-01T12", "ns")]
    data.to_netcdf(tmp_path / "in.nc")
    field = open_field(tmp_path / "in.nc")
    assert [str(date) for date in field.dates] == ["2020-05-01 12:00:00"]
