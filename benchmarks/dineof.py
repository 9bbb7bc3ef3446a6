"""How good and how fast DINEOF is on the sea level of the Mediterranean, with up to 30 modes.

    python benchmarks/dineof.py

The Fortran program takes 65 s and has an RMSE of 1.756 cm there. The last line is the time as a multiple of
that of one full SVD of the same matrix, made in the same run: a number that another machine has too.
The real field does not ship: its folder is OCEANFILL_SHARED, or ../shared/data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from fill_cases import SHARED
from oceanfill.pipeline.classical.dineof import decompose, estimate_from_eofs
from oceanfill.pipeline.holdout.scores import coverage, rmse
from oceanfill.pipeline.io.field import open_field


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def main() -> None:
    """Print score and times."""
    field = open_field(SHARED / "med_heldout_input.nc")
    truth = xr.load_dataset(SHARED / "med_heldout_truth.nc").adt.to_numpy()
    truth = np.where(field.sea, truth, np.nan)
    eofs, seconds = timed(lambda: decompose([field], modes=30))
    mean, error = estimate_from_eofs(field, eofs)
    matrix = np.nan_to_num(field.values[:, field.sea].astype(np.float64))
    _, reference = timed(lambda: np.linalg.svd(matrix, full_matrices=False))
    print(f"{len(eofs.singular)} modes of {len(eofs.cross_validation)} tried, {seconds:.1f} s")
    print(f"RMSE {100 * rmse(mean, truth):.3f} cm, within 1 sigma {100 * coverage(mean, error, truth):.1f} %")
    print(f"one full SVD {reference:.2f} s; ratio {seconds / reference:.1f}")


if __name__ == "__main__":
    main()
