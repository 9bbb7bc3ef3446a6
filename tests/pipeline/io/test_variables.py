"""Several variables: what is asked for in words, grids, dates, and what becomes of them on the way."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset, cloudy_field, plain_values
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.patterns import hide_clouds, hide_clouds_together, hide_pixels
from oceanfill.pipeline.holdout.splits import hold_out, hold_out_together
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.io.variables import (
    Spec,
    match_dates,
    open_variables,
    parse_inputs,
    parse_spec,
    regrid_like,
)
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.firstguess import measure_spread
from oceanfill.pipeline.training.heldout import DataSettings

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("sst.nc", [Spec("sst.nc")]),
        ("sst.nc:SST", [Spec("sst.nc", "SST")]),
        ("sample:sst.nc:SST:log", [Spec("sample:sst.nc", "SST", "log")]),
        ("c_*.nc:CHL:log,error=0.3", [Spec("c_*.nc", "CHL", "log", "0.3")]),
        ("c.nc:CHL,error=rms,jitter=0.05", [Spec("c.nc", "CHL", None, "rms", 0.05)]),
        ("w.nc:u,v:log", [Spec("w.nc", "u"), Spec("w.nc", "v", "log")]),
        ("w.nc,jitter=1", [Spec("w.nc", jitter=1)]),
    ],
)
def test_what_is_asked_for(text, specs):
    assert parse_spec(text) == specs


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (":SST", "names no variable; write it as FILE:NAME"),
        ("a.nc:", "names no variable"),
        ("a.nc,u", "names no variable"),
        ("a.nc:u:sqrt", "no transform 'sqrt'"),
        ("a.nc:u,err=3", "no option err"),
        ("a.nc:u,jitter=much", "jitter much is not a standard deviation"),
        ("a.nc:u,jitter=-1", "jitter -1 is not a standard deviation"),
    ],
)
def test_what_cannot_be_understood(text, finding):
    with pytest.raises(InputError, match=finding):
        parse_spec(text)


def test_an_error_is_a_number_or_a_name():
    wide = Opening(region=(30, 40, 0, 10))
    assert parse_spec("a.nc:u,error=0.3")[0].complete(wide) == replace(
        wide, variable="u", observation_error=0.3
    )
    assert parse_spec("a.nc:u:log,error=rms")[0].complete(wide) == replace(
        wide, variable="u", transform="log", error_variable="rms"
    )


def test_files_of_one_variable_are_not_several(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_inputs(["a.nc", "b.nc"]) == (["a.nc", "b.nc"], [])
    assert parse_inputs(["a.nc", "b.nc:u,v"]) == (Spec("a.nc"), [Spec("b.nc", "u"), Spec("b.nc", "v")])
    (tmp_path / "12:00.nc").touch()
    assert parse_inputs(["12:00.nc"]) == (["12:00.nc"], [])


def plane(lat, lon, dates=4, start="2020-01-01T00", name="wind"):
    """2 lat + 3 lon + the number of the date, with its first value missing."""
    values = 2 * lat[:, None] + 3 * lon + np.arange(dates)[:, None, None]
    values[0, 0, 0] = np.nan
    time = np.datetime64(start, "ns") + np.arange(dates) * np.timedelta64(1, "D")
    return xr.Dataset(
        {name: (("time", "lat", "lon"), values.astype(np.float32), {"units": "m s-1"})},
        {"time": time, "lat": lat, "lon": lon},
    )


def first_field(lat, lon, dates=4, lands=()):
    data = plane(lat, lon, dates, name="sst")
    sea = np.ones(data.sst.shape[1:], np.int8)
    for cell in lands:
        sea[cell] = 0
    data["mask"] = ("lat", "lon"), sea, {"standard_name": "sea_binary_mask"}
    return open_field(data)


@pytest.mark.parametrize("turned", [1, -1])
@pytest.mark.parametrize("east", [0, 360])
def test_a_coarser_grid_is_interpolated_and_a_plane_stays_one(turned, east, caplog):
    first = first_field(np.arange(35.0, 37.01, 0.1), np.arange(-6, -4.01, 0.125))
    other = open_field(plane(np.arange(34.0, 38.1, 0.5)[::turned], np.arange(-7, -2.9, 0.5) + east))
    with caplog.at_level(logging.INFO, "oceanfill"):
        made = regrid_like(other, first)
    expected = 2 * first.lat + 3 * (first.lon + east) + np.arange(4)[:, None, None]
    np.testing.assert_allclose(plain_values(made), expected, rtol=1e-6)
    assert made.source.attrs == {"units": "m s-1"}
    np.testing.assert_array_equal(made.lat, first.lat)
    assert "wind: interpolated from 9 x 9 cells to the 21 x 16 cells of sst" in caplog.text


def test_beside_a_gap_what_is_left_is_interpolated_and_beyond_the_rim_nothing_is():
    """Half of the weight has to be there; a rim's cell reaches half a step outwards."""
    lat = np.array([0.0, 1, 2, 3])
    data = plane(lat, lat)
    data.wind[0, 1, 1] = np.nan
    first = first_field(np.array([0.9, 1.4, 1.6]), np.array([-0.75, -0.45, 1.0, 1.4]))
    made = regrid_like(open_field(data), first)
    values = made.values[0]  # noqa: PD011 - a Field's
    assert np.isnan(values[0, 2])  # a tenth of it is
    assert np.isnan(values[1, 2])  # four tenths
    assert values[2, 2] == pytest.approx(2 * 2 + 3)  # its northern neighbour alone
    assert made.sea[:, 1:].all()
    assert not made.sea[:, 0].any()
    assert values[2, 1] == pytest.approx(2 * 1.6)  # as at the rim


