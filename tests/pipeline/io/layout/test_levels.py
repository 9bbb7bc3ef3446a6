"""A level chosen by its value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import plain_values
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.fill import fill
from series import series


def layered(name: str = "depth", attrs: dict[str, str] | None = None) -> xr.Dataset:
    """Four levels of 0.5, 1.5, 3 and 10 m, each 100 more than the one above."""
    depth = (name, [0.5, 1.5, 3.0, 10.0], {"units": "m", "positive": "down"} if attrs is None else attrs)
    layers = xr.concat([series() + 100 * k for k in range(4)], name).assign_coords({name: depth})
    data = layers.transpose("time", name, "lat", "lon")
    data.sst[0, :, 0, 0] = np.nan
    return data


@pytest.mark.parametrize(
    ("name", "attrs"),
    [("depth", {}), ("lev", {}), ("z_t", {}), ("layer", {"axis": "Z"}), ("n", {"positive": "up"})],
)
@pytest.mark.parametrize(("level", "chosen"), [(0.5, 0), (0, 0), (1.6, 1), (8, 3), (13, 3)])
def test_the_nearest_level_is_taken(name: str, attrs: dict[str, str], level: float, chosen: int) -> None:
    field = open_field(layered(name, attrs), level=level)
    expected = series().sst.values + 100 * chosen
    np.testing.assert_allclose(plain_values(field)[1:], expected[1:], rtol=1e-6)
    (said,) = [text for text in field.treatment if "level" in text]
    assert said.startswith(f"level {name} {[0.5, 1.5, 3, 10][chosen]:g}")
    assert said.endswith(f"the nearest to {level:g}")


@pytest.mark.parametrize("blocks", [False, True])
def test_the_output_says_which_level_it_is(tmp_path: Path, blocks: bool) -> None:
    layered().to_netcdf(tmp_path / "in.nc")
    how = {"cache": str(tmp_path / "cache.zarr")} if blocks else {}
    fill(tmp_path / "in.nc", tmp_path / "out.nc", method="linear-time", level=3, **how)
    with xr.open_dataset(tmp_path / "out.nc") as out:
        assert out.sst.dims == ("time", "lat", "lon")
        assert float(out.depth) == 3
        assert out.depth.attrs["units"] == "m"
        assert float(out.sst.min()) > 200
        assert "level depth 3 m, the nearest to 3" in out.attrs["input_treatment"]


def test_without_a_level_or_far_from_all_the_levels_are_listed() -> None:
    listed = r"depth 0\.5, 1\.5, 3, 10 m"
    with pytest.raises(InputError, match=rf"sst has several levels \({listed}\); choose one with level="):
        open_field(layered())
    with pytest.raises(InputError, match=rf"there is no level near 14 \(the levels are {listed}\)"):
        open_field(layered(), level=14)
    with pytest.raises(InputError, match="no variable has a dimension of depths or levels; leave out level="):
        open_field(series(), level=3)


def test_a_level_of_length_one_is_dropped() -> None:
    field = open_field(layered().isel(depth=[2]))
    np.testing.assert_allclose(plain_values(field)[1:], series().sst.values[1:] + 200, rtol=1e-6)
