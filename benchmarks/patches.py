"""How fast patches are made and put together, against xbatcher on dask and a copy of the same bytes.

    python benchmarks/patches.py

Patches: what a network is trained on (window, errors, mask, position, season, targets), 64 x 64 cells of five
dates, in random order. xbatcher gives only raw values, of 16 dates. Stitching: means and variances of 49
overlapping patches of 365 dates x 64 x 64 cells into 365 x 256 x 256, against a copy of the same bytes. Last,
the share of a training step of the default network that waits for its batch. All on one thread, in seconds of
the processor: what else runs on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import dask
import numpy as np
import torch
import xarray as xr
from oceanfill.pipeline.training.data import Patches, PatchSampler
from oceanfill.pipeline.training.features import NetworkInputs, StaticFeatures
from oceanfill.pipeline.training.patches import blend_patches, list_patches
from oceanfill.pipeline.training.tasks import Correction

SHAPE, SIDE, BATCH = (365, 256, 256), 64, 8


def rate(work: Callable[[int], object], number: int) -> float:
    """Calls a second."""
    work(0)
    start = time.process_time()
    for k in range(number):
        work(k)
    return number / (time.process_time() - start)


def main() -> None:
    """Print a line a question."""
    torch.set_num_threads(1)
    dask.config.set(scheduler="synchronous")
    rng = np.random.default_rng(0)
    field, hidden = rng.standard_normal(SHAPE, np.float32), rng.random(SHAPE) < 0.2
    scene = NetworkInputs(
        *(torch.from_numpy(np.float32(part)) for part in 4 * [field[None]] + [hidden[None]])
    )
    around = StaticFeatures(torch.zeros(3, *SHAPE[1:]), torch.zeros(SHAPE[0], 2))
    patches = Patches([scene], around, 5, SIDE, 0.0)
    numbers = list(PatchSampler(patches))
    batches = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
    ours = BATCH * rate(lambda k: patches.__getitems__(batches[k % len(batches)]), 500)
    print(f"patches with features: {ours:.0f}/s (bar 5000)")
    try:
        import xbatcher
    except ImportError:
        print("xbatcher is not installed; pip install xbatcher")
    else:
        whole = xr.Dataset({"sst": (("time", "lat", "lon"), field)}).chunk(time=16)
        made = xbatcher.BatchGenerator(whole, {"time": 16, "lat": SIDE, "lon": SIDE})
        theirs = rate(lambda k: made[7 * k % len(made)].load(), 50)
        print(f"xbatcher on dask, raw: {theirs:.0f}/s; ours {ours / theirs:.0f} times as many (bar 20)")

    mean, variance = torch.randn(SHAPE[0], SIDE, SIDE), torch.rand(SHAPE[0], SIDE, SIDE)
    overlap = SIDE // 2
    number = len(list(list_patches(SHAPE[1:], SIDE, overlap)))
    target = torch.zeros(number, 2, *mean.shape)
    start = time.process_time()
    for place in target:
        place[0], place[1] = mean, variance
    copy = time.process_time() - start
    start = time.process_time()
    blend_patches(lambda y, x: (mean, variance), SHAPE, SIDE, overlap)
    seconds = time.process_time() - start
    print(f"stitching {number} patches: {seconds:.2f} s, {copy / seconds:.2f} of a copy's speed (bar 0.3)")

    task = Correction(window=5)
    task.log = lambda *given, **how: None  # there is no trainer
    optimiser = torch.optim.AdamW(task.parameters())
    waited = trained = 0.0
    mark = time.process_time()
    for step, batch in enumerate(patches.loader(BATCH)):
        ready = time.process_time()
        optimiser.zero_grad()
        task.training_step(batch, step).backward()
        optimiser.step()
        done = time.process_time()
        if step >= 5:
            waited, trained = waited + ready - mark, trained + done - ready
        mark = done
        if step == 60:
            break
    print(f"training step: {100 * waited / (waited + trained):.1f} % of it waiting for data (bar 5)")


if __name__ == "__main__":
    main()
