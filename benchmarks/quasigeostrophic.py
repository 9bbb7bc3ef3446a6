"""How fast the two-layer model steps, compared with pyqg-jax from the same state, in double precision.

    python benchmarks/quasigeostrophic.py [STEPS]

The three take turns; the best of three counts. Prints seconds for 1000 steps, their ratio, and those of a
batch of eight members, which pyqg-jax would step one by one. Needs `pip install '.[peer]'`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import jax
import torch
from oceanfill.pipeline.simulators.two_layer import TwoLayer

jax.config.update("jax_enable_x64", True)

from pyqg_jax import state as states  # noqa: E402  # double precision has to be asked for first
from pyqg_jax.qg_model import QGModel  # noqa: E402
from pyqg_jax.steppers import AB3Stepper, SteppedModel  # noqa: E402

DT = 1800.0  # s


def main() -> None:
    """Print a line a grid."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print("| cells | ours, s / 1000 steps | pyqg-jax | ratio | ours, eight members |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for cells in (64, 128):
        runs = [ours(cells, 1, steps), theirs(cells, steps), ours(cells, 8, steps)]
        taken = [[seconds(run) for run in runs] for _ in range(3)]
        one, peer, eight = (min(found) * 1000 / steps for found in zip(*taken, strict=True))
        print(f"| {cells} | {one:.2f} | {peer:.2f} | {one / peer:.2f} | {eight:.2f} |", flush=True)


def ours(cells: int, members: int, steps: int) -> Callable[[], object]:
    """What steps our model."""
    model = TwoLayer(cells=cells, dtype=torch.float64, dt=DT)
    state = model.advance(model.start(members), 3)
    return lambda: model.advance(state, steps)


def theirs(cells: int, steps: int) -> Callable[[], object]:
    """What steps pyqg-jax, compiled, from our state."""
    state = TwoLayer(cells=cells, dtype=torch.float64).start(1)[0][0].numpy()
    peer = SteppedModel(QGModel(nx=cells, precision=states.Precision.DOUBLE), AB3Stepper(dt=DT))
    first = peer.initialize_stepper_state(peer.model.create_initial_state(jax.random.key(0)).update(qh=state))
    run = jax.jit(lambda state: jax.lax.scan(lambda s, _: (peer.step_model(s), None), state, length=steps)[0])
    jax.block_until_ready(run(first))
    return lambda: jax.block_until_ready(run(first))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