def test_a_finer_grid_is_averaged_by_area(caplog):
    """Against sums by hand: cells of 3 x 2, whose areas go as the differences of the sine of latitude."""
    rng = np.random.default_rng(0)
    fine = plane(np.arange(50.25, 62, 0.5), np.arange(0.5, 12, 1.0))
    fine.wind[:] = rng.standard_normal(fine.wind.shape)
    fine.wind[1, :3, :2] = np.nan
    fine.wind[1, 0, 0] = 7.0
    fine.wind[2, 3:5, :2] = np.nan
    fine["rms"] = fine.wind * 0 + 0.5
    first = first_field(np.arange(50.75, 62, 1.5), np.arange(1.0, 12, 2.0), lands=[(7, 5)])
    with caplog.at_level(logging.INFO, "oceanfill"):
        made = regrid_like(open_field(fine, variable="wind", error_variable="rms"), first)
    edge = np.sin(np.radians(np.arange(50, 62.1, 0.5)))
    area = np.diff(edge)[:, None] * np.ones(12)
    known = fine.wind.notnull().to_numpy()

    def summed(values):
        return values.reshape(4, 8, 3, 6, 2).sum((2, 4))

    mean = summed(np.where(known, fine.wind, 0) * area) / summed(known * area).clip(1e-9)
    mean[1, 0, 0] = np.nan  # one of six is no mean
    mean[2, 1, 0] = np.nan  # nor are two of six
    mean[:, 7, 5] = np.nan
    np.testing.assert_allclose(made.values, mean, rtol=2e-3)
    assert "wind: averaged from 24 x 12 cells to the 8 x 6 cells of sst" in caplog.text
    seen = made.observed
    np.testing.assert_allclose(made.error_variance[seen], 0.25, rtol=1e-6)


def test_the_same_grid_is_left_as_it_is_to_the_bit():
    """Logarithms and observed values too, and whether the region was cut wider or not."""
    data = cloudy_dataset(dates=6, rows=10, columns=12).drop_vars("truth")
    field = open_field(data, variable="sst", transform="log", observation_error=0.2)
    first = cloudy_field(dates=6, rows=10, columns=12)
    same = regrid_like(field, first)
    wider = data.pad(lat=2, lon=3, constant_values={"sst": np.nan, "mask": 0})
    wider["lat"], wider["lon"] = 35 + 0.1 * np.arange(-2, 12), -6 + 0.1 * np.arange(-3, 15)
    cut = regrid_like(open_field(wider, variable="sst", transform="log", observation_error=0.2), first)
    for made in (same, cut):
        np.testing.assert_array_equal(made.values, field.values)
        np.testing.assert_array_equal(made.source, data.sst)
        np.testing.assert_allclose(made.error_variance, field.error_variance, rtol=1e-6)
        np.testing.assert_array_equal(made.sea, field.sea)


def test_curved_grids_that_differ_are_refused():
    field = first_field(np.arange(4.0), np.arange(5.0))
    curved = replace(field, lat=field.lat + 0.01 * field.lon)
    with pytest.raises(
        InputError,
        match="wind cannot be regridded to the grid of sst, because the grid of sst is curvilinear",
    ):
        regrid_like(open_field(plane(np.arange(4.0), np.arange(5.0))), curved)
    same = replace(open_field(plane(np.arange(4.0), np.arange(5.0))), lat=curved.lat)
    np.testing.assert_array_equal(regrid_like(same, curved).values, same.values)


def test_days_are_matched_and_the_nearest_hour_is_taken():
    first = pd.date_range("2020-01-01T12", periods=4, freq="D")
    other = pd.DatetimeIndex(["2020-01-02T00", "2020-01-02T18", "2020-01-04T23", "2020-01-09"])
    assert match_dates(other, first).tolist() == [-1, 1, -1, 2]
    noleap = xr.date_range("2020-01-02", periods=2, calendar="noleap", use_cftime=True)
    assert match_dates(noleap, first).tolist() == [-1, 0, 1, -1]


