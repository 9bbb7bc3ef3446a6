"""How well tracks of four altimeters give back the sea level that they were sampled from.

    python benchmarks/tracks.py [--bounds 36.0625,43.8125,0.0625,9.8125] [--period 2005-04-01/2005-05-15]
        [--epochs 5] [METHOD ...]

The altimetry of the Mediterranean (DUACS, three months of 2005, a real product that does not ship: its folder
is OCEANFILL_SHARED, or ../shared/data) is sampled where Jason, Sentinel-3A, SARAL and CryoSat-2 would fly,
with a noise of 2 cm, and written as along-track files. The command fills a grid of a quarter of a degree from
them, or the part of it within the bounds and the period; the truth is the product on every second row and
column, which is where the grid's centres are. The error that is written is that of a new observation: the
share within it is of the truth with the noise of one. The columns "tracks" are the command's own score, on
tracks that it held out. The last line is the speed of bilinear interpolation to as many points as DINCAE 2
was trained on, and of its adjoint.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from oceanfill.models.points import find_corners, to_cells, to_points
from oceanfill.pipeline.holdout.scores import coverage, rmse
from oceanfill.pipeline.simulators.altimetry import MISSIONS, observe_along_tracks

HERE = Path(__file__).resolve().parents[1]
TRUTH = Path(os.environ.get("OCEANFILL_SHARED", HERE.parent / "shared" / "data")) / "duacs_med_adt_2005q2.nc"
FLYING = ("jason", "sentinel-3a", "saral", "cryosat-2")
METHODS = ("oi", "unet")
POINTS, SHAPE = 7_450_000, (100, 69, 177)


def write_tracks(truth: xr.DataArray, folder: Path) -> None:
    """A file a mission and month, in the layout of Copernicus Marine."""
    seen = observe_along_tracks(truth, [MISSIONS[name] for name in FLYING], np.random.default_rng(0))
    for name, own in seen.groupby("mission"):
        for month, part in own.groupby("time.month"):
            file = part.drop_vars("mission").assign_attrs(platform=str(name))
            file.to_netcdf(folder / f"dt_med_{name}_phy_l3_2005{month:02d}.nc")


def filled(method: str, folder: Path, bounds: str, options: argparse.Namespace) -> tuple[xr.Dataset, float]:
    """What the command makes of the files, and its seconds."""
    target = folder / f"{method}.nc"
    words = [
        sys.executable,
        "-m",
        "oceanfill.pipeline.cli",
        "fill",
        f"{folder}/dt_*.nc",
        "-o",
        str(target),
    ]
    words += ["--method", method, "--grid", "0.25", f"--bounds={bounds}", "--mask", str(TRUTH)]
    if options.epochs is not None and method != "oi":
        words += ["--epochs", str(options.epochs)]
    if options.period is not None:
        words += ["--period", options.period]
    start = time.perf_counter()
    subprocess.run(words, check=True)
    return xr.load_dataset(target), time.perf_counter() - start


def speed() -> str:
    """Millions of points a second, there and back, in single precision."""
    random = torch.Generator().manual_seed(0)
    date, row, column = (torch.rand(POINTS, generator=random) * (extent - 1) for extent in SHAPE)
    at = find_corners(date.long(), row, column, torch.ones(SHAPE[1:], dtype=torch.bool), SHAPE[0])
    maps = torch.randn(int(np.prod(SHAPE)), generator=random)
    start = time.perf_counter()
    values = to_points(maps, at)
    middle = time.perf_counter()
    to_cells(values, at, maps.numel())
    there, back = middle - start, time.perf_counter() - middle
    rate = POINTS / 1e6
    return f"{rate} million points: {rate / there:.0f} million a second, the adjoint {rate / back:.0f}"


def main() -> None:
    """Print a line of Markdown a method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", default=METHODS, metavar="METHOD")
    parser.add_argument("--bounds", metavar="LAT0,LAT1,LON0,LON1", help="centres of cells; default all")
    parser.add_argument("--period", metavar="START/END")
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    truth = xr.load_dataset(TRUTH).adt
    every = truth[:, ::2, ::2]
    noise = MISSIONS[FLYING[0]].noise * np.random.default_rng(1).standard_normal(every.shape)
    lat, lon = (every[name].to_numpy().astype(float) for name in ("latitude", "longitude"))
    bounds = options.bounds or f"{lat[0]},{lat[-1]},{lon[0]},{lon[-1]}"
    print("| method | delivered | RMSE cm | within 1 sigma | RMSE cm, tracks | within 1 sigma, tracks | s |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        write_tracks(truth, Path(name))
        for method in options.methods:
            found, seconds = filled(method, Path(name), bounds, options)
            mean, error = (found[f"sla_unfiltered_{part}"] for part in ("analysis", "error"))
            known, measured = (
                part.sel(time=found.time)
                .sel(latitude=found.latitude, longitude=found.longitude, method="nearest")
                .to_numpy()
                for part in (every, every + noise)
            )
            sigma = error.to_numpy()
            known[np.isnan(sigma)] = measured[np.isnan(sigma)] = np.nan
            shares = coverage(mean.to_numpy(), sigma, measured), found.attrs["held_out_coverage_1sigma"]
            errors = rmse(mean.to_numpy(), known), found.attrs["held_out_rmse"]
            line = [
                f"{100 * part:.2f} | {100 * share:.1f} %" for part, share in zip(errors, shares, strict=True)
            ]
            print(
                f"| {method} | {found.attrs['delivered']} | {' | '.join(line)} | {seconds:.0f} |", flush=True
            )
    print(speed())


if __name__ == "__main__":
    main()
