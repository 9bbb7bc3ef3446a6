"""U-Net (Ronneberger, Fischer and Brox 2015, arXiv 1505.04597) for fields of any size.

Differences here: padded convolutions, so the output has the size of the input; residual blocks (He et al.
2015, arXiv 1512.03385); normalisation over the channels of each pixel, so a patch and the whole domain give
the same values; a last layer that starts at zero, so an untrained network changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .head import zero_weights


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions in parallel with the identity: (batch, inputs, y, x) to (batch, outputs, y, x).

    ``norm``, between them, is ``rms``, the root mean square over the channels of each pixel (Zhang and
    Sennrich 2019, arXiv 1910.07467), ``batch`` or ``none``. Raises ValueError for another norm.
    """

    def __init__(self, inputs: int, outputs: int, norm: str = "rms") -> None:
        super().__init__()
        if norm not in ("rms", "batch", "none"):
            raise ValueError(f"norm {norm!r} is not one of rms, batch, none")
        self.scale = nn.Parameter(torch.ones(outputs, 1, 1)) if norm == "rms" else None
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.batch = nn.BatchNorm2d(outputs) if norm == "batch" else nn.Identity()
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.across = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.batch(self.first(x))
        if self.scale is not None:
            # In channels-last memory the channels of a pixel are contiguous: moving the axis copies nothing.
            inner = functional.rms_norm(
                inner.movedim(1, -1), self.scale.shape[:1], self.scale.flatten(), eps=1e-6
            ).movedim(-1, 1)
        return self.across(x) + self.second(functional.silu(inner))


class AttentionGate(nn.Module):
    """Attention gate for skips (Oktay et al. 2018, arXiv 1804.03999): weights (batch, 1, y, x) in [0, 1].

    The weights depend on a skip (batch, skip, y, x) and the signal (batch, signal, y, x) from below.
    Difference here: the signal is upsampled to the grid of the skip, where the paper downsamples the skip.
    """

    def __init__(self, skip: int, signal: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(skip, skip, 1, bias=False)
        self.of_signal = nn.Conv2d(signal, skip, 1)
        self.weight = nn.Conv2d(skip, 1, 1)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        return torch.sigmoid(self.weight(functional.relu(self.of_skip(skip) + self.of_signal(signal))))


class UNet(nn.Module):
    """U-Net: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    ``widths`` are the channels of the levels, from the finest down; each level halves the grid. ``norm`` is
    that of the `ResidualBlock`. ``up`` is the upsampling: ``nearest``, ``bilinear`` or ``transposed`` (a
    convolution of stride 2). ``attention`` adds an `AttentionGate` to each skip. ``skips`` are joined to the
    signal from below with ``concatenate``, or with ``added``, after a convolution to the same width, which is
    nearly twice as fast. With ``fold`` above one the network works on a grid coarser by that factor, with the
    cells of each square as channels (Shi et al. 2016, arXiv 1609.05158), which widens its reach and lowers
    its cost. Raises ValueError for any other norm, up or skips, and for a fold below one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        widths: Sequence[int] = (16, 32, 64, 96),
        norm: str = "rms",
        up: str = "nearest",
        attention: bool = False,
        skips: str = "concatenate",
        fold: int = 1,
    ) -> None:
        super().__init__()
        if fold < 1:
            raise ValueError(f"fold must be at least 1, not {fold}")
        inputs, outputs, self.fold = inputs * fold**2, outputs * fold**2, fold
        if skips not in ("concatenate", "added"):
            raise ValueError(f"skips {skips!r} is not one of concatenate, added")
        self.added = skips == "added"
        upwards = list(pairwise(widths[::-1]))  # channels of a level and of the one above
        self.down = nn.ModuleList(
            ResidualBlock(above, width, norm) for above, width in pairwise((inputs, *widths))
        )
        self.narrow = nn.ModuleList(nn.Conv2d(below, width, 1) for below, width in upwards if self.added)
        if self.added:
            upwards = [(width, width) for _, width in upwards]
        self.up = nn.ModuleList(
            ResidualBlock(width if self.added else below + width, width, norm) for below, width in upwards
        )
        self.enlarge = nn.ModuleList(_make_upsampling(up, below) for below, _ in upwards)
        self.gates = nn.ModuleList(AttentionGate(width, below) for below, width in upwards if attention)
        self.head = zero_weights(nn.Conv2d(widths[0], outputs, 1))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Compute the features of each level, from the finest down, on a padded grid."""
        x = pad_to_multiple(x, self.fold * 2 ** len(self.up))
        levels = [self.down[0](functional.pixel_unshuffle(x, self.fold))]
        for block in self.down[1:]:
            levels.append(block(functional.avg_pool2d(levels[-1], 2)))
        return levels

    def decode(self, levels: list[Tensor]) -> Tensor:
        """Compute the output (batch, outputs, y, x), on the padded grid, from the features of each level."""
        *skips, x = levels
        for number, (enlarge, block) in enumerate(zip(self.enlarge, self.up, strict=True)):
            x, skip = enlarge(self.narrow[number](x) if self.added else x), skips.pop()
            if self.gates:
                skip = skip * self.gates[number](skip, x)
            x = block(x + skip if self.added else torch.cat([x, skip], dim=1))
        return functional.pixel_shuffle(self.head(x), self.fold)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        return self.decode(self.encode(x))[..., :rows, :columns]


def pad_to_multiple(x: Tensor, unit: int) -> Tensor:
    """Pad (..., y, x) with zeros after the last row and column, up to multiples of ``unit`` cells."""
    rows, columns = x.shape[-2:]
    return functional.pad(x, (0, -columns % unit, 0, -rows % unit))


def _make_upsampling(up: str, width: int) -> nn.Module:
    """Build a layer from (batch, width, y, x) to (batch, width, 2 y, 2 x)."""
    if up == "transposed":
        return nn.ConvTranspose2d(width, width, 2, stride=2)
    if up in ("nearest", "bilinear"):
        return nn.Upsample(scale_factor=2, mode=up)
    raise ValueError(f"up {up!r} is not one of nearest, bilinear, transposed")
