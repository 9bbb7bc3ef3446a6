"""Fields on another grid: averages, interpolation, gaps, errors, masks, the seam."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.records.prepare import prepare
from series import write

from oceanfill import fill


def plane(lat: Any, lon: Any, dates: int = 3) -> xr.Dataset:
    """A field that is linear in latitude, and smooth around the globe."""
    lat, lon = np.asarray(lat, float), np.asarray(lon, float)
    values = lat[:, None] + 10 * np.sin(np.radians(lon)) + np.arange(dates)[:, None, None]
    time = np.datetime64("2020-01-01", "ns") + np.arange(dates) * np.timedelta64(1, "D")
    return xr.Dataset({"sst": (("time", "lat", "lon"), values)}, {"time": time, "lat": lat, "lon": lon})


def expect(field: Any) -> np.ndarray:
    return field.lat + 10 * np.sin(np.radians(field.lon)) + np.arange(len(field.days))[:, None, None]


FINE = plane(np.arange(49.875, 40, -0.25), np.arange(-4.875, 5, 0.25))


def test_coarser_cells_are_averages_over_the_extent_of_the_file() -> None:
    field = open_field(FINE, grid=1)
    np.testing.assert_allclose(field.lat[:, 0], np.arange(40.5, 50), atol=1e-9)
    np.testing.assert_allclose(field.lon[0], np.arange(-4.5, 5), atol=1e-9)
    np.testing.assert_allclose(field.values, expect(field), atol=3e-3)  # cells are wider in the south
    # The mean of a cell by hand: its rows are weighted by the cosine of their latitude.
    cell = FINE.sst[0].sel(lat=slice(41, 40), lon=slice(-5, -4))
    weight = np.cos(np.radians(cell.lat))
    assert field.values[0, 0, 0] == pytest.approx(float(cell.weighted(weight).mean()), abs=1e-5)
    assert field.treatment == ("40 x 40 cells averaged over a grid of 10 x 10",)


def test_finer_cells_are_interpolated_up_to_the_edges() -> None:
    field = open_field(FINE, grid=(0.2, 0.1), bounds=(41, 49, -4, 4))
    assert field.values.shape == (3, 41, 81)
    np.testing.assert_allclose(field.values, expect(field), atol=1e-5)
    whole = open_field(FINE, grid=0.1)
    assert whole.values.shape == (3, 100, 100)
    assert whole.sea.all()


def test_a_region_is_cut_first() -> None:
    field = open_field(FINE, grid=1, region=(42, 46, -2, 1))
    np.testing.assert_allclose(field.lat[:, 0], [42.5, 43.5, 44.5, 45.5], atol=1e-9)
    np.testing.assert_allclose(field.lon[0], [-1.5, -0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(field.values, expect(field), atol=3e-3)


@pytest.mark.parametrize("step", [3.0, 0.5])
def test_a_region_across_the_seam_of_a_global_grid(step: float) -> None:
    world = plane(np.arange(-89.5, 90), np.arange(0.5, 360))
    field = open_field(world, grid=step, bounds=(-30, 30, -15, 15))
    assert field.sea.all()
    np.testing.assert_allclose(field.values, expect(field), atol=0.02)
    everywhere = open_field(world, grid=3.0)
    assert everywhere.values.shape == (3, 60, 120)
    middle = np.abs(everywhere.lat) < 80
    np.testing.assert_allclose(everywhere.values[:, middle], expect(everywhere)[:, middle], atol=0.08)


def test_half_of_a_cell_must_be_observed_and_its_error_is_the_mean_square() -> None:
    data = FINE.copy(deep=True).assign(error=0 * FINE.sst + 0.1)
    data.error[:, :, ::2] = 0.3
    data.sst[0, :2, :4] = np.nan  # half of the north-western cell
    data.sst[0, :3, 4:8] = np.nan  # three quarters of the next
    field = open_field(data, variable="sst", error_variable="error", grid=1)
    assert np.isfinite(field.values[0, -1, 0])
    assert field.values[0, -1, 0] == pytest.approx(float(data.sst[0, 2:4, :4].mean()), abs=3e-3)
    assert np.isnan(field.values[0, -1, 1])
    assert np.isnan(field.values).sum() == 1
    np.testing.assert_allclose(np.sqrt(field.error_variance[1]), np.sqrt((0.1**2 + 0.3**2) / 2), rtol=1e-5)


def test_a_cell_is_sea_where_half_of_it_is() -> None:
    flags = {"flag_values": np.array([1, 2], np.int8), "flag_meanings": "land water"}
    mask = xr.full_like(FINE.sst[0], 2, np.int8).drop_vars("time").assign_attrs(flags)
    mask[:3, :4] = 1
    mask[-1:, :4] = 1
    field = open_field(FINE.assign(mask=mask), grid=1)
    assert np.argwhere(~field.sea).tolist() == [[9, 0]]
    assert field.mask_origin == "mask (flags: sea)"


def test_files_on_different_grids_go_to_one(tmp_path: Path) -> None:
    other = plane(np.arange(40, 50.1, 0.5), np.arange(-6, 6, 0.5) % 360).isel(time=[2])
    paths = [
        write(FINE.isel(time=[0, 1]), tmp_path / "a.nc"),
        write(other, tmp_path / "b.nc"),
    ]
    write(plane(np.arange(41, 48), np.arange(356, 362.5, 0.5), dates=1), tmp_path / "target.nc")
    options: list[dict[str, Any]] = [{"grid": 0.5}, {"like": str(tmp_path / "target.nc")}]
    for number, how in enumerate(options):
        field = open_field(paths, **how)
        assert field.values.shape == ((3, 20, 20), (3, 7, 13))[number]
        np.testing.assert_allclose(field.values, expect(field), atol=5e-3)
        store = prepare(paths, tmp_path / f"{number}.zarr", **how)
        np.testing.assert_array_equal(open_field(store).values, field.values)
    assert field.source.lon[0] == 356


def test_a_grid_that_is_the_same_is_left_alone(tmp_path: Path) -> None:
    write(FINE.isel(lat=slice(None, None, -1)), tmp_path / "like.nc")
    field = open_field(FINE, like=str(tmp_path / "like.nc"))
    np.testing.assert_array_equal(field.values, FINE.sst[:, ::-1].astype(np.float32))
    assert field.treatment == ()


def test_a_field_is_filled_on_the_new_grid(tmp_path: Path) -> None:
    data = FINE.assign(sst=FINE.sst.where(np.random.default_rng(0).random(FINE.sst.shape) > 0.2))
    data["sst"][1, :20] = np.nan
    made = fill(data, grid=1, method="linear-time", holdout=False, quiet=True)
    assert made.sst.shape == (3, 10, 10)
    np.testing.assert_allclose(
        made.sst[1, 5:], made.lat[5:] + 10 * np.sin(np.radians(made.lon)) + 1, atol=0.2
    )
    with pytest.raises(InputError, match="give its step with grid="):
        fill(data, bounds=(41, 44, 0, 3), method="linear-time")


def test_what_cannot_be_regridded_is_refused(tmp_path: Path) -> None:
    bent = FINE.isel(lat=slice(0, 4), lon=slice(0, 5)).drop_vars(["lat", "lon"])
    north, east = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    bent = bent.rename(lat="y", lon="x").assign_coords(
        lat=(("y", "x"), north + 0.1 * east), lon=(("y", "x"), east)
    )
    path = write(bent, tmp_path / "bent.nc")
    with pytest.raises(InputError, match=r"bent\.nc: its grid is curvilinear, and only grids of latitudes"):
        open_field(path, grid=0.5)
    with pytest.raises(InputError, match=r"bent\.nc: its grid is curvilinear, .* another file with like="):
        open_field(FINE, like=str(path))
    with pytest.raises(InputError, match="has 1 rows and 1 columns within"):
        open_field(FINE, grid=20)
    with pytest.raises(InputError, match="give grid= or like="):
        open_field(FINE, grid=20, like=str(path))
    far = write(plane(np.arange(4.0), np.arange(5.0)), tmp_path / "far.nc")
    with pytest.raises(InputError, match="contains no grid point"):
        open_field(FINE, like=str(far))
