"""Updates of a filled field: the same as a fill at once, what stays to the bit, and what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.classical.kriging import Kriging, pixel_means, reference_mean
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.holdout.calibration import Calibration
from oceanfill.pipeline.holdout.shrinkage import Shrinkage
from oceanfill.pipeline.io.field import RecordStatistics, grid_spacing, open_field
from oceanfill.pipeline.io.opening import Opening, make_opening
from oceanfill.pipeline.io.output import to_dataset
from oceanfill.pipeline.io.variables import merge_filled, open_variables
from oceanfill.pipeline.io.writing import write_dataset
from oceanfill.pipeline.jobs.deliver import deliver
from oceanfill.pipeline.jobs.evaluate import apply_shrinkage
from oceanfill.pipeline.jobs.fitted import ATTRIBUTE, Fitted
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.jobs.observations import extend, open_products
from oceanfill.pipeline.settings import FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.firstguess import measure_spread
from oceanfill.pipeline.training.heldout import DataSettings

from oceanfill import InputError, update

DATES, LAST = 37, 32  # of the whole record, and of the product: both have a mean for each pixel
SIX_HOURS = np.array([0, 6], "timedelta64[h]")
TWELVE_DAYS = np.arange(60) * np.timedelta64(12, "D")
PARTS = ("sst", "sst_analysis", "sst_error", "sst_source")
SCALES = Scales((Component(6.0, 60.0, 2.5), Component(2.0, 200.0, 1.5)), 0.01)


def make_record(**options: int) -> xr.Dataset:
    """The observations of a record."""
    return cloudy_dataset(**{"dates": DATES, "rows": 10, "columns": 12} | options).drop_vars("truth")


def fill_known(
    data: xr.Dataset, method: str = "oi", unit: float = 1.0, holdout: bool = True, **opening
) -> xr.Dataset:
    """Fill as `fill` does, with a covariance that is known: fitting it takes seconds."""
    asked = make_opening(None, opening)
    field = open_field(data, asked)
    parts = tuple(Component(part.sill * unit, part.length, part.duration) for part in SCALES.components)
    kriging = Kriging(Scales(parts, SCALES.nugget * unit), 32, 1.1)
    gaps = GapData(field, DataSettings() if holdout else DataSettings(held_out=0.0), kriging=kriging)
    settings = FillSettings(method=method, holdout=holdout, intervals=(50,))
    (made,) = deliver(gaps, find_method(method), settings, lambda rows: None, {}, asked)
    return made


def fill_at_once(data: xr.Dataset, filled: xr.Dataset) -> xr.Dataset:
    """Fill the whole record with the numbers of the fill of its first dates, and with their mean."""
    fitted = Fitted.from_json(filled.attrs[ATTRIBUTE])
    first, whole = (open_field(one, fitted.opening) for one in (data.isel(time=slice(LAST)), data))
    assert first.offset == whole.offset
    cell = float(np.mean(grid_spacing(whole)[1:]))
    statistics = RecordStatistics(measure_spread(first), ([], []), ([], []), cell)
    whole = replace(whole, mean=pixel_means(first), statistics=statistics)
    gaps = GapData(whole, DataSettings(held_out=0.0), kriging=fitted.kriging)
    (candidates,) = find_method(fitted.method)(gaps, FillSettings(holdout=False))
    made = candidates[fitted.candidate]
    made = made if fitted.shrinkage is None else apply_shrinkage(made, fitted.shrinkage)
    scale = fitted.scale
    widths = scale.calibration.half_widths_of((50,))
    error = scale.of_estimate(whole, made)
    return to_dataset(whole, made.estimate[0], error, noise=scale.noise, intervals=widths)


def same(one: xr.DataArray, other: xr.DataArray) -> np.ndarray:
    """Which dates are the same to the bit."""
    return np.array(
        [a.tobytes() == b.tobytes() for a, b in zip(one.to_numpy(), other.to_numpy(), strict=True)]
    )


@pytest.fixture(scope="module")
def record() -> xr.Dataset:
    return make_record()


@pytest.fixture(scope="module")
def filled(record: xr.Dataset) -> xr.Dataset:
    return fill_known(record.isel(time=slice(LAST)))


@pytest.fixture(scope="module")
def by_network(record: xr.Dataset) -> xr.Dataset:
    """Corrected by the network that ships."""
    made = fill_known(record.isel(time=slice(LAST)), "pretrained", holdout=False)
    assert made.attrs["delivered"] == "pretrained"
    return made


@pytest.fixture(scope="module")
def by_part(by_network: xr.Dataset) -> xr.Dataset:
    """The same, but an update is told to take a share of the correction, and another calibration."""
    fitted = Fitted.from_json(by_network.attrs[ATTRIBUTE])
    scale = replace(fitted.scale, calibration=Calibration((0.1, 0.2, 0.1), factor=0.9), floor=Calibration())
    fitted = replace(fitted, scale=scale, shrinkage=Shrinkage((0.2, 1.0), (0.7, 0.4)))
    return by_network.assign_attrs({ATTRIBUTE: fitted.to_json()})


@pytest.mark.parametrize("name", ["filled", "by_network", "by_part"])
def test_the_same_as_a_fill_at_once_and_the_rest_to_the_bit(name, record, request):
    before = request.getfixturevalue(name)
    after = update(before, record.isel(time=slice(LAST, None)))
    assert list(after.data_vars) == list(before.data_vars)
    expected = fill_at_once(record, before)
    xr.testing.assert_equal(after.time, record.time)
    kept = np.array([same(after[part][:LAST], before[part]) for part in PARTS]).all(axis=0)
    refilled = LAST - np.argmin(kept)
    assert kept[: LAST - refilled].all()
    assert not kept[LAST - refilled :].any()
    assert 2 <= refilled <= 12, "the days before whose neighbours changed"
    asked = slice(LAST - refilled if name == "by_part" else 0, None)
    for part in ("sst", "sst_analysis", "sst_error", "sst_lower_50"):
        one, other = after[part][asked], expected[part][asked]
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5, err_msg=part)
    np.testing.assert_array_equal(after.sst_source, expected.sst_source)


@pytest.mark.parametrize("method", ["oi", "pretrained"])
def test_a_fill_marks_the_dates_that_an_update_marks(method, record):
    small = record.isel(time=slice(24), lat=slice(8), lon=slice(8))
    at_once, before = (fill_known(small.isel(time=slice(end)), method, holdout=False) for end in (24, 22))
    after = update(before, small.isel(time=slice(22, 24)))
    assert at_once.attrs["delivered"] == method
    assert at_once.provisional.attrs["flag_meanings"] == "final provisional"
    np.testing.assert_array_equal(at_once.provisional, after.provisional)
    assert 2 < at_once.provisional.sum() < 20


def test_dates_are_provisional_until_no_later_one_changes_them(filled, record):
    one = update(filled, record.isel(time=slice(LAST, LAST + 2)))
    two = update(one, record.isel(time=slice(LAST + 2, None)))
    at_once = update(filled, record.isel(time=slice(LAST, None)))
    before, after = one.provisional.to_numpy(), two.provisional.to_numpy()
    assert list(one.provisional.attrs["flag_values"]) == [0, 1]
    assert one.provisional.attrs["flag_meanings"] == "final provisional"
    for flag in (before, after):
        assert flag[-1] == 1
        assert not flag[:-12].any(), "the last dates are provisional"
    assert not after[: np.argmax(before) + 1].any(), "they become final"
    for part in PARTS:
        kept = same(one[part], two[part][: len(before)])
        assert kept[before == 0].all(), "final dates stay to the bit"
        # the factor of an error knows only the observations of its update
        asked = slice(LAST + 2 if part == "sst_error" else 0, None)
        np.testing.assert_allclose(two[part][asked], at_once[part][asked], rtol=1e-6)
    assert not same(one.sst_analysis, two.sst_analysis[: len(before)])[before == 1].any()


def test_a_correction_replaces_the_observations_of_its_date(filled, record):
    late = record.isel(time=[10, LAST]).copy(deep=True)
    late["sst"][0] = late.sst[0] + 1
    late["sst"][0, 5:, 6:] = np.nan
    after = update(filled, late)
    seen = (late.sst[0].notnull() & (record.mask == 1)).to_numpy()
    np.testing.assert_array_equal(after.sst_source[10].to_numpy() == 1, seen)
    np.testing.assert_array_equal(after.sst[10].to_numpy()[seen], late.sst[0].to_numpy()[seen])
    changed = ~same(after.sst_analysis[:LAST], filled.sst_analysis)
    assert changed[8:13].all()
    assert not changed[:3].any()
    assert not changed[18:24].any()
    assert changed[-2:].all()
    # without any observation at sea, the dates around it lose neighbours
    lost = late.isel(time=[0]).copy(deep=True)
    lost["sst"][:] = np.nan
    lost["sst"][0, 0, 0] = 15  # on land
    without = update(filled, lost)
    assert not (without.sst_source[10].where(record.mask == 1) == 1).any()
    assert not same(without.sst_analysis[9:12], filled.sst_analysis[9:12]).any()
    # given again with the same values, nothing of them changes
    both = xr.concat([record.isel(time=slice(5, 20)), record.isel(time=[LAST])], "time", data_vars="minimal")
    xr.testing.assert_identical(
        update(filled, both).drop_attrs(), update(filled, record.isel(time=[LAST])).drop_attrs()
    )


def test_dates_between_are_filled_without_observations(filled, record, caplog):
    caplog.set_level(logging.INFO)
    after = update(filled, record.isel(time=slice(LAST + 2, LAST + 3)))
    assert after.sizes["time"] == LAST + 3
    assert not (after.sst_source[LAST : LAST + 2] == 1).any()
    assert int(after.sst.isnull().sum()) == int(filled.sst[0].isnull().sum()) * after.sizes["time"]
    assert "dates absent from the input, which get a map by its step of 1 day: 2 (2020-02-02" in caplog.text


def test_other_coordinates_along_time_go_on(record, tmp_path: Path):
    middle = ("time", record.time.values + np.timedelta64(3, "h"))
    data = record.assign_coords(middle=middle, orbit=("time", np.arange(DATES)))
    before = fill_known(data.isel(time=slice(LAST)))
    update(before, data.isel(time=[LAST, LAST + 2]), tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as after:
        np.testing.assert_array_equal(after.orbit, [*range(LAST + 1), np.nan, LAST + 2])
        expected = middle[1][: LAST + 3].copy()
        expected[LAST + 1] = record.time.values[LAST + 1]  # a date without observations
        np.testing.assert_array_equal(after.middle, expected)


def test_a_map_of_another_hour_is_that_of_its_day(filled, record):
    late = record.isel(time=slice(LAST - 2, LAST + 2))
    late = late.assign_coords(time=late.time + np.timedelta64(13, "h"))
    late = late.assign(sst=late.sst + np.float32(0.1))
    after = update(filled, late)
    np.testing.assert_array_equal(after.time, record.time[: LAST + 2])
    seen = (late.sst.notnull() & (record.mask == 1)).to_numpy()
    np.testing.assert_array_equal(after.sst[LAST - 2 :].to_numpy()[seen], late.sst.to_numpy()[seen])


def test_a_date_without_a_value_and_one_that_comes_twice(filled, record, caplog):
    empty = record.isel(time=slice(LAST, LAST + 1))
    empty = empty.assign(sst=empty.sst.where(False))
    after = update(filled, empty)
    assert not (after.sst_source[LAST] == 1).any()
    again = record.isel(time=[20]).assign(sst=record.sst[20:21].where(False))
    later = xr.concat([again, record.isel(time=[LAST])], "time", data_vars="minimal")
    kept = update(filled, later)
    assert "has no value on 2020-01-21; those of dataset stay" in caplog.text
    assert same(kept.sst[:25], filled.sst[:25]).all()


def test_an_outlier_among_the_new_values_is_not_used(filled, record):
    wrong = record.isel(time=slice(LAST, None)).copy(deep=True)
    y, x = np.argwhere(np.isfinite(wrong.sst[1].to_numpy()) & (record.mask == 1).to_numpy())[30]
    wrong["sst"][1, y, x] = 80
    after = update(filled, wrong)
    assert int(after.sst_source[LAST + 1, y, x]) == 4
    assert abs(float(after.sst[LAST + 1, y, x]) - 15) < 12
    assert int((after.sst_source == 4).sum()) == 1


def test_two_variables_of_a_file(record):
    data = record.assign(chl=(record.sst / 10).where(record.sst > 14).assign_attrs(units="mg m-3"))
    asked = Opening(variable="sst,chl", transform="none")
    fields = open_variables(data.isel(time=slice(LAST)), opening=asked)[0]
    small = Scales(tuple(Component(p.sill / 100, p.length, p.duration) for p in SCALES.components), 1e-4)
    gaps = GapData(fields, DataSettings(held_out=0.0), kriging=Kriging(SCALES, 32), outputs=2)
    gaps.others[0].kriging = Kriging(small, 32)
    made = deliver(gaps, find_method("oi"), FillSettings(holdout=False), lambda rows: None, {}, asked)
    both = merge_filled(made)
    late = data.isel(time=slice(LAST, None))
    after = update(both, late)
    for name, dataset in zip(("sst", "chl"), made, strict=True):
        alone = dataset.assign_attrs({ATTRIBUTE: both.attrs[f"{name}_{ATTRIBUTE}"]})
        expected = update(alone, late)
        for part in ("", "_analysis", "_error", "_source"):
            np.testing.assert_array_equal(after[f"{name}{part}"], expected[f"{name}{part}"])
        seen = int(((after[f"{name}_source"] == 1) & after[f"{name}_analysis"].notnull()).sum())
        assert f"{name} was observed at {seen} of" in after.attrs["summary"]
    for name, other in (("sst", "chl"), ("chl", "sst")):  # one variable is corrected
        again = update(after, late.assign({name: late[name] + 1}))
        assert list(again.data_vars) == list(after.data_vars)
        assert not same(again[name], after[name])[-5:].any()
        for part in ("", "_analysis", "_error", "_source"):
            assert same(again[f"{other}{part}"], after[f"{other}{part}"]).all()


def test_logarithms_with_an_observation_error(record):
    data = record.assign(sst=np.exp(record.sst / 5).assign_attrs(units="mg m-3"))
    how = {"transform": "log", "observation_error": 0.5}
    before = fill_known(data.isel(time=slice(LAST)), unit=0.04, **how)
    fitted = Fitted.from_json(before.attrs[ATTRIBUTE])
    assert (fitted.transform, fitted.error) == ("log", 0.5)
    after, expected = update(before, data.isel(time=slice(LAST, None))), fill_at_once(data, before)
    for part in ("sst_analysis", "sst_error", "sst_lower_50"):
        np.testing.assert_allclose(after[part][LAST:], expected[part][LAST:], rtol=1e-4, err_msg=part)


def test_the_mean_of_a_long_record_with_its_season_is_the_same_to_the_bit():
    data = make_record(dates=60).assign_coords(time=np.datetime64("2017-01-01", "ns") + TWELVE_DAYS)
    data["sst"] = data.sst + np.cos(2 * np.pi * data.time.dt.dayofyear / 365).astype(np.float32)
    first = data.isel(time=slice(55))
    field = extend(open_products(fill_known(first))[0], data.isel(time=slice(55, None))).field
    mean = reference_mean(open_field(first))
    assert mean.shape == (55, 10, 12)
    assert np.nanstd(mean[:30] - mean[25:55]) > 0.1
    np.testing.assert_array_equal(reference_mean(field)[:55], mean)


def test_errors_of_each_observation_are_given_again_where_they_are_needed(record):
    error = xr.where(record.sst > 15, 0.3, 0.1).astype(np.float32)
    data = record.assign(e=error.assign_attrs(units="degree_Celsius"))
    before = fill_known(data.isel(time=slice(LAST)), variable="sst", error_variable="e")
    with pytest.raises(
        InputError, match=r"does not hold the errors of its observations \(e\).* from 2020-01-"
    ):
        update(before, data.isel(time=slice(LAST, None)))
    after, expected = update(before, data.isel(time=slice(LAST - 25, None))), fill_at_once(data, before)
    for part in ("sst_analysis", "sst_error"):
        np.testing.assert_allclose(after[part][LAST:], expected[part][LAST:], rtol=2e-5, err_msg=part)
    again = data.isel(time=slice(LAST - 25, None)).copy(deep=True)
    again["sst"][24] = np.nan  # the last date before: its observations stay, and their errors are unknown
    with pytest.raises(InputError, match="does not hold the errors"):
        update(before, again)


def test_packed_files_stores_and_units(record, tmp_path: Path):
    packing = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 15.0, "_FillValue": -32768}
    data = record.copy(deep=True)
    data["sst"].encoding = packing
    data["time"].encoding = {"units": "days since 1981-01-01", "dtype": "int32"}
    data.to_netcdf(tmp_path / "packed.nc")
    with xr.open_dataset(tmp_path / "packed.nc") as packed:
        data = packed.load()
    filled = fill_known(data.isel(time=slice(LAST)))
    late = data.isel(time=slice(LAST, None))
    late = late.assign(sst=(late.sst + 273.15).assign_attrs(units="kelvin"))
    late.drop_encoding().to_netcdf(tmp_path / "late.nc")
    for name, how in (("filled.nc", {}), ("filled.zarr", {"engine": "zarr", "consolidated": False})):
        old, new = tmp_path / name, tmp_path / f"new_{name}"
        write_dataset(filled, old)
        update(old, tmp_path / "late.nc", new)
        with xr.open_dataset(old, **how) as before, xr.open_dataset(new, **how) as after:
            for part in PARTS:
                assert same(before[part][:20], after[part][:20]).all()
                assert after[part].encoding["dtype"] == before[part].encoding["dtype"]
                assert str(after[part].attrs) == str(before[part].attrs)
            assert after.sst.encoding["dtype"] == np.int16
            assert after.sst.encoding["scale_factor"] == 0.001
            np.testing.assert_array_equal(after.time, data.time)
            seen = (after.sst_source == 1).to_numpy() & (record.mask == 1).to_numpy()
            off = (after.sst.to_numpy() - record.sst.to_numpy())[seen]
            assert np.abs(off).max() < 0.0006
            assert f"observed at {seen.sum()} of" in after.summary
            assert after.attrs["time_coverage_end"] == "2020-02-06T00:00:00Z"
            names = ", ".join(repr(str(path)) for path in (old, tmp_path / "late.nc", new))
            assert after.attrs["history"].endswith(f"Z: oceanfill.update({names})")
            assert after.attrs["history"].count("\n") == before.attrs["history"].count("\n") + 1


def test_in_place_and_only_if_asked(filled, record, tmp_path: Path):
    path = tmp_path / "filled.nc"
    write_dataset(filled, path)
    late = record.isel(time=slice(LAST, None))
    content = path.read_bytes()
    made = update(path, late)
    assert path.read_bytes() == content, "nothing is written without a name"
    with pytest.raises(InputError, match="is the product itself; add overwrite=True"):
        update(path, late, path)
    with pytest.raises(InputError, match=r"filled.nc: exists; add overwrite=True"):
        update(filled, late, path)
    update(path, late, overwrite=True)
    with xr.open_dataset(path) as after:
        for part in (*PARTS, "provisional"):
            np.testing.assert_array_equal(after[part], made[part])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["filled.nc"]
    with pytest.raises(InputError, match=r"has nothing new: .*filled.nc holds 2020-02-02.* and 2 more"):
        update(path, late)


def test_a_network_of_ones_own_is_found_and_checked(record, tmp_path, monkeypatch):
    import torch
    from oceanfill.pipeline.training.checkpoints import save_checkpoint
    from oceanfill.pipeline.training.tasks import Correction

    path = tmp_path / "own.ckpt"
    tiny = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 6], "fold": 2}}
    for seed, name in ((0, path), (1, tmp_path / "other.ckpt")):
        torch.manual_seed(seed)
        task = Correction(tiny)
        torch.nn.init.normal_(task.networks[0].head.weight, std=0.3)
        about = {"variables": ["sst"], "units": [""], "transforms": ["none"], "first_guess": "oi"}
        task.trained_on = about
        save_checkpoint(task, name)
    settings = FillSettings(method="unet", holdout=False, training=Training(checkpoint=str(path)))
    gaps = GapData(
        open_field(record.isel(time=slice(LAST))), DataSettings(held_out=0.0), kriging=Kriging(SCALES, 32)
    )
    (before,) = deliver(gaps, find_method("unet"), settings, lambda rows: None, {}, Opening())
    late = record.isel(time=slice(LAST, None))
    after = update(before, late)
    assert float(np.abs(after.sst_analysis[LAST:] - update_by_oi(before, late)).max()) > 0.01
    moved = path.rename(tmp_path / "moved.ckpt")
    with pytest.raises(InputError, match=r"own.ckpt: no such file, the network that filled dataset"):
        update(before, late)
    with pytest.raises(InputError, match=r"other.ckpt: is another network than the one that filled"):
        update(before, late, checkpoint=tmp_path / "other.ckpt")
    again = update(before, late, checkpoint=moved)
    np.testing.assert_array_equal(again.sst_analysis, after.sst_analysis)
    lost = change(before, network={"file": "", "sha256": ""})
    with pytest.raises(InputError, match="was trained for it and not kept; fill it once"):
        update(lost, late)


def change(filled: xr.Dataset, **numbers) -> xr.Dataset:
    """The product with other numbers in its attribute."""
    kept = json.loads(filled.attrs[ATTRIBUTE]) | numbers
    return filled.assign_attrs({ATTRIBUTE: json.dumps(kept)})


def update_by_oi(filled: xr.Dataset, late: xr.Dataset) -> xr.DataArray:
    """The last dates of an update without the network."""
    return update(change(filled, candidate="oi", method="oi", network=None), late).sst_analysis[LAST:]


def test_what_does_not_go_with_a_product_is_refused_in_a_sentence(filled, record, tmp_path):
    late = record.isel(time=slice(LAST, None))
    earlier = late.assign_coords(time=record.time[: DATES - LAST] - np.timedelta64(30, "D"))
    far = late.assign_coords(time=late.time + np.timedelta64(3000, "D"))
    halves = late.isel(time=[0, 0]).assign_coords(time=late.time.values[0] + SIX_HOURS)
    points = xr.Dataset(
        {"sst": ("time", [15.0, 16.0], {"units": "degree_Celsius"})},
        {"time": late.time.values[:2], "lat": ("time", [35.5, 35.6]), "lon": ("time", [-5.5, -5.4])},
    )
    cases = [
        (filled, late.isel(lat=slice(5)), "its grid differs from that of dataset"),
        (filled, late.assign_coords(lat=late.lat + 0.05), "its grid differs from that of dataset"),
        (filled, late.assign(sst=late.sst.assign_attrs(units="m")), "m"),
        (filled, late.rename(sst="chl"), "there is no variable 'sst'"),
        (filled, late.rename(lat="y"), "its coordinates are|latitude"),
        (filled, earlier, "its date 2019-12-02 is before the first of dataset, 2020-01-01; fill all"),
        (filled, far, "begin 3001 days after the last of dataset, 2020-02-01, a gap longer than the record"),
        (filled, halves, "has several maps on one day, and dataset has one"),
        (filled, late.isel(time=0, drop=True), "has no date"),
        (filled, points, "holds points along tracks, not maps like dataset"),
        (filled, record.isel(time=slice(3, 9)), "has nothing new"),
        (filled, filled, "is filled already; give the observations"),
        (record, late, "it is not a field that `oceanfill fill` wrote; fill it first"),
        (filled.drop_attrs(), late, "does not hold the numbers that an update needs"),
        (filled.isel(time=slice(4, None)), late, "lacks some of the 32 dates from 2020-01-01 to 2020-02-01"),
        (filled.assign_attrs({ATTRIBUTE: "{}"}), late, "its attribute fitted_numbers cannot be read"),
        (change(filled, method="os:system"), late, "cannot be read .*no method 'os:system'"),
        (filled.assign(more=filled.sst), late, "holds more by date, which an update cannot extend"),
    ]
    for product, new, says in cases:
        with pytest.raises(InputError, match=says):
            update(product, new, tmp_path / "out.nc")
    with pytest.raises(InputError, match="the product is in memory"):
        update(filled, late, overwrite=True)
    assert not list(tmp_path.iterdir())
