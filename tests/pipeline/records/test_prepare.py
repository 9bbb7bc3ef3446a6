"""Many files into one store: its contents, errors for bad files, and resumption of a stopped run."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.records.prepare import DATES, prepare
from oceanfill.pipeline.records.statistics import Statistics

PACKING = {"zlib": True, "shuffle": False, "chunksizes": (1, 9, 11)}
WHOLE = cloudy_dataset(dates=50, rows=9, columns=11).drop_vars("truth")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of seven dates; their names are not in the order of the dates, the last is reversed in time."""
    for i, start in enumerate(range(0, 50, 7)):
        part = WHOLE.isel(time=slice(start, start + 7))
        part = part.isel(time=slice(None, None, -1)) if start == 49 - 7 else part
        part.to_netcdf(tmp_path / f"{'hcafbdeg'[i]}.nc", encoding={"sst": PACKING})
    return tmp_path


def test_the_store_is_the_files_in_order_with_their_mask_and_statistics(folder):
    store = prepare(str(folder / "*.nc"), folder / "all.zarr")
    field, one = open_field(store), open_field(WHOLE)
    np.testing.assert_array_equal(field.values, one.values)
    np.testing.assert_array_equal(field.sea, one.sea)
    np.testing.assert_array_equal(field.days, one.days)
    held = xr.open_zarr(store)
    np.testing.assert_allclose(held.sst_mean, WHOLE.sst.mean("time"), rtol=1e-6)
    np.testing.assert_allclose(held.sst_std, WHOLE.sst.std("time"), rtol=1e-5)
    np.testing.assert_allclose(held.sst_share, WHOLE.sst.notnull().mean("time"), rtol=1e-6)
    by_month = WHOLE.sst.groupby("time.month").mean("time")
    np.testing.assert_allclose(held.sst_climatology[:2], by_month, rtol=1e-6)
    assert held.sst_climatology[2:].isnull().all()
    assert held.sst.encoding["chunks"] == (DATES, 9, 11)
    assert [path.name for path in folder.iterdir() if path.suffix != ".nc"] == ["all.zarr"]


def test_statistics_of_parts_are_those_of_the_whole_to_the_last_digits():
    rng = np.random.default_rng(0)
    values = 1e4 + rng.standard_normal((40, 3, 4))  # a mean in which sums of squares would lose all digits
    values[::7] *= -1e-4
    values[rng.random(values.shape) < 0.6] = np.nan
    values[:, 0, 0], values[:13, 0, 1] = np.nan, np.nan
    month = rng.integers(1, 13, 40)
    merged, *others = (
        Statistics.compute(values[at], month[at], np.arange(12).reshape(3, 4) == at.start)
        for at in (slice(0, 13), slice(13, 14), slice(14, 40))
    )
    for other in others:
        merged.add(other)
    seen = np.isfinite(values).any(axis=0)
    np.testing.assert_array_equal(merged.number[0], np.isfinite(values).sum(axis=0))
    np.testing.assert_allclose(merged.mean[0][seen], np.nanmean(values[:, seen], axis=0), rtol=1e-15)
    deviation = np.nansum((values - merged.mean[0])[:, seen] ** 2, axis=0)
    np.testing.assert_allclose(merged.squares[seen], deviation, rtol=1e-9)
    june = values[month == 6]
    has = np.isfinite(june).any(axis=0)
    np.testing.assert_allclose(merged.mean[6][has], np.nanmean(june[:, has], axis=0), rtol=1e-15)
    np.testing.assert_array_equal(merged.positive, (values > 0).sum(axis=0))
    np.testing.assert_array_equal(np.flatnonzero(merged.sea), [0])


def test_every_bad_file_is_named_and_can_be_left_out(folder):
    (folder / "i.nc").write_bytes((folder / "a.nc").read_bytes()[:3000])
    WHOLE.isel(lat=slice(0, 5)).to_netcdf(folder / "j.nc")
    WHOLE.isel(time=[0]).drop_vars("sst").to_netcdf(folder / "k.nc")
    with pytest.raises(InputError) as error:
        prepare(str(folder / "*.nc"), folder / "all.zarr")
    text = str(error.value)
    assert text.startswith("3 of 11 files cannot be used")
    assert "i.nc: the file is truncated" in text
    assert "j.nc: its grid differs from that of" in text
    assert "k.nc: no variable has time, latitude and longitude" in text
    assert not (folder / "all.zarr").exists()
    store = prepare(str(folder / "*.nc"), folder / "all.zarr", skip_bad=True)
    np.testing.assert_array_equal(open_field(store).values, open_field(WHOLE).values)


def test_files_of_which_one_has_no_mask_are_refused(folder):
    path = sorted(folder.glob("*.nc"))[1]
    xr.load_dataset(path).drop_vars("mask").to_netcdf(path)
    with pytest.raises(InputError, match=f"{path}: it lacks the sea mask 'mask' of "):
        prepare(str(folder / "*.nc"), folder / "all.zarr")


