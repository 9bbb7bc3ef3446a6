"""Maps: what is drawn where, in which colours, and that nothing is left when nothing can be drawn."""

from __future__ import annotations

import re
import socket
import warnings
from importlib.resources import files
from pathlib import Path

import cartopy
import numpy as np
import pytest
import shapely
import xarray as xr
from cartopy.io.shapereader import Reader
from fields import cloudy_dataset
from matplotlib import pyplot
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import imread
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.output import to_dataset
from oceanfill.pipeline.plots.layers import choose_colours, read_filled
from oceanfill.pipeline.plots.maps import (
    check_drawable,
    draw_maps,
    make_maps,
    plot_fill,
    save_figure,
)

COASTLINES = Path(str(files("oceanfill.pipeline.io"))) / "coastlines"


def filled(dataset: xr.Dataset, variable: str = "sst") -> xr.Dataset:
    """Filled with the mean, with errors of 0.1 where observed and 0.5 elsewhere."""
    field = open_field(dataset, variable=variable)
    mean = np.where(field.observed, field.values, np.nanmean(field.values))
    return to_dataset(field, mean, np.where(field.observed, 0.1, 0.5))


def draw(dataset: xr.Dataset, path: Path, variable: str = "sst", date: str | None = None) -> None:
    """`plot_fill`, where each warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_fill(dataset, variable, path, date)


def texts(path: Path) -> list[str]:
    """The texts of an SVG, which matplotlib draws as outlines and keeps as comments."""
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def thirds(path: Path) -> list[np.ndarray]:
    """Red, green, blue (0 to 255) of the three maps with their colour bars, (pixels, 3) each."""
    picture = np.round(imread(path)[..., :3] * 255).astype(int)
    return [part.reshape(-1, 3) for part in np.array_split(picture, 3, axis=1)]


def count(pixels: np.ndarray, grey: float) -> int:
    """How many pixels have this grey (0 to 1)."""
    return int((np.abs(pixels - 255 * grey) <= 1).all(axis=1).sum())


def count_hatched(pixels: np.ndarray) -> int:
    """How many pixels have a grey between those of the hatching and of the ground below it."""
    grey = np.ptp(pixels, axis=1) == 0
    return int((grey & (pixels[:, 0] > 255 * 0.74) & (pixels[:, 0] < 255 * 0.985)).sum())


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return filled(cloudy_dataset())


@pytest.fixture(scope="module")
def svg(dataset: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("svg") / "map.svg"
    draw(dataset, path)
    return texts(path)


def find_land(dataset: xr.Dataset, date: str) -> list[np.ndarray]:
    """Return a mask (lat, lon) for each of the three maps, True where it is grey without a value above."""
    found = []
    for axes in draw_maps(read_filled(dataset, "sst"), date).axes[:3]:
        meshes = {mesh.get_zorder(): mesh.get_array() for mesh in axes.collections}
        land, values = (np.ma.filled(meshes[zorder].astype(float), np.nan) for zorder in (1.0, 2))
        found.append(np.isfinite(land) & ~np.isfinite(values))
    return found


def test_areas_of_land_and_gaps(dataset, tmp_path):
    """On the maps land and gaps take the shares that they have on the grid."""
    cells, pixels = [], []
    for date in ("2020-01-07", "2020-01-12"):
        path = tmp_path / f"{date}.png"
        draw(dataset, path, date=date)
        origin = dataset.sst_source.sel(time=date).values.squeeze()
        observed, whole, error = thirds(path)
        lands = [count(part, 0.72) for part in (observed, whole, error)]
        assert min(lands) > 0.98 * max(lands)
        gaps = count_hatched(observed) - count_hatched(whole)  # without greys of texts and lines
        # The coast and a meridian run over the narrow land.
        assert gaps / lands[0] == pytest.approx((origin >= 2).sum() / (origin == 0).sum(), rel=0.12)
        assert max(count_hatched(whole), count_hatched(error)) < 0.04 * gaps
        cells.append((origin >= 2).sum())
        pixels.append(gaps)
    assert cells[0] > 1.1 * cells[1]
    assert pixels[0] / pixels[1] == pytest.approx(cells[0] / cells[1], rel=0.02)


def test_values_observed_on_land_are_not_drawn():
    """A value outside the mask is kept in the dataset and remains land on the map."""
    odd = cloudy_dataset()
    odd["sst"][::2, 0, :] = 15.0  # row 0, columns 0 to 4 are land
    data = filled(odd)
    assert data.sst[0, 0, 0] == 15
    for drawn in find_land(data, "2020-01-01"):
        np.testing.assert_array_equal(drawn.reshape(20, 24), odd["mask"] == 0)
    missing = 100 * np.isnan(odd.sst[0].values[odd["mask"].values == 1]).mean()
    title = draw_maps(read_filled(data, "sst"), "2020-01-01").get_suptitle()
    assert title == f"sst, 2020-01-01 ({missing:.0f}% of the sea missing)"


def test_without_a_date_the_median_one_is_drawn(dataset, svg):
    sea = (dataset.sst_source != 0).all("time")
    missing = (dataset.sst_source >= 2).where(sea).mean(("lat", "lon"))
    title = next(text for text in svg if "of the sea missing, the median of the dates" in text)
    date, percent = re.search(r"(\d{4}-\d\d-\d\d) \((\d+)%", title).groups()
    assert float(missing.sel(time=date).item()) * 100 == pytest.approx(float(percent), abs=0.51)
    rank = int((missing < missing.sel(time=date).item()).sum())
    assert rank in (11, 12)  # of 24


def test_panels_labels_and_units(svg):
    titles = ["(a) where observed", "(b) filled", "(c) standard error"]
    assert [text for text in svg if text in titles] == titles
    assert svg.count("sst (°C)") == 1  # one colour bar for both maps of values
    assert svg.count("standard error (°C)") == 1
    assert svg.count("4.5°W") == svg.count("36°N") == 3


def test_dates_of_other_calendars():
    days = xr.date_range("2000-02-25", periods=24, calendar="360_day", use_cftime=True)
    data = filled(cloudy_dataset().assign_coords(time=days))
    title = draw_maps(read_filled(data, "sst"), "2000-02-30").get_suptitle()
    assert title.startswith("sst, 2000-02-30 (")


@pytest.mark.parametrize(
    ("longitude", "labels"),
    [
        (np.linspace(175, 186.5, 24), ["176°E", "180°", "176°W"]),
        ((np.linspace(175, 186.5, 24) + 180) % 360 - 180, ["176°E", "180°", "176°W"]),
        (np.linspace(354, 365.5, 24) % 360, ["4°W", "0°", "4°E"]),
        (np.arange(7.5, 360, 15), ["60°E", "120°W"]),
        (np.arange(-172.5, 180, 15), ["120°W", "60°E"]),
    ],
)
def test_longitudes_of_either_convention(longitude, labels, tmp_path):
    field = open_field(cloudy_dataset(dates=2).assign_coords(lon=longitude), variable="sst")
    figure, _, x = make_maps(1, field.lat, field.lon, field.sea)
    np.testing.assert_allclose(np.diff(x), np.diff(np.unwrap(longitude, period=360))[None].repeat(20, 0))
    assert x.mean() == pytest.approx(0, abs=1e-9)
    save_figure(figure, tmp_path / "map.svg")
    assert [texts(tmp_path / "map.svg").count(label) for label in labels] == [1] * len(labels)


def test_rotated_grid(tmp_path):
    """Land and gaps keep their shares where latitude and longitude have two dimensions."""
    plain = cloudy_dataset()
    row, column = np.indices((20, 24))
    data = plain.drop_vars(("lat", "lon")).rename(lat="y", lon="x")
    data = data.assign_coords(
        nav_lat=(("y", "x"), 40 + 0.08 * row + 0.05 * column, {"units": "degrees_north"}),
        nav_lon=(("y", "x"), 5 + 0.08 * column - 0.05 * row, {"units": "degrees_east"}),
    )
    draw(filled(data), tmp_path / "map.png", date="2020-01-07")
    origin = filled(data).sst_source.sel(time="2020-01-07").values.squeeze()
    observed = thirds(tmp_path / "map.png")[0]
    gaps = count_hatched(observed)
    assert gaps / count(observed, 0.72) == pytest.approx((origin >= 2).sum() / (origin == 0).sum(), rel=0.1)


@pytest.mark.parametrize(
    ("name", "attrs", "values", "colours", "limits"),
    [
        ("t", {"standard_name": "sea_surface_temperature"}, (10, 20), "thermal", (10.2, 19.8)),
        ("thetao", {"units": "degrees_C"}, (10, 20), "thermal", (10.2, 19.8)),
        ("x", {"units": "kelvin"}, (280, 290), "thermal", (280.2, 289.8)),
        ("x", {"long_name": "temperature anomaly", "units": "K"}, (-1, 2), "balance", (-1.94, 1.94)),
        ("sla", {"units": "m"}, (-0.2, 0.1), "balance", (-0.194, 0.194)),
        ("adt", {"units": "m"}, (-0.3, -0.1), "haline", (-0.296, -0.104)),
        ("ssh", {"standard_name": "sea_surface_height_above_geoid"}, (-0.1, 1), "haline", (-0.078, 0.978)),
        ("so", {"standard_name": "sea_water_salinity", "units": "1"}, (35, 36), "haline", (35.02, 35.98)),
    ],
)
def test_colours_follow_the_quantity(name, attrs, values, colours, limits):
    colour, scale = choose_colours(name, attrs, np.linspace(*values, 1001))
    assert colour.name == colours
    assert (scale.vmin, scale.vmax) == pytest.approx(limits)
    assert not isinstance(scale, LogNorm)


@pytest.mark.parametrize(
    ("name", "standard_name"), [("CHL", ""), ("x", "mass_concentration_of_chlorophyll_a")]
)
def test_chlorophyll_is_logarithmic(name, standard_name):
    colour, scale = choose_colours(name, {"standard_name": standard_name}, np.logspace(-2, 1, 1001))
    assert colour.name == "algae"
    assert isinstance(scale, LogNorm)
    assert (scale.vmin, scale.vmax) == pytest.approx((10**-1.94, 10**0.94))


def test_a_constant_field_has_limits():
    _, scale = choose_colours("sst", {}, np.full(9, 15.0))
    assert (scale.vmin, scale.vmax) == pytest.approx((15 - 15e-6, 15 + 15e-6), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "found", "remedy"),
    [
        ("map.tif", "the extension .tif", "name it .png, .pdf, .svg or .jpg"),
        ("map", "no extension", "name it .png, .pdf, .svg or .jpg"),
        ("none/map.png", "there is no folder", "create it or choose another output"),
        ("folder.png", "this is a folder", "name the output file in it"),
    ],
)
def test_where_no_picture_can_be_written(dataset, tmp_path, name, found, remedy):
    (tmp_path / "folder.png").mkdir()
    for attempt in (check_drawable, lambda path: draw(dataset, path)):
        with pytest.raises(InputError) as error:
            attempt(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: ")
        assert found in str(error.value)
        assert remedy in str(error.value)
    assert names(tmp_path) == ["folder.png"]


def test_an_unknown_date_leaves_the_old_picture(dataset, tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match=r"no date 2021-01-01 .*from 2020-01-01 to 2020-01-24"):
        draw(dataset, path, date="2021-01-01")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["map.png"]


@pytest.mark.parametrize(("kind", "start"), [(".PNG", b"\x89PNG"), (".pdf", b"%PDF"), (".jpg", b"\xff\xd8")])
def test_the_suffix_is_the_format(tmp_path, kind, start):
    save_figure(Figure(), tmp_path / f"map{kind}")
    assert (tmp_path / f"map{kind}").read_bytes().startswith(start)
    assert names(tmp_path) == [f"map{kind}"]


def test_without_network_without_cartopys_own_data_and_without_pyplot(dataset, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setitem(cartopy.config, "data_dir", tmp_path / "data")
    monkeypatch.setitem(cartopy.config, "pre_existing_data_dir", tmp_path / "data")
    draw(dataset, tmp_path / "map.png")
    assert names(tmp_path) == ["map.png"]
    assert pyplot.get_fignums() == []


def test_natural_earth():
    """The land is there, and lies where it should."""
    land = shapely.union_all(list(Reader(COASTLINES / "ne_110m_land.shp").geometries()))
    places = {(10, 50): True, (-30, 40): False, (135, -25): True, (7, 41): False, (-100, 40): True}
    assert {place: shapely.contains_xy(land, *place) for place in places} == places


def test_an_unknown_error_leaves_its_map_empty(dataset: xr.Dataset, tmp_path: Path) -> None:
    """Sea without colours, as a gap is drawn, under the maps of the values."""
    unknown = dataset.assign(sst_error=np.nan * dataset.sst_error)
    draw(unknown, tmp_path / "map.png")
    draw(dataset, tmp_path / "known.png")
    (*_, empty), (*_, known) = thirds(tmp_path / "map.png"), thirds(tmp_path / "known.png")
    (_, whole, _), (_, same, _) = thirds(tmp_path / "map.png"), thirds(tmp_path / "known.png")
    assert count(empty, 0.98) > count(known, 0.98) + 1000
    np.testing.assert_array_equal(whole, same)
