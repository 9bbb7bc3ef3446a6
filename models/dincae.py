"""DINCAE, the convolutional auto-encoder that estimates its own error.

Version 1 (Barth et al. 2020, doi:10.5194/gmd-13-1609-2020) and version 2 (Barth et al. 2022,
doi:10.5194/gmd-15-2183-2022). Differences here: the last layer starts at zero; the inputs are those of every
network in this package, anomaly and log error, where DINCAE has anomaly over variance and inverse variance;
the outputs differ likewise (see `head.read_gaussian`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .convolutional_recurrent import count_channels_per_date, split_dates
from .head import zero_weights


class AutoEncoder(nn.Module):
    """Convolutional auto-encoder: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    With 3 ``dimensions`` its images are (batch, inputs, dates, y, x), and dates are convolved but never
    pooled. Each level consists of a 3 x 3 convolution to its width, pooling of 2 x 2 cells, the levels below,
    upsampling and a 3 x 3 convolution back. From the second level down the input of a level is added to its
    output; with ``concatenate`` it enters the convolution back instead, at every level. ``pooling`` is "mean"
    or "max", ``upsampling`` "nearest" or "bilinear". ``slope`` is the negative slope of the leaky ReLU;
    ``bottom`` is applied at the deepest level. Raises ValueError for other kinds of pooling and upsampling.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        dimensions: int = 2,
        concatenate: bool = False,
        slope: float = 0.0,
        bottom: nn.Module | None = None,
        pooling: str = "mean",
        upsampling: str = "nearest",
    ) -> None:
        super().__init__()
        if pooling not in ("mean", "max") or upsampling not in ("nearest", "bilinear"):
            raise ValueError(
                f"pooling must be mean or max, not {pooling!r}, and upsampling nearest or bilinear, not "
                f"{upsampling!r}"
            )
        self.concatenate, self.slope = concatenate, slope
        flat = dimensions == 2
        convolution = nn.Conv2d if flat else nn.Conv3d
        self.pool = functional.avg_pool2d if pooling == "mean" else functional.max_pool2d
        linear = upsampling if flat or upsampling == "nearest" else "trilinear"
        self.enlarge = nn.Upsample(scale_factor=2 if flat else (1, 2, 2), mode=linear)
        levels = list(pairwise((inputs, *widths)))
        self.down = nn.ModuleList(convolution(above, width, 3, padding=1) for above, width in levels)
        self.bottom = bottom or nn.Identity()
        self.up = nn.ModuleList(
            convolution(width + above * concatenate, above, 3, padding=1) for above, width in levels[:0:-1]
        )
        self.head = zero_weights(convolution(widths[0] + inputs * concatenate, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for convolution in self.down:
            skips.append(x)
            x = self._shrink(self._activate(convolution(x)))
        x = self.bottom(x)
        for convolution in self.up:
            skip = skips.pop()
            x = self._activate(convolution(self._join_above(x, skip)))
            x = x if self.concatenate else x + skip
        return self.head(self._join_above(x, skips.pop()))

    def _activate(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x, self.slope)

    def _join_above(self, x: Tensor, skip: Tensor) -> Tensor:
        """Upsample to the grid of the level above and, if ``concatenate``, append that level's input."""
        rows, columns = skip.shape[-2:]
        x = self.enlarge(x)[..., :rows, :columns]
        return torch.cat([x, skip], dim=1) if self.concatenate else x

    def _shrink(self, x: Tensor) -> Tensor:
        """Pool 2 x 2 cells of (..., y, x), fewer at an odd end."""
        shrunk = self.pool(x.flatten(1, -3), 2, ceil_mode=True)
        return shrunk.reshape(*x.shape[:-2], *shrunk.shape[-2:])


class DINCAE1(AutoEncoder):
    """Version 1: (batch, inputs, y, x) to (batch, outputs, y, x), only for y, x = ``shape``.

    Skips are concatenated at every level. At the deepest level two dense layers with dropout, from all its
    numbers to a fifth of them and back, connect the whole domain. The slope of the leaky ReLU is that of the
    authors' code, TensorFlow's default. Calling it raises ValueError for another shape.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        shape: tuple[int, int] = (64, 64),
        widths: Sequence[int] = (16, 24, 36, 54),
        dropout: float = 0.3,
        pooling: str = "mean",
        upsampling: str = "nearest",
    ) -> None:
        rows, columns = (-(-extent // 2 ** len(widths)) for extent in shape)
        size = widths[-1] * rows * columns
        fifth = max(size // 5, 1)
        dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(size, fifth),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(fifth, size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Unflatten(1, (widths[-1], rows, columns)),
        )
        super().__init__(
            inputs,
            outputs,
            widths,
            concatenate=True,
            slope=0.2,
            bottom=dense,
            pooling=pooling,
            upsampling=upsampling,
        )
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != self.shape:
            raise ValueError(
                f"this DINCAE 1 was built for {self.shape} cells, but the input has {tuple(x.shape[-2:])}; "
                "its dense layers accept one size: cut the domain into patches of that size, or use DINCAE2"
            )
        return super().forward(x)


class DINCAE2(nn.Module):
    """Version 2: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    With 3 ``dimensions`` the ``dates`` of the window are the third (see `split_dates`), and the output is
    that of the middle date. With ``refinement`` a second network of the same shape receives the first one's
    output together with the inputs. Raises ValueError for other dimensions.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        widths: Sequence[int] = (16, 24, 36, 54),
        dimensions: int = 2,
        dates: int = 5,
        refinement: bool = False,
        concatenate: bool = False,
        pooling: str = "mean",
        upsampling: str = "nearest",
        variables: int = 1,
    ) -> None:
        super().__init__()
        if dimensions not in (2, 3):
            raise ValueError(f"dimensions must be 2 or 3, not {dimensions}")
        if dimensions == 3:
            inputs = count_channels_per_date(inputs, dates, variables)
        self.dimensions, self.dates, self.variables = dimensions, dates, variables
        self.networks = nn.ModuleList(
            AutoEncoder(
                channels, outputs, widths, dimensions, concatenate, pooling=pooling, upsampling=upsampling
            )
            for channels in ([inputs, outputs + inputs] if refinement else [inputs])
        )

    def stages(self, x: Tensor) -> list[Tensor]:
        """Return the output (batch, outputs, y, x) of each network; the last one is the result.

        The authors' loss weights the two with 0.3 and 0.7.
        """
        if self.dimensions == 3:
            x = split_dates(x, self.dates, self.variables).transpose(1, 2)
        stages: list[Tensor] = []
        for network in self.networks:
            stages.append(network(torch.cat([*stages, x], dim=1)))
        return stages if self.dimensions == 2 else [stage[:, :, self.dates // 2] for stage in stages]

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x)[-1]
