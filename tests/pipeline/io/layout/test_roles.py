"""Which variable of a product is the field, with the headers of the products."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.layout.coordinates import find_layout
from oceanfill.pipeline.io.layout.roles import is_describing
from product_ghrsst import make_ghrsst
from product_hfr import make_totals

# Names of variables and, after a slash, their standard names.
DUACS = (
    "adt/sea_surface_height_above_geoid sla/sea_surface_height_above_sea_level err_sla err_ugosa err_vgosa "
)
DUACS += "ugos/surface_geostrophic_eastward_sea_water_velocity tpa_correction flag_ice "
DUACS += "vgos/surface_geostrophic_northward_sea_water_velocity ugosa vgosa"
OC_CCI = "Rrs_412 Rrs_443 kd_490/volume_attenuation chlor_a chlor_a_log10_rmsd chlor_a_log10_bias adg_412 "
OC_CCI += "kd_490_bias water_class1 MERIS_nobs_sum total_nobs_sum"
RTV = "u/surface_eastward_sea_water_velocity v/surface_northward_sea_water_velocity dopx dopy hdop "
RTV += "number_of_sites number_of_radials u_err v_err uv_covariance"


def make_file(header: str, dims: tuple[str, ...] = ("time", "lat", "lon")) -> xr.Dataset:
    sizes = {"time": 3, "lat": 2, "lon": 4}
    dataset = xr.Dataset(
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D"),
            "lat": [40.0, 41],
            "lon": [1.0, 2, 3, 4],
        }
    )
    for entry in header.split():
        name, _, standard_name = entry.partition("/")
        attrs = {"standard_name": standard_name} if standard_name else {}
        dataset[name] = dims, np.ones([sizes[dim] for dim in dims]), attrs
    return dataset


@pytest.mark.parametrize(
    ("header", "variable", "partner", "why"),
    [
        ("sst anom err ice", "sst", "", "sst is the field, which is accompanied by anom, ice"),
        (
            "analysed_sst analysis_error sea_ice_fraction mask sst_anomaly",
            "analysed_sst",
            "",
            "analysed_sst is",
        ),
        (DUACS, "adt", "", "adt is preferred to sla"),
        (OC_CCI, "chlor_a", "", "chlor_a is preferred to"),
        ("CHL CHL_uncertainty CHL_count flags", "CHL", "", ""),
        ("sos dos sos_error dos_error sea_ice_fraction", "sos", "", "sos is the salinity, not dos"),
        ("sss_smap sss_smap_uncertainty smap_spd anc_sst anc_sss weight", "sss_smap", "", "sss_smap is"),
        ("thetao bottomT/sea_water_potential_temperature_at_sea_floor", "thetao", "", "thetao is"),
        (RTV, "u", "v", "u and v are the components of one current"),
        ("v u", "u", "v", "u and v are the components of one current"),
        ("ugos vgos err_ugos", "ugos", "vgos", "ugos and vgos are the components"),
        ("tbias_corrected err", "tbias_corrected", "", ""),
        ("sst sst_bias_corrected", "sst", "", "sst is the temperature, not sst_bias_corrected"),
    ],
)
def test_the_field_of_a_product_is_taken(header, variable, partner, why):
    layout = find_layout("a.nc", make_file(header))
    assert (layout.variable, layout.partner) == (variable, partner)
    assert layout.why.startswith(why)
    assert bool(layout.why) == bool(why)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("thetao so zos uo vo", "thetao, so, zos, uo, vo"),
        ("u v sst", "u, v, sst"),
        ("u v w", "u, v, w"),
        ("day_sst/sea_surface_temperature night_sst/sea_surface_temperature", "day_sst, night_sst"),
        ("b a", "b, a"),
    ],
)
def test_several_fields_are_listed(header, names):
    with pytest.raises(InputError, match=rf"variables could be filled \({names}\); choose one"):
        find_layout("a.nc", make_file(header))


def test_ghrsst_and_radar_totals():
    assert find_layout("a.nc", make_ghrsst()).variable == "sea_surface_temperature"
    totals = find_layout("a.nc", make_totals())
    assert (totals.variable, totals.partner) == ("EWCT", "NSCT")


def test_variables_that_describe_others_are_never_filled():
    for name in ("err_sla", "u_err", "sstErr", "GDOP", "uv_covariance", "chl_stdev", "n_obs", "solar_zenith"):
        assert is_describing(name, {}), name
    for name in ("sst", "numerics", "flagstaff", "terrain", "standard"):
        assert not is_describing(name, {}), name
    assert is_describing("x", {"long_name": "Formal mapping error"})
    assert is_describing("x", {"long_name": "standard deviation of EWCT"})
    assert is_describing("x", {"units": "degree"})
    assert is_describing("x", {"cell_methods": "time: standard_deviation"})
    assert not is_describing("x", {"long_name": "sea level corrected for the bias", "units": "degree_C"})
    with pytest.raises(InputError, match="err_sla, hdop only describe a field"):
        find_layout("a.nc", make_file("err_sla hdop"))
    assert find_layout("a.nc", make_file("err_sla hdop"), "hdop").variable == "hdop", "by name"
