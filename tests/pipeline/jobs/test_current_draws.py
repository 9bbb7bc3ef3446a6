"""Posterior draws of a current: around the estimate, with its covariance, without divergence if asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from fields import eddies, seen_by_radars
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.classical.vector_kriging import VectorKriging
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.holdout.calibration import LEVELS, Calibration
from oceanfill.pipeline.io.radials import open_radials
from oceanfill.pipeline.jobs.currents import make_guess
from oceanfill.pipeline.jobs.draws import draw_currents
from oceanfill.pipeline.training.vector_data import RadialData, RadialSettings, make_regular_grid
from scipy.stats import t

SCALES = Scales((Component(0.01, 14.0, 1.2),), 9e-4)
SEEN = seen_by_radars(eddies(dates=8, rows=12, columns=13))
RADIALS = open_radials(SEEN, "direction")
SEA = RADIALS.sea
NUMBER = 150


def make_data(flow: str = "free") -> RadialData:
    share = 1.0 if flow == "stream-function" else 0.6
    kriging = VectorKriging(SCALES, (-0.09, -0.09), share)
    data = RadialData(RADIALS, RadialSettings(held_out=0.0), flow, kriging)
    data.setup("test")
    return data


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def draws(data):
    """The estimate (5, time, sea) and draws (NUMBER, 2, time, sea)."""
    current = make_guess(data).estimate
    made = draw_currents(data, current, Calibration(), NUMBER).compute()
    assert np.isnan(made[..., ~SEA]).all()
    return current[..., SEA], made[..., SEA]


def test_mean_and_spread_are_the_estimate_and_its_error(draws):
    current, made = draws
    error = np.sqrt(current[2:4])
    standard = (made - current[:2]) / error
    assert np.sqrt(np.mean(standard**2)) == pytest.approx(1, abs=0.01)
    # The mean of a cell has a standard error of 1 / sqrt(NUMBER), and that of all cells, which are some 100
    # independent ones, a tenth of it.
    centre = standard.mean(axis=0)
    assert np.sqrt(np.mean(centre**2)) == pytest.approx(NUMBER**-0.5, rel=0.15)
    assert abs(centre.mean()) < 0.03
    for component in (0, 1):
        assert np.median(standard[:, component].std(axis=0)) == pytest.approx(1, abs=0.05)


def test_components_are_correlated_as_the_covariance_says(draws):
    (_, _, uu, vv, uv), made = draws
    claimed = uv / np.sqrt(uu * vv)
    u, v = np.moveaxis(made - made.mean(axis=0), 1, 0)
    found = (u * v).mean(axis=0) / (u.std(axis=0) * v.std(axis=0))
    assert np.abs(claimed).max() > 0.9
    # The standard error of a correlation of 150 draws is 0.08.
    assert np.sqrt(np.mean((found - claimed) ** 2)) < 0.1
    assert np.polyfit(claimed.ravel(), found.ravel(), 1)[0] == pytest.approx(1, abs=0.05)


def test_observed_components_are_honoured_within_the_noise(draws):
    """Elsewhere, and across, a draw is off by far more."""
    _, made = draws
    along = np.einsum("siz,nitz->ntsz", RADIALS.towards[..., SEA], made)
    off = (along - RADIALS.values[..., SEA])[:, np.isfinite(RADIALS.values[..., SEA])]
    noise = SCALES.nugget**0.5
    # The noise of the velocity and the remaining error of the current, which is less.
    assert noise < np.sqrt(np.mean(off**2)) < 1.4 * noise
    assert made.std(axis=0).max() > 2.5 * noise


def test_the_covariance_of_a_network_takes_the_place_of_that_of_interpolation(data):
    """Here circles of 0.05 m/s; the draws keep their relation between cells."""
    current = make_guess(data).estimate.copy()
    current[2:] = np.array([0.05**2, 0.05**2, 0]).reshape(3, 1, 1, 1)
    made = draw_currents(data, current, Calibration(), NUMBER).compute()
    u, v = np.moveaxis((made - current[:2])[..., SEA], 1, 0)
    assert np.median(u.std(axis=0)) == pytest.approx(0.05, rel=0.05)
    assert np.median(v.std(axis=0)) == pytest.approx(0.05, rel=0.05)
    assert abs(np.corrcoef(u.ravel(), v.ravel())[0, 1]) < 0.06


def test_the_quantiles_are_those_of_the_calibration(data):
    widths = t.ppf((1 + np.array(LEVELS) / 100) / 2, 3)
    current = make_guess(data).estimate
    calibration = Calibration(half_widths=tuple(widths))
    made = draw_currents(data, current, calibration, NUMBER).compute()
    miss = ((made - current[:2]) / np.sqrt(current[2:4]))[..., SEA]
    for level in (0.5, 0.9):
        # Cells differ by some ten percent in how much the blending of tiles reduces the error.
        assert np.mean(np.abs(miss) < t.ppf((1 + level) / 2, 3)) == pytest.approx(level, abs=0.01)


def test_draws_of_a_stream_function_have_no_divergence():
    grid = make_regular_grid(RADIALS)

    def divergence(made: np.ndarray) -> float:
        # Away from land, where the differences reach.
        flat = torch.from_numpy(made.swapaxes(1, 2).reshape(-1, 2, *SEA.shape))
        found = grid.compute_divergence(flat).numpy()
        return float(np.sqrt(np.nanmean(found**2)))

    found = {}
    for flow in ("free", "stream-function"):
        made_of = make_data(flow)
        current = make_guess(made_of).estimate
        made = draw_currents(made_of, current, Calibration(factor=1.3), 20).compute()
        found[flow] = divergence(made)
        standard = ((made - current[:2]) / np.sqrt(current[2:4]))[..., SEA]
        assert np.sqrt(np.mean(standard**2)) == pytest.approx(1, abs=0.02)
    assert found["stream-function"] < 1e-3 * found["free"]


def test_draws_are_cut_lazily_and_repeatable(data):
    current = make_guess(data).estimate
    made = draw_currents(data, current, Calibration(), 5, at_once=2 * current[:2].size)
    assert made.chunks[0] == (2, 2, 1)
    first, again = made.compute(), made.compute()
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first[:, 0][..., SEA][:, 0], axis=0)) == 5


def test_the_command_writes_them_with_names_and_attributes(tmp_path):
    SEEN.to_netcdf(tmp_path / "seen.nc")
    words = ["fill", str(tmp_path / "seen.nc"), "--radial-direction", "direction", "--quiet"]
    output = ["--method", "oi", "--samples", "3", "-o", str(tmp_path / "out.nc")]
    assert main([*words, *output]) == 0
    with xr.open_dataset(tmp_path / "out.nc") as found:
        for name in ("u", "v"):
            samples = found[f"{name}_samples"]
            assert samples.dims == ("sample", "time", "lat", "lon")
            assert samples.encoding["chunksizes"][0] == 1
            assert samples.attrs["units"] == "m s-1"
            assert samples.attrs["standard_name"] == found[name].attrs["standard_name"]
            assert samples.attrs["long_name"] == f"draws of {found[name].attrs['long_name']}"
            assert "ancillary_variables" not in samples.attrs
            np.testing.assert_array_equal(np.isfinite(samples[0]), np.isfinite(found[name]))
            off = (samples - found[name]) / found[f"{name}_error"]
            assert 0.7 < float((off**2).mean() ** 0.5) < 1.3
        np.testing.assert_array_equal(found.sample, [0, 1, 2])
