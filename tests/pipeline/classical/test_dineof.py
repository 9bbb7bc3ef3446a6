"""DINEOF, on fields of known rank and against the Fortran on its own example."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_field
from oceanfill.pipeline.classical.dineof import (
    _build_filter,
    _estimate_error,
    count_modes,
    decompose,
    dineof,
    read_points,
)
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.scores import coverage, rmse
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.writing import write_dataset


def two_modes(seed=0):
    """A field that is a mean and two modes, its truth, under random gaps of two fifths."""
    field = cloudy_field(dates=30)
    y, x = np.mgrid[: field.sea.shape[0], : field.sea.shape[1]] / 10
    t = field.days[:, None, None]
    truth = 4 + 2 * np.sin(t / 3) * np.cos(x) + np.cos(t / 2) * np.sin(y + x)
    rng = np.random.default_rng(seed)
    seen = field.sea & (rng.random(truth.shape) < 0.6)
    return replace(field, values=np.where(seen, truth, np.nan).astype(np.float32)), truth


def test_a_field_of_low_rank_is_filled_exactly_and_has_the_modes_of_its_svd():
    field, truth = two_modes()
    eofs = decompose([field], modes=5, alpha=0, tolerance=1e-7)
    assert eofs.cross_validation[2] < 1e-3 < eofs.cross_validation[1]
    np.testing.assert_allclose(eofs.analysis[:, field.sea], truth[:, field.sea], atol=5e-3)
    svd = np.linalg.svd(truth[:, field.sea] - eofs.mean, full_matrices=False)
    np.testing.assert_allclose(eofs.singular[:2], svd.S[:2], rtol=1e-3)
    np.testing.assert_allclose(np.abs(svd.U[:, :2].T @ eofs.temporal[:, :2]), np.eye(2), atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(eofs.spatial[:, field.sea], axis=1), 1, rtol=1e-5)


def test_the_numbers_of_modes_that_are_not_tried_count_as_done():
    field, _ = two_modes()
    done: list[int] = []
    eofs = decompose([field], advance=done.append)
    assert len(eofs.cross_validation) < count_modes(field) == sum(done)


def test_another_field_of_the_same_modes_helps():
    field, truth = two_modes()
    dates = np.arange(len(truth))[:, None, None]
    poor = field.hide((dates % 2 > 0) & (np.arange(truth.shape[2]) > 6))
    helper = replace(field, values=np.where(field.sea, 50 * truth[:, ::-1] + 7, np.nan).astype(np.float32))
    hidden = np.where(field.sea & ~poor.observed, truth, np.nan)
    options = {"modes": 4, "alpha": 0, "tolerance": 1e-5}
    alone, helped = (decompose(fields, **options) for fields in ([poor], [poor, helper]))
    assert rmse(helped.analysis, hidden) < 0.2 * rmse(alone.analysis, hidden)


def test_the_filter_damps_waves_as_diffusion_does_and_keeps_the_mean():
    n, k = 12, 3
    wave = np.cos(np.pi * k * (np.arange(n) + 0.5) / n)
    damped = _build_filter(np.arange(n, dtype=float), 0.1, 4) @ wave
    np.testing.assert_allclose(damped, (1 - 0.1 * (2 - 2 * np.cos(np.pi * k / n))) ** 4 * wave, atol=1e-12)
    uneven = np.array([0, 1, 1.5, 4, 5.0])
    edges = np.array([-0.5, 0.5, 1.25, 2.75, 4.5, 5.5])
    passes = _build_filter(uneven, 0.01, 3)
    np.testing.assert_allclose(np.diff(edges) @ passes, np.diff(edges))
    np.testing.assert_allclose(passes.sum(axis=1), 1)


def test_the_error_is_that_of_optimal_interpolation_with_the_covariance_of_the_modes():
    rng = np.random.default_rng(0)
    dates, pixels = 6, 15
    spatial, singular = np.linalg.qr(rng.standard_normal((pixels, 3)))[0].T, np.array([5.0, 2, 1])
    misfit = np.where(rng.random((dates, pixels)) < 0.6, 0.1 * (-1.0) ** np.arange(pixels), np.nan)
    test = np.zeros(misfit.shape, bool)
    test[0, np.flatnonzero(np.isfinite(misfit[0]))[0]] = True
    sigma = _estimate_error(singular, spatial, misfit, slice(0, pixels), test, np.array([0.3]))
    background = (spatial.T * singular**2 / dates) @ spatial
    dense = []
    for seen in np.isfinite(misfit):
        covariance = background[np.ix_(seen, seen)] + 0.01 * np.eye(seen.sum())
        gain = background[:, seen] @ np.linalg.inv(covariance)
        dense.append(np.sqrt(np.diag(background - gain @ background[seen]) + 0.01))
    np.testing.assert_allclose(sigma / sigma[1, 0], dense / dense[1][0], rtol=1e-6)


def test_gaps_and_pixels_that_are_never_seen_are_filled_from_their_neighbours():
    field = cloudy_field()
    lost = np.zeros(field.values.shape, bool)
    lost[:, 10:13, 10:13] = True
    holed = field.hide(lost)
    mean, error = dineof(holed)
    np.testing.assert_array_equal(mean[:, 10, 11], mean[:, 9, 11])
    assert (error[:, 11, 11] > error[:, 10, 11]).all()
    assert (error[:, 10, 11] > error[:, 9, 11]).all()
    assert np.isfinite(mean[:, field.sea]).all()
    assert np.isnan(mean[:, ~field.sea]).all()


@pytest.mark.parametrize("step", [1 / 24, 1 / 4, 1, 5])
def test_the_filter_damps_and_never_amplifies_at_any_step(step):
    for days in (step * np.arange(40), np.sort(step * 40 * np.random.default_rng(0).random(40))):
        values = np.linalg.eigvals(_build_filter(days, 0.01, 1)).real
        assert values.max() == pytest.approx(1, abs=1e-9)
        assert values.min() > -1 + 1e-6


def test_hourly_dates_converge():
    """With steps of an hour the filter is as strong as it can be without a growth of fast changes."""
    daily, truth = two_modes()
    hourly = replace(daily, days=daily.days / 24)
    gaps = daily.sea & ~daily.observed
    assert rmse(dineof(hourly)[0][gaps], truth[gaps]) < 0.25 * truth.std()  # periods of 13 h are damped


def test_unobserved_points_and_different_dates_raise():
    field = cloudy_field()
    with pytest.raises(ValueError, match="1 held-out values are not observed"):
        decompose([field], held_out=np.argwhere(~field.observed)[:1])
    with pytest.raises(ValueError, match="same dates"):
        decompose([field, cloudy_field(dates=20)])


@pytest.mark.shared
def test_the_example_of_the_fortran_gives_its_errors_and_its_number_of_modes(shared):
    field = open_field(shared / "alboran_avhrr_sst_2017.nc", outliers="keep")  # as the Fortran does
    points = np.loadtxt(shared / "dineof_alboran_cvpoints.csv", delimiter=",", skiprows=1)
    held_out = points[:, :3].astype(int)
    np.testing.assert_allclose(field.values[tuple(held_out.T)], points[:, 3], atol=1e-4)
    eofs = decompose([field], modes=5, alpha=0.01, numit=3, tolerance=1e-3, held_out=held_out)
    np.testing.assert_allclose(eofs.cross_validation, [0.5062, 0.4446, 0.4445, 0.4734, 0.4729], rtol=2e-3)
    assert len(eofs.singular) == 3


@pytest.mark.shared
@pytest.mark.slow  # 30 modes of 91 x 16728 values
def test_sea_level_of_the_mediterranean_is_filled_at_least_as_well_as_by_the_fortran(shared):
    field = open_field(shared / "med_heldout_input.nc", outliers="keep")  # as the Fortran does
    truth = xr.load_dataset(shared / "med_heldout_truth.nc").adt.to_numpy()
    truth = np.where(field.sea, truth, np.nan)
    mean, error = dineof(field)
    assert rmse(mean, truth) <= 0.0176
    assert 0.4 < coverage(mean, error, truth) < 0.8


def test_points_are_read_with_and_without_a_header(tmp_path):
    field, _ = two_modes()
    points = np.argwhere(field.observed)[::200]
    values = field.values[tuple(points.T)]
    file = tmp_path / "points.csv"
    for columns, header in ((points, ""), (np.column_stack([points, values]), "t,row,column,value")):
        np.savetxt(file, columns, delimiter=",", header=header, comments="")
        np.testing.assert_array_equal(read_points(file, field), points)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "not every line is date,row,column"),
        ("1,2\n3,4", "not every line is date,row,column"),
        ("1,2,x\n1,2,y", "not every line is date,row,column"),
        ("1,2,3\n1,2", "no points can be read"),
        ("30,2,3", "1 points are outside of sst, which has 30 x 20 x 24 values"),
        ("0,0,0", "1 of 1 points are not observed in sst"),
    ],
)
@pytest.mark.filterwarnings("ignore:genfromtxt")
def test_points_that_are_not_of_the_field_raise(tmp_path, lines, message):
    field, _ = two_modes()
    (tmp_path / "points.csv").write_text(lines)
    with pytest.raises(InputError, match=f"points.csv: .*{message}"):
        read_points(tmp_path / "points.csv", field)


def test_points_of_another_field_are_recognised_by_their_values(tmp_path):
    field, _ = two_modes()
    point = np.argwhere(field.observed)[0]
    np.savetxt(tmp_path / "points.csv", [[*point, field.values[tuple(point)] + 1]], delimiter=",")
    with pytest.raises(InputError, match="its fourth column is not what sst has there"):
        read_points(tmp_path / "points.csv", field)


def test_the_written_eofs_make_the_analysis(tmp_path):
    field, _ = two_modes()
    eofs = decompose([field], modes=4)
    write_dataset(eofs.to_dataset(field), tmp_path / "eofs.nc")
    with xr.open_dataset(tmp_path / "eofs.nc") as data:
        analysis = data["mean"] + (data.temporal_eof * data.singular_value * data.spatial_eof).sum(
            "mode", skipna=False
        )
        np.testing.assert_allclose(analysis.transpose("time", "lat", "lon"), eofs.analysis, rtol=1e-12)
        np.testing.assert_array_equal(data.cross_validation, eofs.cross_validation)
        np.testing.assert_array_equal(data.lat, field.lat[:, 0])