def test_of_several_maps_a_day_each_is_matched_by_the_second():
    first = pd.date_range("2020-01-01", periods=4, freq="12h")
    other = pd.DatetimeIndex(["2020-01-01T12", "2020-01-02T01"])
    assert match_dates(other, first).tolist() == [-1, 0, -1, -1]


def test_a_missing_date_is_missing_and_none_at_all_is_refused(caplog):
    lat, lon = np.arange(35.0, 38), np.arange(4.0)
    first = first_field(lat, lon, dates=5)
    with caplog.at_level(logging.INFO, "oceanfill"):
        made = regrid_like(open_field(plane(lat, lon, 3, "2020-01-02T06")), first)
    assert made.observed.any(axis=(1, 2)).tolist() == [False, True, True, True, False]
    expected = 2 * first.lat + 3 * first.lon + 1
    np.testing.assert_allclose(made.values[2], expected)  # noqa: PD011 - a Field's
    assert "has 3 of the 5 dates of sst" in caplog.text
    with pytest.raises(InputError, match=r"wind has none of the dates of sst \(2021-.* not 2020-01-01 to"):
        regrid_like(open_field(plane(lat, lon, 3, "2021-01-02")), first)


def test_names_have_to_differ_and_no_value_on_the_grid_is_refused():
    data = cloudy_dataset(dates=6, rows=8, columns=10).drop_vars("truth")
    with pytest.raises(InputError, match=r"sst: several variables have this name; .* in quotes"):
        open_variables(data, auxiliary=[data])
    far = open_field(plane(np.arange(-40.0, -36), np.arange(5.0), 6))
    with pytest.raises(InputError, match="wind has no value on the grid and the dates of sst"):
        regrid_like(far, open_field(data))


def test_an_option_of_the_first_is_given_once(tmp_path):
    cloudy_dataset(dates=6, rows=8, columns=10).to_netcdf(tmp_path / "in.nc")
    with pytest.raises(InputError, match=r"in.nc: the variable is given both with the file and by an option"):
        open_variables(f"{tmp_path}/in.nc:sst", opening=Opening(variable="truth"))
    filled, helping = open_variables(f"{tmp_path}/in.nc:sst,truth,jitter=0.5")
    assert [field.name for field in filled] == ["sst", "truth"]
    assert [field.jitter for field in filled] == [0.5, 0.5]
    assert not helping


def pair(dates=24):
    """A field, and one that sees through the western half of its clouds."""
    first = cloudy_field(dates=dates)
    through = cloudy_dataset(dates=dates).truth.to_numpy().astype(np.float32)
    west = np.arange(24) < 12
    values = np.where(first.sea & (first.observed | west), through, np.float32(np.nan))
    return first, replace(first, name="other", values=values)


def test_joint_clouds_hide_of_each_what_it_misses_itself_on_the_same_dates():
    first, other = pair()
    whole = replace(other, values=np.where(other.sea, cloudy_dataset().truth, np.nan))
    hidden = hide_clouds_together([first, other, whole], 1, 0.2, np.random.default_rng(0))
    np.testing.assert_array_equal(hidden[0], hide_clouds(first, 0.2, np.random.default_rng(0)))
    assert not hidden[2].any()
    assert not hidden[1][:, :, :12].any()
    # East of the middle both have the same clouds: the second gives nothing away.
    np.testing.assert_array_equal(hidden[0][:, :, 12:], hidden[1][:, :, 12:])
    assert hidden[1].any()


def test_pixels_of_a_pair_are_hidden_on_all_dates_where_each_is_never_observed_itself():
    first, other = pair()
    whole = replace(other, values=np.where(other.sea, cloudy_dataset().truth, np.nan).astype(np.float32))
    holes = np.zeros_like(first.sea)
    holes[2:-2:4, 2:-2:4] = True
    first, other = (
        replace(one, values=np.where(holes & part, np.nan, one.values))
        for one, part in ((first, True), (other, np.arange(holes.shape[1]) < 8))
    )
    hidden = hide_pixels([first, other, whole], 1, 0.5, np.random.default_rng(0))
    one, another, last = (mask.any(axis=0) for mask in hidden)
    assert one.any()
    assert another.any()
    assert not (another & ~one & first.observed.any(axis=0)).any()
    assert another.sum() < one.sum()
    assert not last.any()


