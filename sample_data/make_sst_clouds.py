"""Make sst_clouds.nc, its truth and points in it: a simulated sea surface temperature under clouds.

A front and its filaments are stirred for 90 days by a turbulent flow off a coast with two islands, while the
season warms the sea and the weather heats and cools it. The flow is a random stream function with a steep
spectrum, whose eddies of 60 to 200 km drift and change within days to weeks. One seed determines every
number:

    python sample_data/make_sst_clouds.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

SEED = 20240321
DATES, ROWS, COLUMNS = 90, 96, 128
STEP = 0.05  # degrees
CELL = 5.0  # km, roughly
RIM = 24  # cells of the periodic computing domain around the part that is kept
SPIN_UP = 30  # days
STEPS_A_DAY = 8
SPEED = 0.18  # m/s, standard deviation of each component of the flow
JET = 0.30  # m/s, the mean current along the front
WARM_LAYER = 0.35  # degree_Celsius, standard deviation of the one-day surface anomaly due to wind and sun
NOISE = 0.07  # degree_Celsius, standard deviation of an observation's error
MOORINGS, DRIFTERS = 8, 4
POINT_OFFSET, POINT_NOISE = 0.03, 0.05  # degree_Celsius, of a thermometer and of each of its values
DRIFT = 0.2  # cells a day, standard deviation of each component of a drifter's velocity
Array = NDArray[np.float64]


def compute_wavenumbers() -> tuple[Array, Array, Array]:
    """Compute the east, north and total wavenumber (rad/km) of the periodic domain."""
    shape = ROWS + 2 * RIM, COLUMNS + 2 * RIM
    north, east = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n, CELL) for n in shape), indexing="ij")
    return east, north, np.hypot(east, north)


def draw_red_noise(rng: np.random.Generator, slope: float, longest: float) -> Array:
    """Draw a random field of unit variance, with amplitude k^-slope below the wavelength ``longest`` (km)."""
    _, _, total = compute_wavenumbers()
    amplitude = (total**2 + (2 * np.pi / longest) ** 2) ** (-slope / 2)
    amplitude[0, 0] = 0
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal(total.shape)) * amplitude).real
    return field / field.std()


class Flow:
    """A stream function whose waves turn at their own frequencies, so eddies drift, merge and fade."""

    def __init__(self, rng: np.random.Generator, shore: Array) -> None:
        east, _, total = compute_wavenumbers()
        self.waves = [np.fft.fft2(draw_red_noise(rng, 5.0, 180.0)) for _ in range(3)]
        drift = -0.04 * 86.4 * east  # 4 cm/s to the west, in rad/day
        self.turning = [drift + rng.standard_normal(total.shape) * 2 * np.pi / 60 for _ in self.waves]
        self.shore = shore
        across = (np.arange(ROWS + 2 * RIM) - RIM - ROWS / 2)[:, None] / 14
        self.jet = JET * np.exp(-(across**2)) * shore
        self.scale = 1.0
        self.scale = SPEED / self.compute_velocity(0.0)[2]

    def compute_velocity(self, day: float) -> tuple[Array, Array, float]:
        """Compute the eastward and northward velocity (m/s) and their standard deviation."""
        waves = zip(self.waves, self.turning, strict=True)
        stream = np.sum(
            [np.fft.ifft2(wave * np.exp(1j * turning * day)).real for wave, turning in waves], axis=0
        )
        north, east = np.gradient(stream * self.shore * self.scale)
        speed = float(np.sqrt((north**2 + east**2).mean() / 2))
        return -north + self.jet, east, speed


def make_land() -> NDArray[np.bool_]:
    """Return the land mask of the computing domain: a coast in the south-east and two islands."""
    y, x = np.mgrid[: ROWS + 2 * RIM, : COLUMNS + 2 * RIM].astype(float)
    y, x = y - RIM, x - RIM
    coast = 8 + 6 * np.sin(x / 9) + 4 * np.sin(x / 23 + 1) + 26 / (1 + np.exp(-(x - 104) / 7))
    islands = ((x - 34) / 7) ** 2 + ((y - 66) / 4) ** 2 < 1 + 0.3 * np.sin(x)
    islands |= ((x - 88) / 4) ** 2 + ((y - 52) / 6) ** 2 < 1
    return (y < coast) & (y > -RIM) | islands


def compute_front(day: float) -> Array:
    """Compute the temperature that the field relaxes to.

    It is warm in the south and cold in the north, and rises from spring on.
    """
    y = np.arange(ROWS + 2 * RIM)[:, None] - RIM
    across = np.sin(2 * np.pi * (y - ROWS / 2) / (ROWS + 2 * RIM))
    season = 15.5 + 6.5 * np.sin(np.pi / 2 * min(max(day, 0.0), DATES) / DATES)
    return season - 2.2 * np.tanh(across / 0.35) + np.zeros((1, COLUMNS + 2 * RIM))


def simulate_temperature(rng: np.random.Generator) -> Array:
    """Simulate (90, rows, columns) of the computing domain, degree_Celsius, at noon of each day."""
    shore = 1 - np.exp(-((distance_transform_edt(~make_land()) / 4) ** 2))
    flow = Flow(rng, shore)
    y, x = np.mgrid[: ROWS + 2 * RIM, : COLUMNS + 2 * RIM].astype(float)
    weather = draw_red_noise(rng, 3.0, 900.0)
    field = compute_front(0.0)
    dates = []
    cells = 86400 / STEPS_A_DAY / (1000 * CELL)  # cells per step at 1 m/s
    for step in range((SPIN_UP + DATES) * STEPS_A_DAY):
        day = step / STEPS_A_DAY - SPIN_UP
        if step % STEPS_A_DAY == 0:
            weather = 0.75 * weather + np.sqrt(1 - 0.75**2) * draw_red_noise(rng, 3.0, 900.0)
            field = gaussian_filter(field, 0.45, mode="wrap")  # mixing, which also damps ripples
            if day >= 0:
                dates.append(field.copy())
        east, north, _ = flow.compute_velocity(day)
        # Find the midpoint of each path, then its start (Staniforth and Cote 1991, Mon. Wea. Rev. 119, 2206).
        middle = [y - north * cells / 2, x - east * cells / 2]
        north, east = (map_coordinates(part, middle, order=1, mode="grid-wrap") for part in (north, east))
        field = map_coordinates(field, [y - north * cells, x - east * cells], order=3, mode="grid-wrap")
        field += (compute_front(day) - field) / (40 * STEPS_A_DAY) + 0.12 * weather / STEPS_A_DAY
    return np.stack(dates)


def draw_clouds(rng: np.random.Generator, sea: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Draw masks (90, rows, columns), True under clouds: persistent systems over 30% to 80% of the sea."""
    inside = np.s_[RIM:-RIM, RIM:-RIM]
    system, cover = draw_red_noise(rng, 2.2, 400.0), 0.0
    hidden = []
    for _ in range(DATES):
        fresh = draw_red_noise(rng, 2.2, 400.0)
        system = np.roll(0.65 * system + np.sqrt(1 - 0.65**2) * fresh, (1, 6), axis=(0, 1))
        cover = 0.8 * cover + 0.6 * rng.standard_normal()
        share = 0.30 + 0.50 / (1 + np.exp(-1.5 * cover))
        thick = gaussian_filter(system, 0.7)[inside]
        hidden.append(thick > np.quantile(thick[sea], 1 - share))
    return np.stack(hidden)


