"""Values, types and attributes that no provider should write, and some do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hostile import FILL, Case, check, plain

DAY = np.arange(9.0)[:, None, None]
CELL = np.arange(30.0).reshape(1, 5, 6)


def holding(values: Any) -> xr.Dataset:
    """`plain`, with other values where it has any."""
    data = plain()
    full = np.broadcast_to(np.asarray(values, np.float64), data.sst.shape)
    made = np.where(data.sst.notnull(), full, np.nan).astype(np.float32)
    return data.assign(sst=(data.sst.dims, made, data.sst.attrs))


def times(factor: float) -> xr.Dataset:
    return holding(plain().sst.values.astype(np.float64) * factor)


def with_attrs(**attrs: Any) -> xr.Dataset:
    data = plain()
    data.sst.attrs.update(attrs)
    return data


def replaced(value: float, at: Any = (3, 2, 3)) -> xr.Dataset:
    """`plain` with one value replaced."""
    data = plain()
    data.sst.values[at] = value
    return data


def encoded(**encoding: Any) -> None:
    plain().to_netcdf("in.nc", encoding={"sst": encoding})


def edited(attribute: str, value: Any, kind: str = "i2", values: Any = None) -> None:
    """The field as raw numbers of a type, with an attribute that no library would write."""
    data = plain()
    data.drop_vars("sst").to_netcdf("in.nc")
    with netCDF4.Dataset("in.nc", "a") as file:
        file.set_auto_maskandscale(False)
        sst = file.createVariable(
            "sst", kind, ("time", "lat", "lon"), fill_value=-99 if kind == "i2" else None
        )
        raw = np.where(data.sst.isnull(), -99, np.round(100 * np.nan_to_num(data.sst.values)))
        sst[:] = raw.astype(kind) if values is None else values
        if attribute:
            sst.setncattr(attribute, value)


def own_type(kind: str) -> None:
    """A variable of one of the types that users of NetCDF-4 can define."""
    data = plain()
    data.drop_vars("sst").to_netcdf("in.nc")
    with netCDF4.Dataset("in.nc", "a") as file:
        if kind == "vlen":
            made = file.createVariable("sst", file.createVLType(np.float32, "row"), ("time", "lat", "lon"))
            made[0, 0, 0] = np.ones(3, np.float32)
        elif kind == "compound":
            pair = file.createCompoundType(np.dtype([("value", "f4"), ("error", "f4")]), "pair")
            file.createVariable("sst", pair, ("time", "lat", "lon"))
        elif kind == "enum":
            made = file.createEnumType(np.uint8, "cloud", {"clear": 0, "cloudy": 1})
            file.createVariable("sst", made, ("time", "lat", "lon"), fill_value=1)
        elif kind == "text":
            file.createVariable("sst", str, ("time", "lat", "lon"))[0, 0, 0] = "warm"
        elif kind == "characters":
            file.createVariable("sst", "S1", ("time", "lat", "lon"))[:] = b"x"
        elif kind == "vlen next to it":
            made = file.createVariable("rows", file.createVLType(np.float32, "row"), ("time", "lat", "lon"))
            made[0, 0, 0] = np.ones(3, np.float32)
            file.createVariable("sst", "f4", ("time", "lat", "lon"), fill_value=np.nan)[:] = data.sst.values


def hundredths() -> xr.Dataset:
    """`plain` as its packed integers hold it."""
    data = plain()
    raw = np.where(data.sst.isnull(), np.nan, np.round(100 * data.sst.values.astype(np.float64)))
    return data.assign(sst=(data.sst.dims, raw.astype(np.float32)))


def whole() -> xr.Dataset:
    """Nothing is missing."""
    data = plain()
    return data.assign(sst=data.sst.fillna(12).astype(np.float32).assign_attrs(data.sst.attrs))


def seen(case: Any) -> Case:
    """Filled as what it is."""
    return Case(case, means=case)


def by(method: str, make: Any) -> Case:
    """Filled by another method, which keeps what is observed."""
    return Case(make, words=FILL.replace("linear-time", method), means=make, reference=False)


CASES = {
    "constant on each date": seen(lambda: holding(DAY)),
    "constant in time": seen(lambda: holding(CELL)),
    "two values": seen(lambda: holding((DAY + CELL) % 2)),
    "two values by date": seen(lambda: holding(DAY % 2)),
    "all but one value equal": seen(lambda: holding((DAY == 3) & (CELL == 17))),
    "1e-12": seen(lambda: times(1e-12)),
    "1e15": seen(lambda: times(1e14)),
    "1e26": Case(lambda: times(1e25), "1e+19"),
    "1e37": Case(lambda: times(1e36), "1e+19"),
    "1e26 that is meant": Case(lambda: times(1e25), "too large", f"{FILL} --missing-value none"),
    "1e-29": Case(lambda: times(1e-30), "too small"),
    "1e-39": Case(lambda: times(1e-40), "too small"),
    "constant": Case(lambda: holding(4), "is constant (4"),
    "a value of 1e20": Case(lambda: replaced(1e20), means=lambda: replaced(np.nan)),
    "a value of 1e30": Case(lambda: replaced(-1e30), means=lambda: replaced(np.nan)),
    "an infinite value": Case(lambda: replaced(np.inf), means=lambda: replaced(np.nan)),
    "a value of -9999": Case(lambda: replaced(-9999), means=lambda: replaced(np.nan)),
    "all infinite": Case(lambda: holding(np.inf), "every value of sst"),
    "all missing": Case(lambda: holding(np.nan), "every value of sst is missing"),
    "one value": Case(lambda: plain().where((DAY == 3) & (CELL == 17)), "is constant"),
    "vlen": Case(lambda: own_type("vlen"), "sst"),
    "vlen next to it": Case(lambda: own_type("vlen next to it")),
    "compound": Case(lambda: own_type("compound"), "sst"),
    "enum": Case(lambda: own_type("enum"), "sst"),
    "text": Case(lambda: own_type("text"), "sst holds text"),
    "characters": Case(lambda: own_type("characters"), "sst"),
    "scale_factor as text": Case(
        lambda: edited("scale_factor", "0.01"),
        means=lambda: hundredths().astype(np.float64) * 0.01,
        step=0.01,
    ),
    "scale_factor as words": Case(lambda: edited("scale_factor", "small"), "its scale_factor is 'small'"),
    "scale_factor of two numbers": Case(lambda: edited("scale_factor", [0.01, 0.02]), "scale_factor"),
    "scale_factor NaN": Case(lambda: edited("scale_factor", np.nan), "scale_factor"),
    "scale_factor zero": Case(lambda: edited("scale_factor", 0.0), "scale_factor"),
    "scale_factor infinite": Case(lambda: edited("scale_factor", np.inf), "scale_factor"),
    "add_offset as text": Case(lambda: edited("add_offset", "cold"), "add_offset"),
    "add_offset NaN": Case(lambda: edited("add_offset", np.nan), "add_offset"),
    "missing_value as text": Case(lambda: edited("missing_value", "-99"), means=hundredths, step=1),
    "missing_value as words": Case(lambda: edited("missing_value", "none at all"), means=hundredths, step=1),
    "valid_min as text": Case(lambda: edited("valid_min", "0"), means=hundredths, step=1),
    "valid_range of three": Case(
        lambda: edited("valid_range", np.array([0, 1, 2], "i2")), means=hundredths, step=1
    ),
    "valid_range that excludes all": Case(
        lambda: edited("valid_range", np.array([0, 1], "i2")), "valid range"
    ),
    "valid_range the wrong way": Case(
        lambda: edited("valid_range", np.array([9999, 0], "i2")), "valid range"
    ),
    "flag_values on the field": Case(lambda: edited("flag_values", np.array([1, 2], "i2")), "only describe"),
    "units as a number": Case(lambda: with_attrs(units=7)),
    "units as a list": Case(lambda: with_attrs(units=[1.0, 2.0])),
    "empty units": Case(lambda: with_attrs(units="")),
    "units with markup": Case(lambda: with_attrs(units="m [/C] [red]$x_$ \\frac{")),
    "names with markup": Case(lambda: with_attrs(long_name="$\\alpha [/] %s {0}", standard_name="[/b]")),
    "a very long attribute": Case(lambda: with_attrs(comment="x" * 100_000)),
    "ancillary_variables that are absent": Case(lambda: with_attrs(ancillary_variables="a, b;c  d")),
    "coordinates that are absent": Case(lambda: with_attrs(grid_mapping="nowhere", cell_methods="(((")),
    "nothing is missing": Case(whole, means=whole, reference=False),
    "a name with spaces": Case(lambda: plain().rename(sst="sea surface [degC]/x".replace("/", " per "))),
    "a name with markup": Case(lambda: plain().rename(sst="a[red]")),
    "a name that is a number": Case(lambda: plain().rename(sst="2")),
    "a name of an output": Case(lambda: plain().rename(sst="sst_error"), "only describe"),
    "double precision": Case(lambda: plain().astype(np.float64)),
    "big-endian": Case(lambda: plain().to_netcdf("in.nc", encoding={"sst": {"dtype": ">f4"}})),
    "half the dates without a value": seen(lambda: plain().where(DAY % 2 == 0)),
    "one date with values": Case(
        lambda: plain().where(DAY == 4), means=lambda: plain().where(DAY == 4), reference=False
    ),
    "one pixel with values": seen(lambda: plain().where(CELL == 17)),
    "unsigned in a signed type": Case(lambda: edited("_Unsigned", "true"), means=hundredths, step=1),
    "a log of zero": Case(lambda: holding(DAY % 2), "is constant", f"{FILL} --transform log"),
    "a log of negative numbers": Case(lambda: holding(-1 - DAY), "is positive", f"{FILL} --transform log"),
    "bounds that exclude all": Case(plain, "bounds of values", f"{FILL} --bounds-of-values 0,1"),
} | {
    f"{name}, {method}": by(method, make)
    for method in (
        "nearest",
        "climatology",
        "persistence",
        "linear-space",
        "linear-space-time",
        "dineof",
        "oi",
    )
    for name, make in {
        "constant on each date": lambda: holding(DAY),
        "constant in time": lambda: holding(CELL),
        "two values": lambda: holding((DAY + CELL) % 2),
        "all but one value equal": lambda: holding((DAY == 3) & (CELL == 17)),
        "1e15": lambda: times(1e14),
        "1e-12": lambda: times(1e-12),
    }.items()
}


IN_BLOCKS = f"{FILL} --cache cache.zarr"
MARKUP = r"m [/C] [red]$x_$ \frac{ {0} %s"
CASES |= {
    "constant, in blocks": Case(lambda: holding(4), "is constant (4", IN_BLOCKS, also=("cache.zarr",)),
    "1e17, in blocks": Case(lambda: times(1e16), "too large", IN_BLOCKS, also=("cache.zarr",)),
    "two values, in blocks": Case(
        lambda: holding((DAY + CELL) % 2),
        words=IN_BLOCKS,
        means=lambda: holding((DAY + CELL) % 2),
        also=("cache.zarr",),
    ),
    "markup, described": Case(lambda: with_attrs(units=MARKUP, long_name=MARKUP), words="info in.nc"),
    "markup, drawn": Case(
        lambda: with_attrs(units=MARKUP, long_name=MARKUP), words=f"{FILL} --plot a.png", also=("a.png",)
    ),
    "markup, compared": Case(
        lambda: with_attrs(units=MARKUP),
        words="compare in.nc --methods nearest --plot a.png",
        also=("a.png",),
    ),
    "markup, scored": Case(lambda: with_attrs(units=MARKUP), words="score in.nc in.nc"),
}


def errors(values: Any, **more: Any) -> xr.Dataset:
    data = plain()
    return data.assign(e=(data.sst.dims, np.broadcast_to(np.float32(values), data.sst.shape), more))


ERRORS = {
    "of 1e30": (lambda: errors(1e30), "no standard error"),
    "of 1e15": (lambda: errors(1e15), ""),
    "of 1e30 once": (lambda: errors(np.where((DAY == 3) & (CELL == 17), 1e30, 0.1)), ""),
    "of 1e-30": (lambda: errors(1e-30), ""),
    "of zero": (lambda: errors(0), ""),
    "negative": (lambda: errors(-1), "no standard error"),
    "missing": (lambda: errors(np.nan), "no standard error"),
    "infinite": (lambda: errors(np.inf), "no standard error"),
    "missing here and there": (lambda: errors(np.where(DAY % 2, np.nan, 0.1)), ""),
    "of one date": (lambda: plain().assign(e=(("lat", "lon"), np.full((5, 6), np.float32(0.1)))), ""),
    "in other units": (lambda: errors(0.1, units="m2 kg-1"), "units"),
    "as text": (lambda: plain().assign(e=plain().sst.astype(str)), "not numeric"),
}
CASES |= {
    f"errors {name}, {method}": Case(
        make,
        says,
        f"{FILL} --error-variable e".replace("linear-time", method),
        reference=method == "linear-time",
    )
    for name, (make, says) in ERRORS.items()
    for method in ("linear-time", "oi")
}
CASES |= {
    "an observation error of 1e30": Case(plain, "--observation-error", f"{FILL} --observation-error 1e30"),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    check(CASES[name], tmp_path, monkeypatch, capfd)
