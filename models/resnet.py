"""Residual networks as flows (Rousseau, Drumetz and Fablet 2019, doi:10.1007/s10851-019-00890-3).

A residual block is one step of dz/dt = v(z, t) on the features z of the field. With weights of its own in
every block the velocity v depends on time; with shared weights it does not, and the network is the
exponential of one velocity field.

Ours to differ: a step of length 1 / steps (explicit Euler over a unit of time), so that more steps of one
velocity converge to its flow; a convolution into the features, and one out of them that starts at zero.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .head import zero_weights
from .unet import pad_to_multiple


class ResNet(nn.Module):
    """(batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    ``steps`` of the flow on ``width`` features, each of two 3 x 3 convolutions, whose weights are the same in
    all (``shared``) or not. With ``fold`` above one all of it is on a coarser grid, as a `UNet` is. Raises
    ValueError for a fold below one.
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
            raise ValueError(f"a fold of {fold} is below one")
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
