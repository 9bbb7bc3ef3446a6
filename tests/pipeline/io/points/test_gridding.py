"""Points on a grid: weights, precision, masks."""

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.points.gridding import Grid, bin_tracks, make_grid
from oceanfill.pipeline.io.points.tracks import read_tracks
from tracks import BOUNDS, level, mission


def dates(count: int):
    return xr.date_range("2020-01-01", periods=count, use_cftime=False)


@pytest.fixture
def tracks():
    return read_tracks(mission("alpha"), variable="sla_filtered")


def small_grid(rows: int = 3, columns: int = 3) -> Grid:
    sea = np.ones((rows, columns), bool)
    return Grid(dates(2), 40.0 + np.arange(rows), 178.0 + np.arange(columns), sea, "all")


def few(tracks, lat, lon, value, sigma):
    """Points on the first date."""
    part = tracks.at(np.arange(len(lat)))
    changed = {"lat": lat, "lon": lon, "value": value, "error_variance": np.square(sigma)}
    given = {name: np.array(numbers, float) for name, numbers in changed.items()}
    return part.__class__(**(vars(part) | given | {"time": np.repeat(dates(1).to_numpy(), len(lat))}))


def test_weights_are_information_on_precision(tracks):
    points = few(tracks, [40.0, 40.25, 42.0], [178.0, 178.5, 180.0], [1.0, 3.0, 7.0], [0.1, 0.2, 0.1])
    field = bin_tracks(points, small_grid())
    # The second point has the weights 0.375 below and 0.125 above, on either side.
    precision = 100 + 0.375 * 25
    assert field.values[0, 0, 0] == pytest.approx((100 * 1 + 0.375 * 25 * 3) / precision)
    assert field.error_variance[0, 0, 0] == pytest.approx(1 / precision, rel=1e-5)
    assert field.values[0, 2, 2] == 7, "on the corner of the grid"
    assert np.isnan(field.values[0, 1, 0]), "3 of the usual 100 are too little"
    assert np.isnan(field.values[1]).all()
    assert field.displacement is not None
    # The second point's share in the first cell moves its middle north and east.
    share = 0.375 * 25 / precision
    north, east = np.radians(0.25 * share) * 6371, np.radians(0.5 * share) * 6371 * np.cos(np.radians(40))
    across = np.array([-np.sin(np.radians(178)), np.cos(np.radians(178)), 0])
    assert field.displacement[0, 0, 0] @ across == pytest.approx(east, rel=0.02)
    assert field.displacement[0, 0, 0, 2] / np.cos(np.radians(40)) == pytest.approx(north, rel=0.02)
    assert not field.displacement[0, 1, 0].any(), "where nothing is known"
    np.testing.assert_allclose(field.displacement[0, 2, 2], 0, atol=1e-3)


def test_a_point_on_the_western_edge_is_not_lost_by_rounding(tracks):
    points = few(tracks, [40.0, 41.0, 41.0], [178.0 - 5e-7, 180.0, 177.9], [4.0, 5.0, 6.0], [0.1, 0.1, 0.1])
    values = bin_tracks(points, small_grid()).values[0]
    assert values[0, 0] == 4
    assert values[1, 2] == 5
    assert np.isfinite(values).sum() == 2


def test_no_information_is_made_or_lost(tracks):
    grid = make_grid(tracks, 0.25, BOUNDS)
    field = bin_tracks(tracks, grid)
    at = grid.corners(tracks)
    used = at.weight.sum(1).numpy() > 0
    total = (1 / field.error_variance[field.observed]).sum()
    assert total <= (1 / tracks.error_variance[used]).sum() * (1 + 1e-5)
    assert total >= 0.97 * (1 / tracks.error_variance[used]).sum()


