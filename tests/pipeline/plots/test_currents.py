"""Maps of a current: what is drawn where."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from fields import eddies
from matplotlib.collections import EllipseCollection
from matplotlib.image import imread
from matplotlib.quiver import Quiver
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.plots.currents import compute_ellipses, draw_current, plot_current


@pytest.fixture(scope="module")
def current():
    """Of six dates; the third has the median error, which is larger in the east and lies across it."""
    made = eddies(dates=6, rows=40, columns=48)
    grown = np.outer([1.0, 2.0, 3.0, 9.0, 0.5, 7.0], 1 + np.arange(48) / 12) / 100
    blank = xr.zeros_like(made.u)
    made["u_error"] = blank + grown[:, None]
    made["v_error"] = 2 * made.u_error
    made["uv_covariance"] = blank
    return made.assign_attrs(title="Current from radial velocities")


def test_ellipses_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((50, 2, 2))
    every = roots @ roots.swapaxes(1, 2)
    variances, vectors = np.linalg.eigh(every)
    longer, shorter, angle = compute_ellipses(
        np.sqrt(every[:, 0, 0]), np.sqrt(every[:, 1, 1]), every[:, 0, 1]
    )
    np.testing.assert_allclose([shorter**2, longer**2], variances.T, rtol=1e-6, atol=1e-9)
    turned = np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))], 1)
    np.testing.assert_allclose(np.abs((turned * vectors[:, :, 1]).sum(1)), 1, rtol=1e-6)


def test_arrows_are_the_current_and_ellipses_its_error(current):
    figure = draw_current(current)
    flow, error, *_ = figure.axes
    (arrows,) = (one for one in flow.get_children() if isinstance(one, Quiver))
    here = current.isel(time=2)
    middle = (current.lon.min() + current.lon.max()).item() / 2
    at = {"lat": xr.DataArray(arrows.Y), "lon": xr.DataArray(arrows.X + middle)}
    np.testing.assert_allclose(arrows.U, here.u.sel(at, method="nearest"))
    np.testing.assert_allclose(arrows.V, here.v.sel(at, method="nearest"))
    assert 15 < len(np.unique(arrows.X)) < 26
    (shown,) = (one for one in error.get_children() if isinstance(one, EllipseCollection))
    lat, lon = shown.get_offsets()[:, 1], shown.get_offsets()[:, 0] + middle
    wanted = here.v_error.sel(lat=xr.DataArray(lat), lon=xr.DataArray(lon), method="nearest").to_numpy()
    widths = shown.get_widths()
    np.testing.assert_allclose(widths / widths.max(), wanted / wanted.max(), rtol=1e-5)
    np.testing.assert_allclose(shown.get_heights(), widths / 2, rtol=1e-5)
    np.testing.assert_allclose(shown.get_angles(), 90)
    assert 0.6 < widths.max() / np.diff(np.unique(lon)).min() < 1, "ellipses do not touch"
    assert "2024-05-01 12:00" in figure.get_suptitle()


def test_most_of_the_picture_is_coloured_and_other_files_are_refused(current, tmp_path):
    plot_current(current, tmp_path / "out.png")
    picture = imread(tmp_path / "out.png")[..., :3]
    assert 0.52 < (np.ptp(picture, axis=2) > 0.1).mean() < 0.62
    with pytest.raises(InputError, match=r"the extension \.nc; name it"):
        plot_current(current, tmp_path / "out.nc")
