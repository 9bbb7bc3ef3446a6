"""Points of platforms, from tables and from the discrete sampling geometries of CF."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.points.platforms import read_platforms
from oceanfill.pipeline.io.points.tracks import Tracks

CELSIUS = {"units": "degree_Celsius", "standard_name": "sea_surface_temperature"}
TIMES = pd.date_range("2020-01-01T12:00", periods=3)
PLAIN = """time,lat,lon,platform,sst
2020-01-01T12:00:00Z,35.5,-5.5,b,15.25
2020-01-02T14:00:00+02:00,35.5,354.5,a,16
2020-01-03T12:00:00,35.5,-5.5,a,
"""


def read(source, **how) -> Tracks:
    return read_platforms(source, "sst", CELSIUS, **how)


def write(folder: Path, text: str, name: str = "points.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def as_rows(tracks: Tracks) -> list[tuple[str, str, float]]:
    names = [tracks.missions[number] for number in tracks.mission]
    days = np.datetime_as_string(tracks.time, unit="h").tolist()
    return list(zip(names, days, tracks.value.tolist(), strict=True))


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path):
    found = read(write(tmp_path, PLAIN))
    assert as_rows(found) == [("a", "2020-01-02T12", 16.0), ("b", "2020-01-01T12", 15.25)]
    assert np.mod(found.lon, 360).tolist() == [354.5, 354.5]
    assert "missing or invalid values: 1" in found.oddities
    assert "the points have no units and are taken to be in degree_Celsius" in found.oddities


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_a_mark_of_byte_order(tmp_path, separator):
    path = write(tmp_path, "\ufeff" + PLAIN.replace(",", separator), "points.txt")
    assert as_rows(read(path)) == as_rows(read(write(tmp_path, PLAIN)))


def test_units_are_in_the_headings_or_below_them(tmp_path):
    heading = read(write(tmp_path, PLAIN.replace("platform,sst", "platform,sst (K)").replace("16", "289.15")))
    assert as_rows(heading)[0] == ("a", "2020-01-02T12", pytest.approx(16, abs=1e-9))
    assert "the points were converted from K to degree_Celsius" in heading.oddities
    below = PLAIN.replace("sst\n", "sst\nUTC,degrees_north,degrees_east,,kelvin\n", 1).replace("16", "289.15")
    assert as_rows(read(write(tmp_path, below))) == as_rows(heading)


def test_a_data_frame_and_parquet_give_the_same(tmp_path):
    frame = pd.read_csv(write(tmp_path, PLAIN))
    expected = as_rows(read(write(tmp_path, PLAIN)))
    assert as_rows(read(frame)) == expected
    assert (
        as_rows(
            read(frame.assign(time=pd.to_datetime(frame.time, format="ISO8601", utc=True)).set_index("time"))
        )
        == expected
    )
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "points.parquet")
    assert as_rows(read(tmp_path / "points.parquet")) == expected


def test_parquet_without_its_library_is_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    pd.read_csv(write(tmp_path, PLAIN)).to_parquet(tmp_path / "points.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"points.parquet: Parquet is read by pyarrow.*pip install pyarrow"):
        read(tmp_path / "points.parquet")


def test_columns_are_named_by_their_role(tmp_path):
    text = PLAIN.replace("lat,lon,platform,sst", "north,east,wmo_code,t1").replace("time", "when")
    columns = {"time": "when", "lat": "north", "lon": "east", "value": "t1", "platform": "wmo_code"}
    assert as_rows(read(write(tmp_path, text), columns=columns)) == as_rows(read(write(tmp_path, PLAIN)))
    with pytest.raises(InputError, match=r"no column is recognised as time or lat or lon"):
        read(write(tmp_path, text))
    with pytest.raises(InputError, match=r"there is no column 'west' for columns=lon"):
        read(write(tmp_path, text), columns=columns | {"lon": "west"})
    with pytest.raises(InputError, match=r"columns= names no height; choose among time, lat"):
        read(write(tmp_path, text), columns={"height": "x"})


def test_rows_that_are_repeated_count_once(tmp_path):
    line = "2020-01-01T12:00:00Z,35.5,-5.5,b,15.25\n"
    found = read(write(tmp_path, PLAIN + 2 * line))
    assert len(found) == 2
    assert "points that occur more than once: 2" in found.oddities


def test_the_shallowest_value_of_a_profile_is_used(tmp_path):
    lines = [
        f"2020-01-01T12:00:00Z,35.5,-5.5,7,{depth},{value}"
        for depth, value in ((3, 14), (1, 15), (50, 9), (1, 15))
    ]
    lines.append("2020-01-02T12:00:00Z,35.5,-5.5,7,60,8")
    found = read(write(tmp_path, "\n".join(["time,lat,lon,platform,depth,sst", *lines])), max_depth=10)
    assert as_rows(found) == [("7", "2020-01-01T12", 15.0)]
    assert found.oddities[:4] == (
        "values deeper than 10 m: 2",
        "values below the shallowest of a profile: 1",
        "points that occur more than once: 1",
        "depth: 1 m",
    )


def geometry(kind: str) -> xr.Dataset:
    """Two moorings with the values 1, 2, 3 and 4, 5, in a discrete sampling geometry."""
    attrs = {"standard_name": "sea_surface_temperature", "units": "degree_Celsius"}
    names = ("station", np.array(["m1", "m2"]), {"cf_role": "timeseries_id"})
    lat, lon = (
        ("station", [35.0, 36.0], {"units": "degrees_north"}),
        ("station", [1.0, 2.0], {"units": "degrees_east"}),
    )
    times, values = np.concatenate([TIMES, TIMES[:2]]), np.arange(1.0, 6)
    places = {"name": names, "lat": lat, "lon": lon}
    if kind == "contiguous":
        count = ("station", np.array([3, 2]), {"sample_dimension": "obs"})
        return xr.Dataset(places | {"count": count, "time": ("obs", times), "temp": ("obs", values, attrs)})
    if kind == "indexed":
        index = ("obs", np.array([0, 0, 0, 1, 1]), {"instance_dimension": "station"})
        return xr.Dataset(places | {"index": index, "time": ("obs", times), "temp": ("obs", values, attrs)})
    table = np.array([[1, 2, 3], [4, 5, np.nan]])
    if kind == "orthogonal":
        return xr.Dataset(places | {"temp": (("station", "time"), table, attrs)}, {"time": TIMES})
    each = np.stack([TIMES, TIMES])
    return xr.Dataset(
        places | {"time": (("station", "obs"), each), "temp": (("station", "obs"), table, attrs)}
    )


@pytest.mark.parametrize("kind", ["contiguous", "indexed", "orthogonal", "incomplete"])
def test_geometries_of_cf(tmp_path, kind):
    geometry(kind).to_netcdf(tmp_path / "points.nc")
    found = read(tmp_path / "points.nc")
    days = [f"2020-01-0{day}T12" for day in (1, 2, 3, 1, 2)]
    assert as_rows(found) == list(zip(["m1"] * 3 + ["m2"] * 2, days, [1.0, 2, 3, 4, 5], strict=True))
    assert found.lat.tolist() == [35, 35, 35, 36, 36]
    assert found.lon.tolist() == [1, 1, 1, 2, 2]


def test_values_that_are_flagged_as_bad_are_left_out(tmp_path):
    found = read(
        write(
            tmp_path, PLAIN.replace("sst", "temp,temp_QC").replace("15.25", "15.25,4").replace(",16", ",16,1")
        )
    )
    assert found.value.tolist() == [16]
    assert any("flagged by sst_QC: 1" in oddity for oddity in found.oddities)
    data = geometry("incomplete").squeeze()
    marks = np.array([[b"1", b"4", b"1"], [b"1", b"1", b" "]])  # as Argo writes them
    data["temp_qc"] = (("station", "obs"), marks)
    data.to_netcdf(tmp_path / "points.nc")
    assert read(tmp_path / "points.nc").value.tolist() == [1, 3, 4, 5]


def test_several_files_are_several_platforms(tmp_path):
    for name in "ab":
        geometry("orthogonal").isel(station=[0]).drop_vars("name").to_netcdf(tmp_path / f"{name}.nc")
    found = read(str(tmp_path / "*.nc"))
    assert found.missions == ("a", "b")
    assert found.value.tolist() == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("platform,sst", "platform,sst (m)", "is in m but in degree_Celsius in the field sst"),
        ("15.25", "288.4", "have no units and are about 288, which are not degree_Celsius; give units='K'"),
        ("2020-01-0", "1.1.2020 ", "no date in time can be read"),
    ],
)
def test_what_cannot_be_points_is_a_sentence(tmp_path, old, new, finding):
    text = PLAIN.replace(old, new).replace(",16\n", ",288.6\n" if "288" in new else ",16\n")
    with pytest.raises(InputError, match=finding.replace("(", r"\(")):
        read(write(tmp_path, text))


def test_a_value_that_is_not_the_only_one_must_be_named(tmp_path):
    path = write(tmp_path, "time,lat,lon,air,water\n2020-01-01,35.5,-5.5,10,15\n")
    with pytest.raises(InputError, match="no column is called sst, and air, water could be its values"):
        read(path)
    assert read(path, columns={"value": "water"}).value.tolist() == [15]


def test_dates_as_numbers_need_units(tmp_path):
    text = "time{},lat,lon,sst\n10.5,35.5,-5.5,15\n"
    with pytest.raises(InputError, match="the dates in time are numbers"):
        read(write(tmp_path, text.format("")))
    found = read(write(tmp_path, text.format(" (days since 2020-01-01)")))
    assert as_rows(found) == [("points", "2020-01-11T12", 15.0)]


def test_the_error_of_points_is_a_variance(tmp_path):
    path = write(tmp_path, "time,lat,lon,sst,sd\n2020-01-01,35.5,-5.5,15,0.2\n")
    assert read(path, columns={"error": "sd", "value": "sst"}).error_variance == pytest.approx([0.04])
    assert read(path, columns={"value": "sst"}, error=0.5).error_variance == pytest.approx([0.25])