def test_cells_are_as_the_field_is_across_the_date_line(tracks):
    field = bin_tracks(tracks, make_grid(tracks, 0.25, BOUNDS))
    assert field.lon[0].tolist() == (178 + 0.25 * np.arange(17)).tolist()
    assert field.lat[:, 0].tolist() == (40 + 0.25 * np.arange(13)).tolist()
    assert field.dates[0] == np.datetime64("2020-01-01")
    assert len(field.days) == 13, "from the midnight nearest to the first point to that nearest to the last"
    truth = level(field.days[:, None, None], field.lat, field.lon)
    error = (field.values - truth)[field.observed]
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert field.observed[:, :, :8].any()
    assert field.observed[:, :, 9:].any()
    assert field.inputs == tracks.inputs


def test_steps_of_time_and_two_spacings(tracks):
    grid = make_grid(tracks, (0.5, 0.25), BOUNDS, step=3)
    assert grid.shape == (5, 7, 17)
    assert (np.diff(grid.dates) == np.timedelta64(3, "D")).all()


def test_a_global_grid_closes(tracks):
    grid = make_grid(tracks, 1.0, (-80, 80, 0, 360))
    assert grid.shape[1:] == (161, 360)
    assert grid.cyclic
    points = few(tracks, [0.0, 0.0], [-0.25, 359.5], [1.0, 2.0], [0.1, 0.1])
    at = grid.corners(points)
    assert {
        (int(cell) % 360, float(weight)) for cell, weight in zip(at.cell[0], at.weight[0], strict=True)
    } >= {
        (359, 0.25),
        (0, 0.75),
    }
    assert not small_grid().cyclic


def test_sea_by_the_coastline_or_by_a_file(tracks, tmp_path):
    from fields import cloudy_dataset

    grid = make_grid(tracks, 0.5, (35.0, 37.0, -6.0, -3.0))
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    assert "Natural Earth" in grid.origin
    assert not grid.sea[(lat == 37) & (lon == -4)].any(), "Granada"
    assert grid.sea[(lat == 36) & (lon == -3)].all(), "the Alboran Sea"
    data = cloudy_dataset()
    path = tmp_path / "mask.nc"
    data[["mask"]].to_netcdf(path)
    by_file = make_grid(tracks, 0.1, (35.0, 36.9, -6.0, -3.7), mask=str(path))
    np.testing.assert_array_equal(by_file.sea, data.mask == 1)
    assert by_file.origin == "mask.nc: mask (flags: sea)"
    data[["truth"]].to_netcdf(path)
    by_values = make_grid(tracks, 0.1, (35.0, 36.9, -6.0, -3.7), mask=str(path))
    np.testing.assert_array_equal(by_values.sea, by_file.sea)
    with pytest.raises(InputError, match=r"mask.nc: there is no mask sea; choose among truth"):
        make_grid(tracks, 0.1, (35.0, 36.9, -6.0, -3.7), mask=str(path), mask_variable="sea")
    with pytest.raises(InputError, match=r"its mask is more than 1 degree away from \d+ cells"):
        make_grid(tracks, 0.5, (30.0, 36.9, -6.0, -3.7), mask=str(path))


def test_refusals(tracks):
    with pytest.raises(InputError, match="has 1 rows and 3 columns"):
        make_grid(tracks, 2, (40, 41, 178, -178))
    with pytest.raises(InputError, match="there is no sea within the bounds according to Natural Earth"):
        make_grid(tracks, 0.5, (45, 50, 80, 90))
    with pytest.raises(InputError, match="none of the 720 points lies on sea in the grid"):
        bin_tracks(tracks, make_grid(tracks, 0.5, (0, 5, -30, -20)))


def test_points_of_one_date_make_one_map(tracks):
    few = tracks.at(np.arange(10))
    grid = make_grid(few, 0.5, BOUNDS)
    assert grid.shape[0] == 1
    field = bin_tracks(few, grid)
    assert field.values.shape == grid.shape
    np.testing.assert_allclose(np.nanmean(field.values), few.value.mean(), atol=0.05)
