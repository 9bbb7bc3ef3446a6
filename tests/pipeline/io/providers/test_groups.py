"""Groups of HDF5 files become one dataset."""

import netCDF4
import numpy as np
import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.reading import open_input
from swaths import write_l2


def write_grouped(path, groups, root_field=False):
    """Write dates and axes in the root, and a field `sst` in each of the groups: 1, 2 ... plus the date."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 3), ("lat", 4), ("lon", 5)):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = np.arange(size)
            axis.units = {"time": "days since 2020-01-01", "lat": "degrees_north", "lon": "degrees_east"}[
                name
            ]
        if root_field:
            file.createVariable("sst", "f4", ("time", "lat", "lon"))[:] = np.arange(3.0)[:, None, None]
        for number, name in enumerate(groups):
            sst = file.createGroup(name).createVariable("sst", "f4", ("time", "lat", "lon"))
            sst[:] = 10 * (number + 1) + np.arange(3.0)[:, None, None]
    return str(path)


def test_the_only_group_with_a_field_is_found(tmp_path):
    field = open_field(write_grouped(tmp_path / "one.nc", ["data/swath"]))
    assert field.values[:, 0, 0].tolist() == [10, 11, 12]


def test_of_several_groups_one_is_chosen(tmp_path):
    path = write_grouped(tmp_path / "two.nc", ["day", "night"])
    with pytest.raises(InputError, match=r"two\.nc: the groups day and night both have sst; .* group="):
        open_field(path)
    assert open_field(path, group="/night").values[:, 0, 0].tolist() == [20, 21, 22]
    with pytest.raises(InputError, match="there is no group 'noon'; choose among day, night"):
        open_field(path, group="noon")


def test_a_root_with_a_field_needs_no_group(tmp_path):
    path = write_grouped(tmp_path / "root.nc", ["other"], root_field=True)
    assert open_field(path).values[:, 0, 0].tolist() == [0, 1, 2]
    assert open_field(path, group="other").values[:, 0, 0].tolist() == [10, 11, 12]


def test_a_file_without_groups_has_none_to_choose(tmp_path):
    path = write_grouped(tmp_path / "flat.nc", [], root_field=True)
    with pytest.raises(InputError, match="there is no group 'data'; the file has no groups"):
        open_field(path, group="data")


def test_positions_come_from_their_own_group(tmp_path):
    (path,) = write_l2(tmp_path, dates=1)
    with open_input(path) as (_, dataset):
        assert {"sst", "qual_sst", "latitude", "longitude", "msec"} <= set(dataset.variables)
        assert dataset.sst.encoding["scale_factor"] == 0.005