def test_outputs_share_the_hold_out_on_their_mean_and_keep_a_tenth_of_each_date():
    first, other = pair()
    hidden = hide_clouds_together([first, other], 2, 0.2, np.random.default_rng(0))
    shares = [h.sum() / f.observed.sum() for h, f in zip(hidden, (first, other), strict=True)]
    assert shares[0] > 0.2 > shares[1]
    assert 0.2 <= np.mean(shares) < 0.27
    for mask, field in zip(hidden, (first, other), strict=True):
        kept = (field.observed & ~mask).sum(axis=(1, 2))
        assert (kept >= 0.1 * field.observed.sum(axis=(1, 2))).all()


def test_the_hold_out_of_a_pair_has_its_halves_on_the_same_dates():
    first, other = pair()
    both = hold_out_together([first, other], 2, 0.2, np.random.default_rng(2))
    choosing, scored = (np.any([masks[k] for masks in both], axis=(0, 2, 3)) for k in (0, 1))
    assert not (choosing & scored).any()
    alone = hold_out_together([first, other], 1, 0.2, np.random.default_rng(2))[0]
    for one, mask in zip(alone, hold_out(first, 0.2, np.random.default_rng(2)), strict=True):
        np.testing.assert_array_equal(one, mask)


@pytest.fixture(scope="module")
def data():
    first, other = pair(dates=12)
    gappy = replace(other, name="helper")
    made = GapData(
        [first, other, gappy], DataSettings(first_guess="none", masked_copies=2, neighbours=8), outputs=2
    )
    made.setup("fit")
    return made


def test_a_field_in_a_pair_is_guessed_as_it_is_alone(data):
    """Its own hold-out hides more dates in a pair, so the masks are handed over."""
    first, _ = pair(dates=12)
    alone = GapData(first, DataSettings(held_out=0.0, first_guess="none"))
    alone.validation, alone.test = data.validation, data.test
    alone.prepare(whole=True)
    for part in ("guess", "error", "trial_guess", "trial_error"):
        np.testing.assert_array_equal(getattr(alone, part), getattr(data, part))
    assert torch.equal(alone.full.anomaly[0], data.full.anomaly[0])


def test_batches_have_residuals_of_the_outputs_where_they_lost_something(data):
    assert [variable.filled for variable in data.variables] == [True, True, False]
    for loader, part in ((data.val_dataloader(), "validation"), (data.test_dataloader(), "test")):
        where = np.stack([getattr(variable, part) for variable in data.variables[:2]])
        dates = np.flatnonzero(where.any(axis=(0, 2, 3)))
        for date, (seen, residual, weight) in zip(dates, loader, strict=True):
            assert seen.shape == (1, 2 * 3 * 3 + 5, 20, 24)
            assert not weight[0][~where[:, date]].any()
            assert residual[0][where[:, date]].isfinite().all()
            for k, variable in enumerate(data.variables):  # the middle of three dates, its log error after
                assert torch.equal(seen[0, 6 * k + 1], variable.trial.anomaly[0, date])
                assert torch.equal(seen[0, 6 * k + 4], variable.trial.log_error[0, date])


def test_jitter_is_noise_on_the_anomalies_of_its_variable_at_sea(data):
    first, other = pair(dates=12)
    loud = GapData(
        [first, replace(other, jitter=3.0), other],
        DataSettings(first_guess="none", masked_copies=2),
        outputs=2,
    )
    loud.setup("fit")
    sigma = 3 / measure_spread(other)
    noise = []
    plain, jittered = (one.train_dataloader().dataset for one in (data, loud))
    plain.flipped = jittered.flipped = 0.0
    for item in range(20):
        before, after = plain[item], jittered[item]
        assert torch.equal(before[-1], after[-1])
        assert torch.equal(before[1].nan_to_num(), after[1].nan_to_num())
        change = after[0] - before[0]
        sea = before[0][-3] > 0
        assert not change[[*range(6), *range(9, 23)]].any()
        assert not change[6:9][:, ~sea].any()
        noise.append(change[6:9][:, sea].flatten())
    assert torch.cat(noise).std() == pytest.approx(sigma, rel=0.02)
    assert torch.cat(noise).mean() == pytest.approx(0, abs=0.02 * sigma)


def test_one_variable_is_one_variable_however_it_is_said():
    """In a list, or with its batches, scenes and masks by itself: to the bit."""
    field = cloudy_field(dates=12, rows=12, columns=14)
    alone, listed = (
        GapData(one, DataSettings(first_guess="none", masked_copies=2)) for one in (field, [field])
    )
    for one in (alone, listed):
        one.setup("fit")
    assert len(alone.masked_inputs) == len(listed.masked_inputs) == 2
    for left, right in zip(alone.train_dataloader(), listed.train_dataloader(), strict=True):
        assert torch.equal(left[0], right[0])
    known, rng = field.hide(alone.held_out), np.random.default_rng(1)
    for scene in alone.masked_inputs:
        hidden = hide_clouds(known, 0.2, rng)
        np.testing.assert_array_equal(scene.residual[0].isfinite(), hidden)
