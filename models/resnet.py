"""Residual networks as flows (Rousseau, Drumetz and Fablet 2019, doi:10.1007/s10851-019-00890-3).

A residual block is one step of dz/dt = v(z, t) for the features z of the field. If every block has its own
weights, the velocity v depends on time; if they are shared, it does not, and the network is the exponential
of one velocity field.

Differences here: the step length is 1 / steps (explicit Euler over one unit of time), so with more steps of
one velocity the network converges to its flow; one convolution computes the features, and another, which
starts at zero, the output.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .head import zero_weights
from .unet import pad_to_multiple


class ResNet(nn.Module):
    """Residual network: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    The flow has ``steps`` steps on ``width`` features. Each consists of two 3 x 3 convolutions, whose weights
    are ``shared`` by all steps or not. With ``fold`` above one all layers work on a coarser grid, as in
    `UNet`. Raises ValueError for a fold below one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        width: int = 32,
        steps: int = 8,
        shared: bool = False,
        fold: int = 1,
    ) -> None:
        super().__init__()
        if fold < 1:
            raise ValueError(f"fold must be at least 1, not {fold}")
        self.steps, self.fold = steps, fold
        self.lift = nn.Conv2d(inputs * fold**2, width, 3, padding=1)
        self.velocities = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
            )
            for _ in range(1 if shared else steps)
        )
        self.head = zero_weights(nn.Conv2d(width, outputs * fold**2, 1))

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        x = self.lift(functional.pixel_unshuffle(pad_to_multiple(x, self.fold), self.fold))
        for step in range(self.steps):
            x = x + self.velocities[step % len(self.velocities)](x) / self.steps
        return functional.pixel_shuffle(self.head(x), self.fold)[..., :rows, :columns]
