"""4DVarNet and other methods on sea level: between the tracks of four altimeters, or under clouds.

    python benchmarks/altimeters.py [tracks|clouds [EPOCHS [NOISE]]]

The tracks are drawn from DUACS maps of the Levantine Basin, which are the truth between them; NOISE, in
metres, is added to each cell seen. A network is trained for as many EPOCHS (10). The table is left in
runs/altimeters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr
from oceanfill.pipeline.cli import main as cli
from oceanfill.pipeline.simulators.altimetry import MISSIONS, find_observed_cells

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDER = Path("runs/altimeters")
METHODS = "4dvarnet,unet,convlstm,oi,dineof"
NADIRS = "jason", "sentinel-3a", "saral", "cryosat-2"


def tracks(noise: float) -> tuple[Path, Path]:
    """Files of what four nadir altimeters see of the maps, and of what they do not."""
    maps = xr.load_dataset(SHARED / "duacs_med_adt_2005q2.nc")[["adt"]].sel(
        latitude=slice(32, 36), longitude=slice(20, 34)
    )
    days = (maps.time - maps.time[0]) / np.timedelta64(1, "D")
    seen = find_observed_cells(maps.latitude, maps.longitude, days, [MISSIONS[name] for name in NADIRS])
    errors = noise * np.random.default_rng(0).standard_normal(seen.shape)
    files = FOLDER / "tracks.nc", FOLDER / "between.nc"
    mask = maps.adt.notnull().any("time").astype(np.int8).rename("mask")
    maps.assign(adt=(maps.adt + errors.astype(np.float32)).where(seen), mask=mask).to_netcdf(files[0])
    maps.where(~seen).to_netcdf(files[1])
    print(f"the tracks see {100 * float(seen[:, mask == 1].mean()):.1f} % of the sea a day")
    return files


def main() -> None:
    """Print a table."""
    case, epochs, noise = (*sys.argv[1:], *("tracks", "10", "0")[len(sys.argv) - 1 :])
    FOLDER.mkdir(parents=True, exist_ok=True)
    if case == "tracks":
        gappy, truth = tracks(float(noise))
    else:
        gappy, truth = (SHARED / f"med_heldout_{part}.nc" for part in ("input", "truth"))
    words = ["compare", str(gappy), "--truth", str(truth), "--holdout", case, "--methods", METHODS]
    cli.main([*words, "--epochs", epochs, "-o", str(FOLDER / f"{case}_table")])


if __name__ == "__main__":
    main()