def draw_points(rng: np.random.Generator, truth: Array, sea: NDArray[np.bool_]) -> pd.DataFrame:
    """Draw daily temperatures of moorings and drifters, with an offset of each and noise of each value.

    ``truth`` (90, rows, columns) is interpolated between the four cells around a point. Values next to land
    or off the grid are left out.
    """
    number = MOORINGS + DRIFTERS
    start = rng.random((number, 2)) * (ROWS - 1, COLUMNS - 1)
    speed = DRIFT * rng.standard_normal((number, 2)) * (np.arange(number) >= MOORINGS)[:, None]
    parts = []
    for platform in range(number):
        y, x = (start[platform] + np.arange(DATES)[:, None] * speed[platform]).T
        at_sea = map_coordinates((~sea).astype(float), [y, x], order=1, mode="constant", cval=1.0) == 0
        value = map_coordinates(truth, [np.arange(DATES), y, x], order=1, mode="nearest")
        value += POINT_OFFSET * rng.standard_normal() + POINT_NOISE * rng.standard_normal(DATES)
        frame = pd.DataFrame(
            {
                "time": pd.date_range("2024-03-21T12:00:00", periods=DATES).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "latitude": (36.025 + STEP * y).round(4),
                "longitude": (-14.975 + STEP * x).round(4),
                "platform": f"{'mooring' if platform < MOORINGS else 'drifter'}-{platform + 1:02d}",
                "sst (degree_Celsius)": value.round(3),
            }
        )
        parts.append(frame[at_sea])
    return pd.concat(parts)


