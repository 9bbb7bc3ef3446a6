"""Flow matching: a velocity that carries draws of a simple distribution to those of the data.

Lipman et al. 2023 (arXiv 2210.02747), with straight paths (Liu et al. 2023, arXiv 2209.03003). Ours to
differ: the simple draws are not white noise but plausible fields, which an untrained flow leaves as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .unet import UNet


class Flow(nn.Module):
    """The velocity of a state (batch, outputs, y, x) at a time from 0 to 1.

    It knows what is seen (batch, inputs, y, x). A U-Net of ``widths`` on squares of ``fold`` x ``fold`` cells; `draw` follows it in ``steps``.
    """

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int] = (32, 64), fold: int = 2, steps: int = 4
    ) -> None:
        super().__init__()
        self.steps = steps
        self.network = UNet(inputs + outputs + 1, outputs, widths=widths, skips="added", fold=fold)

    def forward(self, state: Tensor, time: Tensor, seen: Tensor) -> Tensor:
        """(batch, outputs, y, x) the velocity at the ``time`` (batch,)."""
        clock = time[:, None, None, None].expand(-1, 1, *state.shape[2:])
        given = torch.cat([state, clock, seen], dim=1)
        velocity: Tensor = self.network(given.contiguous(memory_format=torch.channels_last))
        return velocity

    def draw(self, start: Tensor, seen: Tensor) -> Tensor:
        """Where the flow brings a state from time 0 to 1, by the midpoint rule."""
        state, step = start, 1 / self.steps
        for number in range(self.steps):
            time = torch.full((len(state),), number * step, device=state.device)
            half = state + step / 2 * self(state, time, seen)
            state = state + step * self(half, time + step / 2, seen)
        return state
