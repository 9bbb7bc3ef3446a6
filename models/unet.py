"""U-Net (Ronneberger, Fischer and Brox 2015, arXiv 1505.04597) for fields of any size.

Ours to differ: padded convolutions, so that the output has the input's size; residual blocks (He et al. 2015,
arXiv 1512.03385); normalisation over the channels of each pixel, so that a patch and the whole domain give
the same values; a last layer that starts at zero, so that an untrained network changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity: (batch, inputs, y, x) to (batch, outputs, y, x)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(outputs, 1, 1))
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.across = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(x)
        # Root mean square over the channels of each pixel (Zhang and Sennrich 2019, arXiv 1910.07467).
        inner = self.scale * inner * torch.rsqrt(inner.square().mean(1, keepdim=True) + 1e-6)
        return self.across(x) + self.second(functional.silu(inner))


class UNet(nn.Module):
    """(batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    ``widths`` are the channels of the levels, from the full resolution down; each level halves the grid.
    """

    def __init__(self, inputs: int, outputs: int = 2, widths: Sequence[int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.down = nn.ModuleList(
            ResidualBlock(above, width) for above, width in zip((inputs, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            ResidualBlock(below + width, width)
            for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(widths[0], outputs, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        unit = 2 ** len(self.up)
        x = functional.pad(x, (0, -columns % unit, 0, -rows % unit))
        skips = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = functional.avg_pool2d(x, 2)
        x = self.down[-1](x)
        for block in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([x, skips.pop()], dim=1))
        return self.head(x)[..., :rows, :columns]
