"""What a training step takes: plain or compiled, in float32 or bfloat16, and how much of it waits for data.

    python benchmarks/training_step.py [NETWORK ...]

Batches of 8 patches of 64 x 64 cells of five dates, as `fill` trains on; without arguments the default
network, the ConvLSTM U-Net and DINCAE 2. On a GPU batches are of 64, and the last column is the share of the
speed of a bfloat16 matrix product that the same run measures there.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from oceanfill.pipeline.training.data import Patches
from oceanfill.pipeline.training.features import NetworkInputs, StaticFeatures
from oceanfill.pipeline.training.networks import NETWORKS
from oceanfill.pipeline.training.tasks import Correction
from torch.utils.flop_counter import FlopCounterMode

SHAPE, SIDE, WINDOW = (60, 256, 256), 64, 5
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, STEPS, WARM_UP = (64, 100, 10) if DEVICE == "cuda" else (8, 12, 3)


def synchronised() -> float:
    """The time, when the device has done what it was asked."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak() -> float:
    """Floating-point operations a second of a product of large bfloat16 matrices."""
    size = 8192 if DEVICE == "cuda" else 1024
    a = torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16)
    a @ a
    start = synchronised()
    for _ in range(10):
        a @ a
    return 10 * 2 * size**3 / (synchronised() - start)


def measured(name: str, patches: Patches, compiled: bool, half: bool) -> tuple[float, float, float]:
    """Patches a second, the share of the time that waits for data, operations a second."""
    torch.manual_seed(0)
    task = Correction(NETWORKS[name], window=WINDOW).to(DEVICE)
    task.log = lambda *given, **how: None  # there is no trainer
    if compiled:
        task.network.compile()
    optimiser = torch.optim.AdamW(task.parameters())

    def step(batch: tuple[torch.Tensor, ...]) -> None:
        optimiser.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
            loss = task.training_step(tuple(part.to(DEVICE) for part in batch), 0)
        loss.backward()
        optimiser.step()

    operations, waited = 0.0, 0.0
    start = mark = synchronised()
    for number, batch in enumerate(patches.loader(BATCH)):
        ready = synchronised()
        if number == 0 and not compiled:
            with FlopCounterMode(display=False) as counter:
                step(batch)
            operations = counter.get_total_flops()
        else:
            step(batch)
        if number < WARM_UP:
            start, waited = synchronised(), 0.0
        else:
            waited += ready - mark
        mark = synchronised()
        if number == WARM_UP + STEPS - 1:
            break
    seconds = (mark - start) / (number + 1 - WARM_UP)
    return BATCH / seconds, waited / (mark - start), operations / seconds


def main() -> None:
    """Print a line of Markdown a network and setting."""
    rng = np.random.default_rng(0)
    scene = NetworkInputs(
        *(torch.from_numpy(rng.random((1, *SHAPE), np.float32)) for _ in NetworkInputs.__dataclass_fields__)
    )
    around = StaticFeatures(torch.zeros(3, *SHAPE[1:]), torch.zeros(SHAPE[0], 2))
    patches = Patches([scene], around, WINDOW, SIDE, 0.0)
    best = peak()
    print(f"{DEVICE}: a product of bfloat16 matrices has {best / 1e12:.3g} Tflop/s")
    print("| network | | patches/s | waits for data | of bfloat16's peak |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name in sys.argv[1:] or ("unet", "convlstm-unet", "dincae2"):
        for half in (False, True):
            done = 0.0
            for compiled in (False, True):
                speed, waits, work = measured(name, patches, compiled, half)
                done = work / speed if work else done
                share = 100 * done * speed / best
                how = f"{'compiled' if compiled else 'plain'}, {'bfloat16' if half else 'float32'}"
                print(f"| {name} | {how} | {speed:.0f} | {100 * waits:.1f} % | {share:.1f} % |")


if __name__ == "__main__":
    main()
