from __future__ import annotations

from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.cli.info import describe
from oceanfill.pipeline.cli.track_info import describe_tracks
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.opening import Opening
from rich.console import Console
from tracks import mission


def text(inputs: Any, **options: Any) -> str:
    """What a terminal of 80 columns shows."""
    console = Console(width=80, no_color=True)
    with console.capture() as capture:
        console.print(describe(inputs, **options)[0])
    shown = capture.get()
    assert max(len(line) for line in shown.splitlines()) <= 80
    return shown


def row(shown: str, first: str) -> str:
    """The line that starts with this word, its spaces reduced to one."""
    return next(" ".join(line.split()) for line in shown.splitlines() if line.startswith(first))


def words(shown: str) -> str:
    return " ".join(shown.split())


def series(nt: int = 4) -> xr.Dataset:
    """Half of the first date and one pixel missing."""
    values = np.arange(nt * 4 * 6, dtype=np.float32).reshape(nt, 4, 6)
    values[0, :2] = values[:, 3, 5] = np.nan
    dates = np.datetime64("2020-01-01", "ns") + np.arange(nt) * np.timedelta64(1, "D")
    dataset = xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "degC", "long_name": "[red] temperature"})},
        {"time": dates, "lat": 61.5 - np.arange(4), "lon": 10 + np.arange(6) / 2},
    )
    dataset["mask"] = (("lat", "lon"), np.ones((4, 6), np.int8))
    return dataset


