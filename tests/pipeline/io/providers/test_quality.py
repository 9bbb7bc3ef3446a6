"""Quality flags: which rule holds for a flag of a product, which values it keeps, and what is said of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import plain_values
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.io.points.tracks import read_tracks
from oceanfill.pipeline.io.providers.quality import describe_unused, find_rules
from oceanfill.pipeline.io.variables import open_variables
from product_ghrsst import BIAS, make_ghrsst, make_truth, write_ghrsst
from product_hfr import make_totals
from series import series


def flagged(values: list[int], name: str, variable: str = "sst", **attrs: Any) -> xr.Dataset:
    """A field whose first row has the flags ``values`` on the first date, and the last of them elsewhere."""
    data = series(nx=len(values)).rename(sst=variable)
    flags = np.full(data[variable].shape, values[-1], np.int64)
    flags[0, 0] = values
    return data.assign({name: (data[variable].dims, flags, attrs)})


def find_kept(data: xr.Dataset, variable: str = "sst", **options: Any) -> list[bool]:
    """Which values of the first row of the first date are kept."""
    field = open_field(data, variable=variable, minimum_coverage=0, **options)
    return np.isfinite(field.values[0, 0]).tolist()


LEVELS = {"flag_values": [0, 1, 2, 3], "flag_meanings": "ok a b bad"}
CONFIDENCE = {
    "flag_values": [0, 1, 2, 3, 4, 5],
    "flag_meanings": "unprocessed erroneous unreliable acceptable good excellent",
}
ICE_BITS = {"flag_masks": [1, 2, 4, 8], "flag_meanings": "land lake open_water_filter land_spill_over_filter"}
SUSPECT = {"flag_values": [0, 1, 2], "flag_meanings": "a suspect b"}
BITS = {"flag_masks": [1, 2], "flag_meanings": "LAND INTERPOLATED"}
DENIED = {"flag_masks": [1, 2], "flag_meanings": "not_good shallow"}
L2_MEANINGS = "ATMFAIL LAND PRODWARN HIGLINT HILT"
L2_FLAGS = {"flag_masks": [1, 2, 4, 8, 16], "flag_meanings": L2_MEANINGS}
QC = {"flag_values": [0, 1, 2, 3, 4], "flag_meanings": "no_qc good probably_good probably_bad bad"}


@pytest.mark.parametrize(
    ("name", "variable", "values", "attrs", "kept"),
    [
        ("quality_level", "sst", [0, 2, 3, 4, 5], {}, [0, 0, 0, 1, 1]),
        ("quality_level", "sst", [0, 1, 2, 3, 0], LEVELS, [1, 0, 0, 0, 1]),
        ("l2p_flags", "sst", [1, 2, 4, 8, 0], {}, [1, 0, 0, 1, 1]),
        ("qual_sst", "sst", [0, 1, 2, 3, 0], {}, [1, 1, 0, 0, 1]),
        ("qual_sst4", "sst", [0, 1, 2, 3, 0], {}, [1, 1, 1, 1, 1]),
        ("l2_flags", "chlor_a", [1, 2, 4, 24, 0], L2_FLAGS, [0, 0, 1, 0, 1]),
        ("l2_flags", "chlor_a", [1, 2, 4, 24, 0], {}, [0, 0, 1, 0, 1]),
        ("l2_flags", "sst", [1, 2, 4, 24, 0], L2_FLAGS, [1, 0, 1, 1, 1]),
        ("QCflag", "sst", [0, 1, 2, 3, 4, 1], {}, [0, 1, 1, 0, 0, 1]),
        ("QCflag", "sst", [0, 1, 2, 3, 4, 1], QC, [0, 1, 1, 0, 0, 1]),
        ("sst_QC", "sst", [0, 1, 2, 3, 4, 1], QC, [0, 1, 1, 0, 0, 1]),
        ("chl_QC", "sst", [0, 1, 2, 3, 4, 1], QC, [1, 1, 1, 1, 1, 1]),
        ("POSITION_QC", "sst", [0, 1, 2, 3, 4, 7], {}, [1, 1, 1, 0, 0, 1]),
        ("sst_qartod", "sst", [1, 2, 3, 4, 1], {}, [1, 1, 0, 0, 1]),
        ("nasa_flag", "ssha", [0, 1, 0], {"flag_meanings": "good bad"}, [1, 0, 1]),
        ("nasa_flag", "ssha", [0, 1, 0], {}, [1, 0, 1]),
        ("quality_flag", "ssha_filtered", [0, 5, 102, 0], {}, [1, 0, 0, 1]),
        ("sst_qc", "sst", [0, 1, 2, 0], {"long_name": "Quality, 0=Good; 1=Bad; 2=not checked"}, [1, 0, 0, 1]),
        ("lsc_qc", "sss", [0, 1, 0], {}, [1, 0, 1]),
        ("lsc_qc", "sst", [0, 1, 0], {}, [1, 1, 1]),
        ("confidence_level", "ice_conc", [1, 2, 3, 4, 5], CONFIDENCE, [0, 0, 1, 1, 1]),
        ("status_flag", "ice_conc", [1, 2, 4, 8, 0], ICE_BITS, [0, 0, 1, 1, 1]),
        ("sst_flag", "sst", [0, 1, 2, 0], SUSPECT, [1, 0, 1, 1]),
        ("flags", "sst", [1, 2, 3, 0], BITS, [0, 1, 0, 1]),
        ("sst_qual", "sst", [0, 1, 2, 3], DENIED, [1, 0, 1, 0]),
        (
            "flags",
            "sst",
            [0, 1, 2, 4, 0],
            {"flag_masks": [3, 3, 3, 4], "flag_values": [0, 1, 2, 4], "flag_meanings": "sea bad high cloud"},
            [1, 0, 1, 0, 1],
        ),
    ],
)  # fmt: skip
def test_what_flags_let_pass(name, variable, values, attrs, kept):
    data = flagged(values, name, variable, **attrs)
    assert find_kept(data, variable) == [bool(one) for one in kept]
    assert all(find_kept(data, variable, quality="none"))


def test_every_rule_is_said_with_its_source_and_the_share_it_took():
    field = open_field(make_ghrsst())
    quality, land, taken, on_land = field.treatment[-4:]
    assert quality.startswith("kept where quality_level >= 4 (GHRSST Data Processing Specification")
    assert land.startswith("kept where l2p_flags is not land, ice (GHRSST")
    data = make_ghrsst()
    low = int(((data.quality_level > 0) & (data.quality_level < 4)).sum())
    total = int((data.quality_level > 0).sum())
    assert taken == f"flagged by quality_level: {low} ({100 * low / total:.1f}% of the values)"
    at_land = int((data.quality_level[:, 0, 0] >= 4).sum())
    assert on_land.startswith(f"flagged by l2p_flags: {at_land} (")


def test_a_linked_flag_holds_and_another_variables_does_not():
    data = flagged([1, 2, 3, 4, 1], "check", **QC)
    assert all(find_kept(data))
    rules = find_rules("a.nc", data, "sst", Opening())
    assert describe_unused(data, "sst", rules, False) == [
        "not used: check (no_qc, good, probably_good, probably_bad, bad)"
    ]
    data.sst.attrs["ancillary_variables"] = "other, check"
    assert find_kept(data) == [True, True, False, False, True]
    data.sst.attrs |= {"standard_name": "sea_surface_temperature"}
    del data.sst.attrs["ancillary_variables"]
    data.check.attrs["standard_name"] = "sea_surface_temperature status_flag"
    assert find_kept(data) == [True, True, False, False, True]


def test_single_tests_take_only_bad_values_where_there_is_an_overall_flag():
    data = flagged([0, 1, 2, 3, 4, 1], "range_test", **QC)
    data.sst.attrs["ancillary_variables"] = "range_test overall_flag"
    assert find_kept(data) == [False, True, True, False, False, True], "the only flag"
    data["overall_flag"] = xr.full_like(data.range_test, 1).assign_attrs(QC)
    assert find_kept(data) == [True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("quality", "kept"),
    [
        ("quality_level>=3", [0, 0, 1, 1, 1]),
        ("quality_level >= 3, quality_level < 5", [0, 0, 1, 1, 0]),
        ("quality_level>=3 and quality_level!=4", [0, 0, 1, 0, 1]),
        ("quality_level==4", [0, 0, 0, 1, 0]),
        ("quality_level<=2", [1, 1, 0, 0, 0]),
        ("quality_level&1==0", [1, 1, 0, 1, 0]),
        ("quality_level&0x1", [1, 1, 0, 1, 0]),
        ("quality_level&4!=0", [0, 0, 0, 1, 1]),
        ("quality_level>low", [0, 0, 0, 1, 1]),
        ("NONE", [1, 1, 1, 1, 1]),
    ],
)
def test_expressions(quality, kept):
    data = flagged([0, 2, 3, 4, 5], "quality_level")
    data.quality_level.attrs |= {
        "flag_values": [0, 1, 2, 3, 4, 5],
        "flag_meanings": "no bad worst low ok best",
    }
    data.quality_level[1:] = 4 if kept[3] else 0 if kept[0] else 5  # something is left on other dates
    assert find_kept(data, quality=quality) == [bool(one) for one in kept]


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        ("quality>=3", r"dataset: there is no flag 'quality'; the file's flags are quality_level, l2p_flags"),
        ("quality_level~3", "'quality_level~3' cannot be understood; write it as 'quality_level>=3'"),
        ("quality_level", "cannot be understood"),
        (
            "quality_level>=good",
            "'good' is neither a number nor a meaning of quality_level .no_data, bad_data",
        ),
        ("profile>=3", r"profile has the shape \(4,\) but the grid of sea_surface_temperature \(10, 12\)"),
        ("quality_level>=6", r"no value of sea_surface_temperature is left .*; choose .* quality='none'"),
    ],
)
def test_expressions_that_cannot_hold(quality, message):
    data = make_ghrsst().assign(profile=("level", [1, 2, 3, 4]))
    with pytest.raises(InputError, match=message):
        open_field(data, quality=quality)


def test_a_rule_that_takes_every_value_is_an_error_with_its_remedy():
    data = make_ghrsst()
    data["quality_level"] = data.quality_level.clip(max=3)
    with pytest.raises(InputError, match=r"flagged by quality_level: \d+ .100.0%.*quality='none'"):
        open_field(data)
    assert open_field(data, quality="quality_level>=2").observed.any()


def test_missing_flags_exclude_where_a_value_is_asked_for_and_not_where_bits_are():
    data = flagged([5, 5, 5], "quality_level").assign(l2p_flags=lambda d: d.quality_level * 0)
    data = data.assign({name: data[name].astype(float) for name in ("quality_level", "l2p_flags")})
    data.quality_level[0, 0, 1] = np.nan
    data.l2p_flags[0, 0, 2] = np.nan
    assert find_kept(data) == [True, False, True]


def test_sses_bias_is_subtracted_and_its_deviation_is_the_error(tmp_path):
    path = write_ghrsst(make_ghrsst(), tmp_path / "a.nc")
    truth = make_truth()
    field = open_field(path, sses=True)
    off = (plain_values(field) - truth)[field.observed]
    assert np.abs(off).max() < 0.02  # packed in steps of 0.01 K
    raw = open_field(path)
    assert np.abs((plain_values(raw) - truth)[raw.observed] - BIAS).max() < 0.011
    assert raw.error_variance.max() == 0
    np.testing.assert_allclose(field.error_variance[field.observed], 0.3**2, rtol=1e-5)
    without = np.isnan(make_ghrsst().sses_standard_deviation.values) & field.observed
    assert f"sses_standard_deviation: {np.count_nonzero(without)}, given the median 0.3" in field.oddities[-1]
    assert without.sum() > 50
    assert "less sses_bias, whose observation error is sses_standard_deviation" in field.treatment
    assert open_field(path, sses=True, observation_error=0.1).error_variance.max() == np.float32(0.1) ** 2
    with pytest.raises(InputError, match="there is no sses_bias, sses_standard_deviation"):
        open_field(series(), sses=True)


def test_radar_totals_are_both_components_without_their_bad_values():
    data = make_totals()
    (u, v), _ = open_variables(data)
    assert (u.name, v.name) == ("EWCT", "NSCT")
    kept = data.QCflag[:, 0].isin([1, 2]).to_numpy() & np.isfinite(data.EWCT[:, 0].to_numpy())
    for field in (u, v):
        np.testing.assert_array_equal(field.observed, kept)
        assert np.nanmax(np.abs(field.values)) < 0.31
    # The overall flag decides; single tests that were not evaluated take nothing, bad ones do.
    data.CSPD_QC[3] = 4
    (u, _), _ = open_variables(data, opening=Opening(variable="EWCT,NSCT"))
    assert not u.observed[3].any()
    assert u.observed[2].any()


def test_the_first_date_whose_position_or_time_is_bad_is_left_out():
    data = make_totals()
    data.TIME_QC[4] = 4
    data.POSITION_QC[:, 0, 2, 3] = 3
    field = open_field(data, variable="NSCT")
    assert not field.observed[4].any()
    assert not field.observed[:, 2, 3].any()
    assert field.observed[5, 2].any()


def test_points_along_tracks_follow_the_same_rules():
    n = 60
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(1, "s"),
        "latitude": ("time", np.linspace(40, 43, n), {"units": "degrees_north"}),
        "longitude": ("time", np.full(n, 5.0), {"units": "degrees_east"}),
    }
    flag = np.zeros(n, np.int8)
    flag[5:11] = 1
    data = xr.Dataset(
        {
            "ssha": ("time", np.sin(np.arange(n) / 9), {"units": "m"}),
            "nasa_flag": ("time", flag, {"flag_meanings": "good bad"}),
        },
        coords,
    )
    found = read_tracks(data)
    assert len(found) == n - 6
    assert found.treatment == (
        "kept where nasa_flag is good (meanings in the file)",
        "flagged by nasa_flag: 6 (10.0% of the values)",
    )
    assert len(read_tracks(data, quality="none")) == n
    with pytest.raises(
        InputError, match=r"no value of ssha is usable .flagged by nasa_flag: 60.*quality='none'"
    ):
        read_tracks(data.assign(nasa_flag=data.nasa_flag * 0 + 1))