def test_dates_whose_values_cannot_be_read_stay_missing_when_bad_files_are_skipped(folder, caplog):
    """Files whose headers are whole and whose values are not."""
    damage(folder / "a.nc")
    damage(folder / "c.nc")
    with pytest.raises(InputError, match=r"c\.nc: its values cannot be read"):
        prepare(str(folder / "*.nc"), folder / "all.zarr")
    store = prepare(str(folder / "*.nc"), folder / "all.zarr", skip_bad=True)
    expected = open_field(WHOLE).values.copy()
    expected[7:14] = expected[DATES:21] = np.nan  # the first two of a.nc are in a chunk before
    np.testing.assert_array_equal(open_field(store).values, expected)
    found = xr.open_zarr(store)
    assert (found.sst_seen[DATES:21] == 0).all()
    sea = np.isfinite(expected).any(axis=0)
    np.testing.assert_allclose(
        found.sst_mean.to_numpy()[sea], np.nanmean(expected[:, sea], axis=0), rtol=1e-6
    )
    assert caplog.text.count("its dates stay missing") == 2
    assert "a.nc: its values cannot be read" in caplog.text


@pytest.mark.parametrize(("merge", "added"), [("mean", 0.5), ("last", 1), ("first", 0)])
def test_maps_of_a_repeated_date_are_merged_as_in_a_field(folder, caplog, merge, added):
    caplog.set_level("INFO", "oceanfill")
    again = WHOLE.isel(time=[20, 3])
    (again + 1).assign(mask=WHOLE.mask).to_netcdf(folder / "z.nc")
    store = prepare(str(folder / "*.nc"), folder / "all.zarr", merge=merge)
    expected = open_field(WHOLE).values.copy()
    expected[[3, 20]] += added
    field = open_field(store, observation_error=0.2)
    np.testing.assert_allclose(field.values, expected, rtol=1e-6)
    whole = open_field([*sorted(folder.glob("*.nc"))], merge=merge, observation_error=0.2)
    np.testing.assert_array_equal(field.values, whole.values)
    np.testing.assert_array_equal(field.error_variance, whole.error_variance)
    error = np.sqrt(field.error_variance)[field.observed]
    assert error.max() == np.float32(0.2)
    assert (error < 0.19).sum() == (np.isfinite(expected[[3, 20]]).sum() if merge == "mean" else 0)
    assert "dates with several maps: 2 (2020-01-04, 2020-01-21), 4 maps reduced to the" in caplog.text
    with pytest.raises(InputError, match=r"z\.nc: dates with several maps: 2"):
        prepare(str(folder / "*.nc"), folder / "all.zarr", merge="refuse", overwrite=True)


def test_the_same_is_refused_as_in_a_field(folder):
    """Grids whose corners are the same, but not the rows between."""
    bent = WHOLE.isel(time=[0]).assign_coords(time=[np.datetime64("2021-01-01", "ns")])
    bent = bent.assign_coords(lat=np.r_[WHOLE.lat[:4], WHOLE.lat[4] + 0.05, WHOLE.lat[5:]])
    bent.to_netcdf(folder / "z.nc")
    for read in (lambda: open_field(str(folder / "*.nc")), lambda: prepare(str(folder / "*.nc"), "all.zarr")):
        with pytest.raises(InputError, match=r"z\.nc: its grid differs from that of .*\(positions\)"):
            read()


def damage(path: Path) -> bytes:
    """Spoil the values of a date in a file that keeps its size and date, and return what was there."""
    content = path.read_bytes()
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        start = content.index(zlib.compress(file["sst"][3].tobytes(), 4)[:16])
    repair(path, content[: start + 20] + bytes(100) + content[start + 120 :])
    return content


def repair(path: Path, content: bytes) -> None:
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_stopped_run_resumes_where_it_stopped_and_gives_the_same(folder):
    """Files that were read before are not read again: they are damaged in the meantime."""
    undisturbed = prepare(str(folder / "*.nc"), folder / "whole.zarr")
    second, third = folder / "f.nc", folder / "d.nc"  # in the second and third of four chunks
    content = damage(third)
    with pytest.raises(InputError, match=r"d\.nc: its values cannot be read"):
        prepare(str(folder / "*.nc"), folder / "all.zarr")
    assert not (folder / "all.zarr").exists()
    repair(third, content)
    damage(second)
    store = prepare(str(folder / "*.nc"), folder / "all.zarr")
    found, whole = xr.open_zarr(store).load(), xr.open_zarr(undisturbed).load()
    assert found.identical(whole)
    prepare(str(folder / "*.nc"), folder / "all.zarr")  # nothing has changed, so nothing is read
    third.touch()
    with pytest.raises(InputError, match=r"f\.nc: its values cannot be read"):
        prepare(str(folder / "*.nc"), folder / "all.zarr", overwrite=True)