def pack_temperature(
    values: Array, name: str, attributes: dict[str, str], coordinates: Mapping[str, object]
) -> xr.DataArray:
    """Encode Celsius in steps of 0.002 as 16-bit integers."""
    array = xr.DataArray(values, coordinates, ("time", "lat", "lon"), name=name, attrs=attributes)
    array.encoding = {
        "dtype": "int16",
        "scale_factor": 0.002,
        "add_offset": 20.0,
        "_FillValue": np.int16(-32768),
        "zlib": True,
        "complevel": 9,
        "shuffle": True,
        "chunksizes": (10, ROWS, COLUMNS),
    }
    return array


def main(folder: Path) -> None:
    """Write the three files to ``folder``."""
    rng = np.random.default_rng(SEED)
    inside = np.s_[..., RIM:-RIM, RIM:-RIM]
    truth = simulate_temperature(rng)[inside]
    truth += WARM_LAYER * np.stack([draw_red_noise(rng, 3.0, 400.0) for _ in range(DATES)])[inside]
    sea = ~make_land()[inside]
    hidden = draw_clouds(rng, sea)
    observed = truth + NOISE * rng.standard_normal(truth.shape)
    coordinates = {
        "time": (
            "time",
            np.arange(DATES),
            {"standard_name": "time", "units": "days since 2024-03-21 12:00:00"},
        ),
        "lat": (
            "lat",
            (36.025 + STEP * np.arange(ROWS)).round(3),
            {"standard_name": "latitude", "units": "degrees_north"},
            {"_FillValue": None},  # CF 2.5.1: no missing values in coordinates
        ),
        "lon": (
            "lon",
            (-14.975 + STEP * np.arange(COLUMNS)).round(3),
            {"standard_name": "longitude", "units": "degrees_east"},
            {"_FillValue": None},
        ),
    }
    about = {
        "standard_name": "sea_surface_temperature",
        "units": "degree_Celsius",
        "units_metadata": "temperature: on_scale",
    }
    common = {
        "Conventions": "CF-1.11",
        "institution": "oceanfill",
        "source": "idealised model: make_sst_clouds.py",
        "history": f"made by make_sst_clouds.py, seed {SEED}",
        "license": "MIT",
    }
    mask = xr.DataArray(
        sea.astype(np.int8),
        {key: coordinates[key] for key in ("lat", "lon")},
        ("lat", "lon"),
        attrs={
            "long_name": "sea mask",
            "flag_values": np.array([0, 1], np.int8),
            "flag_meanings": "land sea",
        },
    )
    observations = pack_temperature(
        np.where(hidden | ~sea, np.nan, observed),
        "sst",
        about | {"long_name": "sea surface temperature"},
        coordinates,
    )
    hidden_truth = pack_temperature(
        np.where(hidden & sea, truth, np.nan),
        "sst",
        about | {"long_name": "sea surface temperature where clouds hid it, without noise"},
        coordinates,
    )
    full_truth = pack_temperature(
        np.where(sea, truth, np.nan),
        "sst_full",
        about | {"long_name": "sea surface temperature without noise"},
        coordinates,
    )
    title = "Idealised sea surface temperature"
    xr.Dataset(
        {"sst": observations, "mask": mask}, attrs=common | {"title": f"{title} under clouds"}
    ).to_netcdf(folder / "sst_clouds.nc")
    xr.Dataset(
        {"sst": hidden_truth, "sst_full": full_truth}, attrs=common | {"title": f"{title}: the truth"}
    ).to_netcdf(folder / "sst_clouds_truth.nc")
    points = draw_points(np.random.default_rng(SEED + 1), truth, sea)
    points.to_csv(folder / "sst_clouds_points.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
