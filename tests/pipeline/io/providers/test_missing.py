"""Missing values: what is recognised, what is not, what text declares, and the same by parts."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.points.tracks import read_tracks
from oceanfill.pipeline.io.providers.missing import Extent, find_undeclared
from oceanfill.pipeline.records.prepare import prepare
from scipy.io import netcdf_file
from series import series

RNG = np.random.default_rng(0)
SST = (15 + 10 * RNG.random((6, 20, 20))).astype(np.float32)
SALT = (34 + 4 * RNG.random((6, 20, 20))).astype(np.float32)
SLA = (0.15 * RNG.standard_normal((6, 20, 20))).astype(np.float32)
CHL = np.exp(1.5 * RNG.standard_normal((6, 20, 20)) - 1).astype(np.float32)


def put(values: np.ndarray, *further: float, every: int = 7) -> np.ndarray:
    """The values with others in their place, one after another."""
    changed = values.copy()
    for k, value in enumerate(further):
        changed.flat[k::every] = value
    return changed


def recognise(values: np.ndarray, name: str = "sst", **attrs: str) -> tuple[float, ...]:
    return find_undeclared(Extent.of(values), name, xr.DataArray(values, attrs=attrs))


@pytest.mark.parametrize(
    ("values", "fills"),
    [
        *((SST, (fill,)) for fill in (-999, -9999, 9999, 99, -99, -32768, -888, -99999, 1e10)),
        *((SST + 273.15, (fill,)) for fill in (0, -999, 9999)),
        *((SLA, (fill,)) for fill in (-999, 9999, -9.0e33, 99)),
        *((CHL, (fill,)) for fill in (-999, -9999, 9999, -32767)),
        (SST, (0,)),
        (SALT, (0,)),
        (SST, (-9999, -999, -888)),
        (SLA, (-999, 9999, 1e20)),
    ],
)
def test_values_far_from_all_others_are_missing(values, fills):
    assert recognise(put(values, *fills)) == tuple(sorted(float(np.float32(fill)) for fill in fills))


@pytest.mark.parametrize("fill", [1e20, 9.96921e36, -1e34])
def test_impossible_values_are_missing_however_few(fill):
    values = SST.copy()
    values[2, 3, 4] = fill
    assert recognise(values) == (float(np.float32(fill)),)


def test_a_usual_value_is_missing_where_it_occurs_once():
    values = SST.copy()
    values[0, 0, 0] = -9999
    assert recognise(values) == (-9999,)


@pytest.mark.parametrize(
    "values",
    [
        SST,
        CHL,
        np.exp(3 * RNG.standard_normal(5000)),  # five orders of magnitude
        put(np.minimum(CHL, 20), 20),  # clipped
        put(np.clip(CHL, 0.01, 64), 64, 0.01),
        put(np.minimum(CHL, 5), 100, every=60),  # clipped at the valid maximum, with nothing below it
        put(SLA, 0),  # anomalies
        put(np.abs(SLA), 0),
        np.maximum(SST - 20, -1.8),  # ice at its freezing point
        put(SST - 10, -1.8, every=2),
        put(SST + 5, -1.8, every=2),  # only ice and warm water
        np.round(SST),  # eleven values
        put(np.round(SLA, 1), 2),
        np.append(SST, [45.0, 45.0]),  # outliers, but no values that repeat
        np.array([15.0, 16.0, 99.0]),
        np.full(10, np.nan),
        np.zeros((0, 3)),
    ],
    ids=str,
)
def test_extreme_values_are_kept(values):
    assert recognise(values.astype(np.float32)) == ()


@pytest.mark.parametrize(
    ("values", "attrs"),
    [
        (put(np.clip(160 * RNG.random(4000) - 30, 0, 100), 0, 100), {"units": "%"}),
        (put(80 + 20 * RNG.random(4000), 0), {"units": "%"}),  # open water and pack ice
        (put(0.9 + 0.1 * RNG.random(4000), 0), {"units": "1"}),
        (put(2 + RNG.random(4000), 0), {"units": "m", "standard_name": "sea_ice_thickness"}),
    ],
)
def test_zero_and_the_whole_are_values_of_percentages_and_of_ice(values, attrs):
    assert recognise(values, "x", **attrs) == ()
    assert recognise(put(values, -999.0, every=11), "x", **attrs) == (-999,)


def test_the_ends_of_packed_integers_are_missing():
    packed = xr.DataArray(put(SLA, -3.2768))
    packed.encoding = {"dtype": np.dtype("int16"), "scale_factor": 1e-4}
    assert find_undeclared(Extent.of(packed.to_numpy()), "sla", packed) == (float(np.float32(-3.2768)),)
    assert recognise(put(SLA, -3.2768)) == ()


def test_extents_add_up():
    values = put(np.round(SST, 1), -999, -9999)
    whole = Extent.of(values)
    for cuts in ([3], [50, 51, 2000], range(1, 2400, 100)):
        first, *others = (Extent.of(part) for part in np.split(values.ravel(), cuts))
        added = sum(others, first)
        np.testing.assert_array_equal(added.values, whole.values)
        np.testing.assert_array_equal(added.counts, whole.counts)
    assert whole.counts[0] == (values == -9999).sum()


def make(**fills: float) -> xr.Dataset:
    """Cloudy temperatures over 40 dates, with a value in the place of those under the clouds."""
    data = cloudy_dataset(dates=40, rows=6, columns=7).drop_vars(["truth", "mask"])
    return data.assign(sst=data.sst.fillna(fills["sst"])) if fills else data


def test_a_record_loses_the_same_values_in_memory_and_prepared(tmp_path, caplog):
    """-999 in some files only, a date in each of two files."""
    clean, spoilt = make(), make(sst=-999)
    for k, start in enumerate(range(0, 40, 8)):
        part = (spoilt if k in (1, 4) else clean).isel(time=slice(start, start + 8))
        part.to_netcdf(tmp_path / f"{k}.nc")
    field = open_field(str(tmp_path / "*.nc"))
    np.testing.assert_array_equal(field.values, open_field(clean).values)
    count = int((spoilt.sst == -999).isel(time=np.r_[8:16, 32:40]).sum())
    sentence = (
        f"the value -999 occurs {count} times, far from all others, so it is taken as missing; say so with "
        "missing_value=(-999,), or keep it with missing_value=()"
    )
    assert sentence in field.oddities
    assert field.treatment[0].startswith(f"the undeclared missing value -999: {count} (")
    with caplog.at_level(logging.INFO):
        store = prepare(str(tmp_path / "*.nc"), tmp_path / "all.zarr")
    assert sentence in caplog.text
    np.testing.assert_array_equal(open_field(store).values, field.values)
    held = xr.open_zarr(store)
    np.testing.assert_array_equal(held.sst_seen, np.isfinite(field.values).sum(axis=(1, 2)))
    np.testing.assert_allclose(held.sst_mean, clean.sst.mean("time"), rtol=1e-6)
    assert held.attrs["input_treatment"] == field.treatment[0]


def test_what_the_user_says_is_missing_is_missing_and_nothing_else():
    data = make(sst=-999)
    data.sst[0, 0, :3] = 14.0
    given = open_field(data, missing_value=(-999, 14.0))
    assert not np.isfinite(given.values[0, 0, :3]).any()
    assert np.nanmin(given.values) > 5
    assert given.treatment[0].startswith(f"given as missing: {int((data.sst == -999).sum()) + 3} (")
    kept = open_field(data, missing_value=())
    assert (kept.values == -999).sum() == (data.sst == -999).sum()
    assert any("-999 looks like a missing one" in text for text in kept.oddities)


def test_tracks_lose_them_too():
    time = np.datetime64("2020-01-01", "ns") + np.arange(300) * np.timedelta64(1, "s")
    place = np.arange(300)
    values = np.where(place % 10 == 3, -9999, 0.2 * np.sin(place / 7))
    track = xr.Dataset(
        {"sla": ("time", values), "latitude": ("time", 40 + place / 100), "longitude": ("time", place / 100)},
        {"time": time},
    )
    found = read_tracks(track, variable="sla")
    assert len(found) == 270
    assert np.abs(found.value).max() <= 0.2
    assert any("the value -9999 occurs 30 times" in text for text in found.oddities)


def test_infinite_values_are_missing(tmp_path, caplog):
    data = make()
    data.sst[3, 2, 2:4] = [np.inf, -np.inf]
    data.to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc")
    assert np.isnan(field.values[3, 2, 2:4]).all()
    assert "infinite values, taken as missing: 2" in field.oddities
    store = prepare(tmp_path / "a.nc", tmp_path / "a.zarr")
    np.testing.assert_array_equal(open_field(store).values, field.values)
    assert "infinite values, taken as missing: 2" in caplog.text


@pytest.mark.parametrize(
    ("key", "text"),
    [("missing_value", "-999"), ("missing_value", "-888, -999"), ("_FillValue", "-999.0")],
)
def test_text_declares_a_value(tmp_path, key, text):
    """In classic NetCDF, which allows it for both; the values are close enough not to be recognised."""
    expected = make().sst.to_numpy()
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        for name, size in zip(("time", "lat", "lon"), expected.shape, strict=True):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = np.arange(size)
            axis.units = {"time": "days since 2020-01-01", "lat": "degrees_north", "lon": "degrees_east"}[
                name
            ]
        values = file.createVariable("sst", "f4", ("time", "lat", "lon"))
        values[:] = np.where(np.isnan(expected), -999, expected)
        setattr(values, key, text)
    field = open_field(tmp_path / "a.nc")
    np.testing.assert_array_equal(field.values, expected)
    assert not any("-999" in note for note in (*field.oddities, *field.treatment)), "it is declared"


def test_text_of_packed_values_is_that_of_the_file(tmp_path):
    data = make()
    packed = data.sst.fillna(-9.99).assign_attrs(missing_value="-999", scale_factor=0.01)
    raw = data.assign(sst=(packed / 0.01).round().astype(np.int16).assign_attrs(packed.attrs))
    raw.to_netcdf(tmp_path / "a.nc")
    np.testing.assert_allclose(open_field(tmp_path / "a.nc").values, data.sst, atol=0.006)


def test_a_valid_range_that_removes_everything_can_be_ignored(tmp_path):
    data = make()
    data.sst.attrs |= {"valid_min": np.float32(270), "valid_max": np.float32(310)}
    data.to_netcdf(tmp_path / "a.nc")
    for open_it in (open_field, lambda path: prepare(path, tmp_path / "a.zarr")):
        with pytest.raises(InputError, match=r"a.nc: no value of sst is left .* ignore_valid_range=True"):
            open_it(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc", ignore_valid_range=True)
    np.testing.assert_array_equal(field.values, make().sst)
    store = prepare(tmp_path / "a.nc", tmp_path / "a.zarr", ignore_valid_range=True)
    np.testing.assert_array_equal(open_field(store, ignore_valid_range=True).values, field.values)


def test_a_valid_range_that_removes_most_is_odd():
    data = make()
    middle = float(data.sst.quantile(0.8))
    data.sst.attrs["valid_min"] = middle
    field = open_field(data)
    count = int((data.sst < middle).sum())
    assert f"most values ({count}) lie outside the valid range" in " ".join(field.oddities)


def test_special_values_among_packed_ones_are_missing(tmp_path):
    data = series()
    data["sst"] = data.sst.dims, np.full(data.sst.shape, 50, np.uint8), data.sst.attrs
    data.sst[0, 0, :3] = [251, 254, 100]
    data.sst[1:, 1] = 60
    special = {"flag_values": np.array([251, 254], np.uint8), "flag_meanings": "pole_hole land"}
    data.sst.attrs |= {"scale_factor": 0.01} | special
    data.to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc")
    assert field.observed[0, 0].tolist() == [False, False, True, True, True]
    assert field.values[0, 0, 2] == np.float32(1)
    assert "special values that the file lists: 2 (3.3% of the values)" in field.treatment