def test_flags_are_applied_and_counted_over_the_whole_record_also_after_a_stop(tmp_path):
    """Two files have every other date each; the third, where a stopped run resumes, has the last ones."""
    quality = np.random.default_rng(0).integers(0, 6, WHOLE.sst.shape).astype(np.int8)
    attrs = {"ancillary_variables": "quality_level"}
    data = WHOLE.assign(quality_level=(WHOLE.sst.dims, quality), sst=WHOLE.sst.assign_attrs(attrs))
    for name, dates in (("a", range(0, 40, 2)), ("b", range(1, 40, 2)), ("c", range(40, 50))):
        data.isel(time=list(dates)).to_netcdf(tmp_path / f"{name}.nc", encoding={"sst": PACKING})
    pattern, last = str(tmp_path / "*.nc"), tmp_path / "c.nc"
    content = damage(last)
    with pytest.raises(InputError, match="its values cannot be read"):
        prepare(pattern, tmp_path / "all.zarr")
    repair(last, content)
    store = prepare(pattern, tmp_path / "all.zarr")
    held, field = xr.open_zarr(store), open_field(pattern)
    seen = np.isfinite(WHOLE.sst.to_numpy())
    taken = np.count_nonzero(seen & (quality < 4))
    assert held.input_treatment == "; ".join(field.treatment)
    assert held.input_treatment.endswith(
        f"flagged by quality_level: {taken} ({100 * taken / np.count_nonzero(seen):.1f}% of the values)"
    )
    np.testing.assert_array_equal(np.isfinite(held.sst.to_numpy()), seen & (quality >= 4))
    lenient = prepare(pattern, tmp_path / "lenient.zarr", quality="quality_level>=2")
    np.testing.assert_array_equal(np.isfinite(xr.open_zarr(lenient).sst.to_numpy()), seen & (quality >= 2))
    with pytest.raises(InputError, match="there is no flag 'qual'"):
        prepare(pattern, tmp_path / "none.zarr", quality="qual>1")
    with pytest.raises(
        InputError, match=r"no value of sst is left \(kept where quality_level >= 6.*quality='none'"
    ):
        prepare(pattern, tmp_path / "none.zarr", quality="quality_level>=6")


def test_a_mask_that_varies_in_time_is_the_union_of_all_dates(folder):
    """Sea that is sea on one date only, in the first, a later and the last chunk; also after a stop."""
    mask = WHOLE.mask.expand_dims(time=WHOLE.time).copy(deep=True)
    mask[:, 5:] = 0
    mask[3, 5, 5:8] = mask[37, 6] = mask[49, 8, 10] = 1
    for path in folder.glob("*.nc"):
        data = xr.load_dataset(path)
        data.assign(mask=mask.sel(time=data.time)).to_netcdf(path)
    whole = open_field(sorted(folder.glob("*.nc")))
    expected = WHOLE.mask[:5].sum() + 3 + 11 + 1
    content = damage(folder / "d.nc")
    with pytest.raises(InputError):
        prepare(str(folder / "*.nc"), folder / "all.zarr")
    repair(folder / "d.nc", content)
    field = open_field(prepare(str(folder / "*.nc"), folder / "all.zarr"))
    assert whole.sea.sum() == field.sea.sum() == expected
    np.testing.assert_array_equal(field.sea, whole.sea)
    np.testing.assert_array_equal(field.values, whole.values)


@pytest.mark.slow  # new processes import everything
@pytest.mark.parametrize("cluster", [None, "local"])
def test_workers_give_the_same_as_one_process(folder, cluster):
    if cluster is not None:
        pytest.importorskip("distributed", reason="the extra hpc is not installed")
    one = prepare(str(folder / "*.nc"), folder / "one.zarr")
    two = prepare(str(folder / "*.nc"), folder / "two.zarr", cluster=cluster, n_workers=2)
    assert xr.open_zarr(one).identical(xr.open_zarr(two))


def test_period_region_and_error_are_kept(folder):
    for path in folder.glob("*.nc"):
        data = xr.load_dataset(path)
        data.assign(err=0.1 + 0 * data.sst).to_netcdf(path)
    cut = {"period": "2020-01-05/2020-02-03", "region": (35.2, 35.6, -5.8, -5.3), "error_variable": "err"}
    store = prepare(str(folder / "*.nc"), folder / "all.zarr", variable="sst", **cut)
    field = open_field(store, error_variable="err")
    one = open_field(sorted(folder.glob("*.nc")), variable="sst", **cut)
    assert field.values.shape == (30, 5, 6)
    np.testing.assert_array_equal(field.values, one.values)
    np.testing.assert_array_equal(field.error_variance, one.error_variance)


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        ("a.nc", "all.nc", "a cache is a Zarr store; name it .zarr"),
        ("nothing.nc", "all.zarr", "no such file"),
        ("nan.nc", "all.zarr", "is ever observed"),
        ("words.nc", "all.zarr", "the error variable err does not hold numbers"),
    ],
)
def test_inputs_that_cannot_be_prepared_are_refused(folder, inputs, output, message):
    few = WHOLE.isel(time=slice(0, 3))
    few.assign(sst=few.sst * np.nan).to_netcdf(folder / "nan.nc")
    few.assign(err=few.sst.astype(str)).to_netcdf(folder / "words.nc")
    error = "err" if inputs == "words.nc" else None
    with pytest.raises(InputError, match=message):
        prepare(folder / inputs, folder / output, variable="sst", error_variable=error)
    assert not (folder / output).exists()