def test_a_field_that_can_be_filled(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    series().to_netcdf(path)
    shown = text(path)
    assert (
        row(shown, "sst would")
        == "sst would be filled: the only variable of real numbers that is not a mask, flag"
    )
    assert row(shown, "sst  ").endswith("filled: [red]")
    assert row(shown, "mask ") == "mask lat lon int8 sea mask"
    assert row(shown, "with") == "with time 4, lat 4, lon 6"
    assert row(shown, "Latitude") == "Latitude 58.500 to 61.500 N, southward, every 1 degrees (111 km)"
    assert row(shown, "Longitude") == "Longitude 10.000 to 12.500 E, eastward, every 0.5 degrees (27.8 km)"
    assert row(shown, "Dates") == "Dates 4, 2020-01-01 to 2020-01-04, calendar standard, median step 1 day"
    assert row(shown, "Sea") == "Sea 24 of 24 pixels (100.0%); mask: mask (1 = sea)"
    assert "Missing 16 of 96 sea values (16.7%), of which 4 at the 1 pixels that are never" in words(shown)
    assert row(shown, "2020-01-01").startswith("2020-01-01 54.2")  # 13 of 24
    assert row(shown, "2020-01-02").startswith("2020-01-02 4.2")
    assert "- sea pixels that are never observed: 1" in shown
    assert "Cannot" not in shown


def test_a_long_record_is_summarised_by_month() -> None:
    shown = text(series(nt=60))
    assert row(shown, "2020-01 ").split()[1] == "5.8"  # (54.17 + 30 * 4.17) / 31
    assert row(shown, "2020-01 ").split()[-3:] == ["4.2", "54.2", "31"]
    assert row(shown, "2020-02 ").split()[-3:] == ["4.2", "4.2", "29"]
    assert row(shown, "Cloudiest").startswith("Cloudiest 2020-01-01 (54.2%)")


def test_a_very_long_record_in_another_calendar_is_summarised_by_year() -> None:
    dates = [cftime.Datetime360Day(1999 + i // 12, i % 12 + 1, 30) for i in range(60)]
    shown = text(series(nt=60).assign_coords(time=dates))
    assert row(shown, "1999 ").split()[-1] == "12"
    assert row(shown, "Dates") == "Dates 60, 1999-01-30 to 2003-12-30, calendar 360_day, median step 30 days"


def test_what_fill_refuses_is_still_described(tmp_path: Path) -> None:
    path = tmp_path / "twice.nc"
    series().isel(time=[0, 1, 1, 3]).to_netcdf(path)
    assert "dates with several maps: 1 (2020-01-02), 2 maps reduced to the mean" in words(text(path))
    shown = text(path, merge="refuse")
    assert "Cannot be filled" in shown
    # A long path is broken anywhere, also within the name of the file.
    said = "twice.nc: dates with several maps: 1 (2020-01-02); choose how they are merged"
    assert said.replace(" ", "") in "".join(words(shown).split())
    assert "- dates that occur more than once: 1 (2020-01-02)" in shown
    assert row(shown, "Longitude") == "Longitude 10.000 to 12.500 E, eastward, every 0.5 degrees (27.8 km)"
    assert "Missing 16 of 96 sea values" in words(shown)

    several = series().assign(chl=series().sst)
    shown = text(several)
    assert "2 variables could be filled (sst, chl); choose one with variable=" in words(shown)
    assert row(shown, "chl ").startswith("chl time lat lon float32 degC")
    assert "sst would be filled: chosen by name" in text(several, variable="sst")

    single = text(series().isel(time=[0]))
    assert row(single, "Dates") == "Dates 1, 2020-01-01 to 2020-01-01, calendar standard"
    assert "Cannot be filled" not in single
    undated = text(series().isel(time=0, drop=True))
    assert row(undated, "Dates") == "Dates none, a single map"
    assert row(undated, "sst ").startswith("sst lat lon float32")
    assert "1970" not in undated
    assert row(text(series().isel(time=[])), "Dates") == "Dates none"


def test_files_of_two_grids_or_calendars_show_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "a.nc", tmp_path / "b.nc"
    series().to_netcdf(first)
    later = series().assign_coords(time=series().time + np.timedelta64(9, "D"))
    for other, finding in (
        (later.isel(lat=slice(0, 2)), "shape (2, 6) instead of (4, 6)"),
        (later.convert_calendar("noleap", use_cftime=True), "its calendar is noleap"),
    ):
        other.to_netcdf(second)
        shown = text([first, second])
        assert finding in words(shown)
        assert row(shown, "Dates").startswith("Dates 4, 2020-01-01 to 2020-01-04")


def test_points_along_tracks_are_described_by_mission() -> None:
    data = mission("alpha", dates=3).isel(time=slice(30, None))
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(describe_tracks(data, Opening(observation_error=0.02)))
    shown = capture.get()
    low, middle, high = np.percentile(data.sla_filtered, [0, 50, 100])
    expected = f"sla_filtered at 150 points along tracks, {low:.3g} to {high:.3g} m, median {middle:.3g}"
    assert row(shown, "sla_filtered") == expected
    assert row(shown, "alpha") == "alpha 150 5 1 s 2020-01-01 2020-01-03 0.02"
    assert row(
        shown, "40.05"
    ) == f"40.05 to 42.95 N, {data.longitude.where(data.longitude > 0).min():.2f} to " + (
        f"{data.longitude.where(data.longitude < 0).max() + 360:.2f} E"
    )
    assert row(shown, "to fill") == "to fill: grid=0.25, bounds=(40, 43, 178, 182)"


def test_what_cannot_be_opened_at_all_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        describe(tmp_path / "absent.nc")


@pytest.mark.shared
def test_alboran(shared: Path) -> None:
    shown = text(shared / "alboran_avhrr_sst_2017.nc")
    assert "Missing 100,676 of 221,860 sea values (45.4%), of which 770 at the 77 pixels" in words(shown)
    assert "not used, and replaced by the analysis: 40 (0.033% of the values)" in words(shown)
    assert row(shown, "2017-05-21").startswith("2017-05-21 90.2")
    assert "- irregular time step: mostly 1, from 1 to 2 days (absent: 2017-05-22)" in shown
    assert "- values outside the sea mask, not used: 19" in shown
