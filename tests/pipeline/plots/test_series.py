"""Pictures along time: what stands on their axes, and animations of all dates."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from matplotlib.dates import num2date
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.output import to_dataset
from oceanfill.pipeline.plots.layers import MapSeries, choose_styles, cut_series, read_filled, read_gappy
from oceanfill.pipeline.plots.series import (
    draw_section,
    draw_series,
    find_pixel,
    name_latitude,
    name_longitude,
    write_film,
)
from PIL import Image


def fill_simply(dates: int = 6, **options: object) -> xr.Dataset:
    """The mean in the gaps, with errors of 0.1 where observed and 0.5 elsewhere, and 90% intervals."""
    field = open_field(cloudy_dataset(dates=dates), variable="sst")
    mean = np.where(field.observed, field.values, np.nanmean(field.values))
    return to_dataset(field, mean, np.where(field.observed, 0.1, 0.5), **options)


@pytest.fixture(scope="module")
def filled() -> xr.Dataset:
    return fill_simply(intervals={50: 0.6745, 90: 1.6449})


@pytest.fixture(scope="module")
def series(filled: xr.Dataset) -> MapSeries:
    return read_filled(filled, "sst")


def test_layers_of_a_filled_variable(filled, series):
    assert list(series.layers) == ["observed", "filled", "analysis", "error", "source", "intervals"]
    seen = filled.sst_source.to_numpy() == 1
    np.testing.assert_array_equal(np.isfinite(series.layers["observed"]), seen)
    np.testing.assert_array_equal(series.layers["filled"], filled.sst)
    assert series.interval == 90
    wide = (filled.sst_upper_90 - filled.sst_lower_90).to_numpy()
    np.testing.assert_array_equal(series.layers["intervals"], wide)
    np.testing.assert_allclose(series.missing, 1 - seen[:, series.sea].mean(axis=1))
    styles = choose_styles(series, ["observed", "filled", "error", "intervals", "source"])
    assert styles["observed"] is styles["filled"]
    assert styles["error"].norm.vmin == 0
    assert styles["intervals"].label == "width of the 90% interval (°C)"
    assert styles["source"].ticks[3] == "filled never observed"


def test_a_gappy_variable_has_its_observed_values_in_its_own_units():
    data = cloudy_dataset(dates=4)
    positive = data.assign(sst=np.exp(data.sst / 10).assign_attrs(units="mg m-3"))
    series = read_gappy(open_field(positive, variable="sst", transform="log"))
    assert series.usual == ("observed",)
    expected = positive.sst.where(positive.mask == 1).to_numpy()
    np.testing.assert_allclose(series.layers["observed"], expected, rtol=1e-5)


def test_limits_and_colours_that_are_asked_for(series):
    style = choose_styles(series, ["filled"], (10, 20), "viridis")["filled"]
    assert (style.norm.vmin, style.norm.vmax, style.colours.name) == (10, 20, "viridis")
    with pytest.raises(InputError, match="limits 20,10: give the lower end first"):
        choose_styles(series, ["filled"], (20, 10))
    with pytest.raises(InputError, match="no colour map is called 'rainbows'"):
        choose_styles(series, ["filled"], None, "rainbows")


def test_a_region_across_the_greenwich_meridian(series):
    turned = cut_series(series, (35.3, 36.4, 354.0, -5.0))
    inside = (series.lat >= 35.3) & (series.lat <= 36.4) & (series.lon >= -6) & (series.lon <= -5)
    assert 0 < inside.sum() < series.sea.size
    assert turned.sea.size == inside.sum()
    assert turned.layers["filled"].shape[1:] == turned.lat.shape == turned.sea.shape
    with pytest.raises(InputError, match="the region 0,1,0,1 holds no cell"):
        cut_series(series, (0, 1, 0, 1))


def test_the_series_of_the_nearest_sea_pixel(series):
    row, column = 12, 9
    lat, lon = series.lat[row, column], series.lon[row, column]
    assert find_pixel(series, lat + 0.01, lon - 0.01) == (row, column)
    (axes,) = draw_series(series, (lat, lon)).axes
    filled, observed = axes.lines
    np.testing.assert_array_equal(filled.get_ydata(), series.layers["filled"][:, row, column])
    np.testing.assert_array_equal(observed.get_ydata(), series.layers["observed"][:, row, column])
    assert axes.get_title() == f"sst at {name_latitude(lat)}, {name_longitude(lon)}"
    assert axes.get_ylabel() == "sst (°C)"
    assert num2date(axes.convert_xunits(filled.get_xdata()[1])).strftime("%Y-%m-%d") == "2020-01-02"
    with pytest.raises(InputError, match="10,10 is outside the grid"):
        find_pixel(series, 10, 10)


def test_land_has_the_series_of_the_nearest_sea(series):
    row, column = np.argwhere(~series.sea)[0]
    found = find_pixel(series, series.lat[row, column], series.lon[row, column])
    assert series.sea[found]


def test_positions_in_words():
    assert [name_latitude(lat) for lat in (36.5, -7.25)] == ["36.50°N", "7.25°S"]
    assert [name_longitude(lon) for lon in (4.25, 355.75, 190)] == ["4.25°E", "4.25°W", "170.00°W"]


@pytest.mark.parametrize("line", ["lat", "lon"])
def test_sections_are_those_of_the_nearest_line(series, line):
    row, column = 12, 9
    at = {"lat": series.lat[row, 0], "lon": series.lon[0, column]}
    figure = draw_section(series, **{line: at[line] + 0.01}, what=["filled"])
    mesh = figure.axes[0].collections[-1]
    cut = series.layers["filled"][:, row] if line == "lat" else series.layers["filled"][:, :, column]
    sea = series.sea[row] if line == "lat" else series.sea[:, column]
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), np.where(sea, cut, np.nan))


def test_an_animation_has_a_picture_of_each_date(series, tmp_path: Path):
    done = []
    write_film(series, tmp_path / "film.gif", what=["observed"], advance=done.append)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == sum(done) == 6
        pictures = []
        for number in range(film.n_frames):
            film.seek(number)
            pictures.append(np.asarray(film.convert("L")).astype(int))
            assert film.info["duration"] == 250
    changed = [np.abs(one - other).max() for one, other in pairwise(pictures)]
    assert min(changed) > 50
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]
