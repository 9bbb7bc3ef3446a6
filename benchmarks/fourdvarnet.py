"""How fast 4DVarNet is as a gap filler, and what memory it takes: in three ways, in float32 and bfloat16.

    python benchmarks/fourdvarnet.py [BATCH [CELLS]]

Batches of 8 patches of 64 x 64 cells and five dates, or of 64 on a GPU. Each line is a process of its own,
and its memory what a training step adds. Recomputed, training keeps the states between iterations alone. What
is compiled is the prior, and to run it only: in training its gradient is differentiated once more, which
torch.compile cannot.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from itertools import product
from multiprocessing import get_context

import torch
from oceanfill.pipeline.training.features import count_channels
from oceanfill.pipeline.training.networks import NETWORKS, build_network

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WINDOW = 5


def least(call: Callable[[], object]) -> float:
    """The least seconds that a call takes, after one that warms up."""
    call()
    found: list[float] = []
    while sum(found) < 5:
        start = time.perf_counter()
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return min(found)


def memory() -> float:
    """The most that the process has held, GB."""
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def line(how: str, half: bool, batch: int, cells: int) -> str:
    """A row of the table."""
    torch.manual_seed(0)
    network = build_network(NETWORKS["4dvarnet"], count_channels(WINDOW), 2, WINDOW).to(DEVICE)
    x = torch.randn(batch, count_channels(WINDOW), cells, cells, device=DEVICE)
    optimiser = torch.optim.AdamW(network.parameters())
    network.assimilation.recomputed = how == "recomputed"
    if how == "compiled":
        network.assimilation.prior = torch.compile(network.assimilation.prior)

    def said() -> torch.Tensor:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
            return network(x)

    def step() -> None:
        optimiser.zero_grad()
        said().square().mean().backward()
        optimiser.step()

    trained = "", ""
    if how != "compiled":
        before = memory()
        trained = f"{batch / least(step):.1f}", f"{memory() - before:.2f}"
    network.eval()
    with torch.no_grad():
        run = least(said)
    found = f"{1e3 * run / network.assimilation.iterations:.1f}", f"{batch / run:.1f}", *trained
    return f"| {' | '.join((how, 'bfloat16' if half else 'float32', *found))} |"


def main() -> None:
    """Print the table."""
    usual = "64" if DEVICE == "cuda" else "8", "64"
    sizes = [int(word) for word in (*sys.argv[1:], *usual[len(sys.argv) - 1 :])]
    print(f"{DEVICE}, {torch.get_num_threads()} threads")
    print("| | | ms an iteration | patches/s | patches/s in training | GB in training |")
    print("| --- | --- | ---: | ---: | ---: | ---: |", flush=True)
    for how, half in product(("eager", "recomputed", "compiled"), (False, True)):
        with get_context("spawn").Pool(1) as pool:
            print(pool.apply(line, (how, half, *sizes)), flush=True)


if __name__ == "__main__":
    main()
