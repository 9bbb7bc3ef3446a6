from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.layout.coordinates import Layout
from oceanfill.pipeline.io.seamask import find_mask, sea_from_coverage, sea_from_mask

LAYOUT = Layout(variable="sst", time="time", lat="lat", lon="lon", t="time", y="lat", x="lon")
GHRSST_BITS = np.array([1, 2, 4, 8, 16], np.int8)
MUR = "open_sea land open_lake open_sea_with_ice_in_the_grid open_lake_with_ice_in_the_grid"


def sea(values: list[float], name: str = "mask", **attrs: Any) -> list[bool]:
    mask = xr.DataArray(np.array([values]), dims=("lat", "lon"), name=name, attrs=attrs)
    found, _ = sea_from_mask("a.nc", mask, LAYOUT)
    return found[0].tolist()


@pytest.mark.parametrize(
    ("values", "attrs", "expected"),
    [
        (
            [1, 2, 9, 5, 3, np.nan],
            {"flag_masks": GHRSST_BITS, "flag_meanings": "water land optional_lake_surface sea_ice river"},
            [True, False, True, False, False, False],
        ),
        (  # MUR: the masks are the bits, the values whole values, and both are given
            [1, 2, 5, 9, 13],
            {"flag_masks": GHRSST_BITS, "flag_values": [1, 2, 5, 9, 13], "flag_meanings": MUR},
            [True, False, False, True, False],
        ),
        (
            [0, 1, 0, 2],
            {"flag_values": [0, 1, 2], "flag_meanings": "sea land ice_on_land"},
            [True, False, True, False],
        ),
        ([0, 1, 3], {"flag_values": [1], "flag_meanings": "land"}, [True, False, True]),
        (  # CF 3.5: bits 2 and 3 hold a code, bit 1 is something else
            [2, 3, 4, 5],
            {
                "flag_masks": [1, 6, 6],
                "flag_values": [1, 2, 4],
                "flag_meanings": "bad_fit over_land over_sea",
            },
            [False, False, True, True],
        ),
        (
            [0, 1],
            {"flag_values": [0, 1], "flag_meanings": "bad good"},
            [False, True],
        ),  # no flags of sea or land
    ],
)
def test_flags_are_tested_as_their_attributes_say(
    values: list[float], attrs: dict[str, Any], expected: list[bool]
) -> None:
    assert sea(values, **attrs) == expected


@pytest.mark.parametrize(
    ("name", "standard_name", "expected"),
    [
        ("mask", "", [False, True, False]),
        ("mask", "land_binary_mask", [True, False, True]),
        ("lsm", "", [True, False, True]),
        ("lsm", "sea_area_fraction", [False, True, False]),
        ("land_mask", "", [True, False, True]),
    ],
)
def test_numbers_are_read_by_the_name_of_the_mask(
    name: str, standard_name: str, expected: list[bool]
) -> None:
    assert sea([0.2, 0.9, np.nan], name, standard_name=standard_name) == expected


def test_a_mask_with_dates_in_another_order_is_sea_on_any_date() -> None:
    mask = xr.DataArray(np.zeros((3, 2, 4)), dims=("lon", "time", "lat"), name="mask")
    mask[2, 1, 3] = 1
    found, how = sea_from_mask("a.nc", mask, LAYOUT)
    assert found.shape == (4, 3)
    assert np.argwhere(found).tolist() == [[3, 2]]
    assert how == "mask (1 = sea)"


def test_a_mask_on_the_grid_is_preferred_and_one_of_another_shape_is_not_ignored() -> None:
    dataset = xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), np.zeros((2, 3, 4))),
            "mask": (("j", "i"), np.zeros((2, 2))),
            "wet": (("lat", "lon"), np.zeros((3, 4)), {"standard_name": "sea_binary_mask"}),
        }
    )
    assert find_mask("a.nc", dataset, LAYOUT, None) == "wet"
    assert find_mask("a.nc", dataset.drop_vars("wet"), LAYOUT, None) == "mask"
    assert find_mask("a.nc", dataset.drop_vars(["wet", "mask"]), LAYOUT, None) is None
    assert find_mask("a.nc", dataset, LAYOUT, "sst") == "sst"
    with pytest.raises(
        InputError, match=r"a.nc: there is no mask variable 'land'; choose among sst, mask, wet"
    ):
        find_mask("a.nc", dataset, LAYOUT, "land")


def test_coverage_counts_dates_and_asks_for_one_at_least() -> None:
    observed = np.zeros((20, 1, 3), bool)
    observed[0, 0, 1] = observed[:2, 0, 2] = True
    assert sea_from_coverage(observed.mean(axis=0), 0.05)[0].tolist() == [[False, True, True]]
    assert sea_from_coverage(observed.mean(axis=0), 0.06)[0].tolist() == [[False, False, True]]
    assert sea_from_coverage(observed.mean(axis=0), 0)[0].tolist() == [[False, True, True]]
