"""The current from simulated radars: optimal interpolation and networks against the truth they do not see.

    python benchmarks/vectors.py FOLDER [MINUTES [WAY ...]]

Makes FOLDER/truth.nc (two-layer turbulence off a coast) unless it is there, and what three stations see of
it, fills by each way (METHOD:FLOW, all by default), prints a line of a Markdown table for each, and draws
FOLDER/vectors.png of the interpolations. Networks train for MINUTES each (default 2).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.settings import Training
from oceanfill.pipeline.simulators.radar import Station, observe_radials
from oceanfill.pipeline.simulators.two_layer import TwoLayer

STATIONS = (Station(43.02, 5.2, 75), Station(43.02, 5.9, 75), Station(43.45, 4.93, 60))
SHOWN = {"optimal interpolation": "oi:free", "with a stream function": "oi:stream-function"}
WAYS = ("oi:free", "oi:stream-function", "unet:free", "unet:low-divergence", "unet:stream-function")


def main() -> None:
    """Print a line a way."""
    folder = Path(sys.argv[1])
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "truth.nc"
    current = xr.load_dataset(kept) if kept.exists() else truth()
    current.to_netcdf(kept)
    radials = observe_radials(current, STATIONS, np.random.default_rng(0))
    count = np.isfinite(radials.radial.transpose("station", ...).to_numpy()).sum(axis=0)
    print("| | seen by none | by one | by two or three | all | 1-sigma ellipse | 2-sigma | divergence |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for way in sys.argv[3:] or WAYS:
        method, flow = way.split(":")
        how = Training() if method == "oi" else Training(epochs=1000, time_budget=minutes)
        start = time.perf_counter()
        filled = fill(radials, radial_direction="direction", method=method, flow=flow, training=how)
        print(f"{way}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        filled.to_netcdf(folder / f"{method}-{flow}.nc")
        off = np.stack([filled[name] - current[name] for name in ("u", "v")])
        sea = np.isfinite(off[0])
        errors = [100 * rms(off[:, sea & part]) for part in (count == 0, count == 1, count > 1, count >= 0)]
        inside = mahalanobis(filled, off)[sea]
        cells = [f"{error:.2f}" for error in errors]
        cells += [f"{100 * (inside < sigmas**2).mean():.1f} %" for sigmas in (1, 2)]
        name = f"{method}, {flow}" + (
            "" if method == "oi" or filled.delivered == method else " (not delivered)"
        )
        print("| " + " | ".join([name, *cells, f"{1e6 * divergence(filled):.2f}"]) + " |", flush=True)
    made = {way: folder / f"{way.replace(':', '-')}.nc" for way in SHOWN.values()}
    if all(path.exists() for path in made.values()):
        found = {name: xr.load_dataset(made[way]) for name, way in SHOWN.items()}
        draw(folder / "vectors.png", current, radials, found)


def truth() -> xr.Dataset:
    """``u`` and ``v`` of the upper of two layers, m/s, every six hours of sixteen days, cells of 3 km."""
    model = TwoLayer(
        cells=64,
        length=192e3,
        deformation_radius=7e3,
        thickness_ratio=0.3,
        upper=0.06,
        drag=4e-6,
        dt=900.0,
    )
    state = model.advance(model.start(1, seed=3, speed=0.2), 96 * 50)
    maps = []
    for _ in range(64):
        state = model.advance(state, 24)
        maps.append(model.psi(state)[0, 0])
    psi = torch.stack(maps)
    cell = model.length / model.cells
    north, east = torch.gradient(psi, spacing=cell, dim=(1, 2))
    u, v = (part[:, 10:42, 6:42].numpy() for part in (-north, east))
    lat, lon = (
        43 + 3e3 / 111.2e3 * np.arange(32),
        4.9 + 3e3 / (111.2e3 * np.cos(np.radians(43.5))) * np.arange(36),
    )
    y, x = np.meshgrid(np.arange(32), np.arange(36), indexing="ij")
    land = y < 3 + 2 * np.sin(x / 7)
    dates = np.datetime64("2024-05-01", "ns") + np.arange(len(u)) * np.timedelta64(6, "h")
    parts = {
        name: (("time", "lat", "lon"), np.where(land, np.nan, part)) for name, part in (("u", u), ("v", v))
    }
    axes = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    return xr.Dataset(parts, {"time": dates, **axes})


def rms(values: np.ndarray) -> float:
    """Of all components."""
    return float(np.sqrt(np.mean(values**2)))


def mahalanobis(filled: xr.Dataset, off: np.ndarray) -> np.ndarray:
    """Squared distance of the truth in units of the error."""
    uu, vv, uv = filled.u_error**2, filled.v_error**2, filled.uv_covariance
    return ((vv * off[0] ** 2 + uu * off[1] ** 2 - 2 * uv * off[0] * off[1]) / (uu * vv - uv**2)).to_numpy()


def divergence(filled: xr.Dataset) -> float:
    """Root mean square, 1/s, by central differences."""
    cos = np.cos(np.radians(filled.lat))
    east = filled.u.differentiate("lon") / cos
    north = (filled.v * cos).differentiate("lat") / cos
    return float(np.sqrt(((east + north) ** 2).mean())) * 180 / np.pi / 6.371e6


def draw(path: Path, current: xr.Dataset, radials: xr.Dataset, found: dict[str, xr.Dataset]) -> None:
    """A date: what is seen, the truth, and the interpolations with ellipses of the error."""
    date, colours = 33, ("#0072B2", "#D55E00", "#CC79A7")  # of Okabe and Ito
    figure = Figure(figsize=(11, 8.2), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    for station, name in zip(radials.transpose("station", ...).radial, "ABC", strict=True):
        number = "ABC".index(name)
        angle = np.radians(radials.direction[number])
        axes[0].quiver(
            radials.lon[::3],
            radials.lat[::3],
            *(part[::3, ::3] for part in (station[date] * np.sin(angle), station[date] * np.cos(angle))),
            color=colours[number],
            scale=4,
            width=0.0035,
        )
        place = STATIONS[number]
        axes[0].plot(place.lon, place.lat, "^", color=colours[number], markersize=9, label=f"station {name}")
    axes[0].legend(loc="upper right")
    maps = {"truth": current, **found}
    norm = mpl.colors.Normalize(0, 0.5)
    for one, (name, flow) in zip(axes[1:], maps.items(), strict=True):
        u, v = flow.u[date].to_numpy(), flow.v[date].to_numpy()
        drawn = one.pcolormesh(flow.lon, flow.lat, np.hypot(u, v), norm=norm, cmap="viridis")
        one.quiver(flow.lon[::3], flow.lat[::3], u[::3, ::3], v[::3, ::3], color="w", scale=5, width=0.0035)
        one.set_title(name)
        if "u_error" not in flow:
            continue
        for row in range(5, flow.sizes["lat"], 8):
            for column in range(4, flow.sizes["lon"], 8):
                here = flow.isel(time=date, lat=row, lon=column)
                add_ellipse(one, here)
    axes[0].set_title("radial velocities of one date")
    for one in axes[2:]:
        one.set_xlabel("longitude (°E)")
    for one in axes[::2]:
        one.set_ylabel("latitude (°N)")
    figure.colorbar(drawn, ax=list(axes), label="speed (m/s)", shrink=0.5)
    for one in axes:
        one.set_aspect(1 / np.cos(np.radians(43.5)))
    figure.savefig(path, dpi=100)


def add_ellipse(axes: mpl.axes.Axes, here: xr.Dataset) -> None:
    """Of one standard error, as arrows are scaled."""
    if not np.isfinite(here.u):
        return
    square = np.array([[here.u_error**2, here.uv_covariance], [here.uv_covariance, here.v_error**2]])
    size, way = np.linalg.eigh(square)
    long, short = 1.5 * np.sqrt(size[::-1])
    angle = np.degrees(np.arctan2(way[1, 1], way[0, 1]))
    shown = Ellipse(
        (here.lon, here.lat), long, short, angle=angle, fill=False, color="tab:red", linewidth=1.8
    )
    axes.add_patch(shown)


if __name__ == "__main__":
    main()
