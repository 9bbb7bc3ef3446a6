"""Networks that predict a field from tiles of the filtered stream function (Bolton and Zanna 2019)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ....models.momentum import SIDE, BoltonZanna
from ...training.trainer import History
from ..options import TrainingOptions
from ..training import Regression, build_with_seed, fit, make_loader, save_network
from .data import FilteredRun, Region, cut_tiles, merge_tiles

_BATCH = 2000  # tiles of a prediction
_VALIDATION_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class TileOptions(TrainingOptions):
    """Options of networks of tiles.

    Parameters
    ----------
    tile_every
        Points from one training tile to the next.
    contrast
        Factor of the standardised inputs after their tile mean is removed; by default neither is done.
    mirror
        Whether the north-south mirror images of the training fields are added.
    """

    tile_every: int = 40
    contrast: float | None = None
    mirror: bool = False


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the training values."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network with the scales of its input and its target."""

    network: nn.Module
    input_scale: Scale
    target_scale: Scale
    error: float  # least validation mean square error of all epochs, of standardised values
    contrast: float | None = None

    def predict_region(
        self, run: FilteredRun, dates: slice, region: Region, cells: int, stride: int, device: str
    ) -> Tensor:
        """Predict a region of a basin (date, y, x), with tiles that extend beyond it."""
        extended, inside = extend_region(region, cells, stride)
        return self.predict(run.select(dates, extended).psi, stride, device)[inside]

    @torch.no_grad()
    def predict(self, psi: Tensor, stride: int, device: str) -> Tensor:
        """Predict fields (date, y, x), averaging the predictions of tiles every ``stride`` points."""
        network, shape = self.network.to(device), (psi.shape[1], psi.shape[2])
        fields = []
        for dates in psi.split(max(1, _BATCH // len(cut_tiles(psi[:1], stride)))):
            inputs = standardise_tiles(cut_tiles(dates.to(device), stride), self.input_scale, self.contrast)
            fields.append(merge_tiles(network(inputs), shape, stride).cpu())
        return torch.cat(fields) * self.target_scale.deviation + self.target_scale.mean


def extend_region(region: Region, cells: int, stride: int) -> tuple[Region, tuple[slice, slice, slice]]:
    """Extend a region by half a tile on each side, up to the walls; also locate it in there (date, y, x).

    Otherwise points at its edge would lie in few tiles, and at the edge of these.
    """
    start, size, inside = [], [], [slice(None)]
    for first, count in (region[:2], region[2:]):
        before = min(SIDE // 2, first - 1) // stride * stride
        after = min(SIDE // 2, cells - first - count) // stride * stride
        start.append(first - before)
        size.append(before + count + after)
        inside.append(slice(before, before + count))
    return (start[0], size[0], start[1], size[1]), (inside[0], inside[1], inside[2])


def compute_scale(values: Tensor) -> Scale:
    """Compute the mean and the standard deviation of all values."""
    return Scale(float(values.double().mean()), float(values.double().std()))


def standardise_tiles(psi: Tensor, scale: Scale, contrast: float | None) -> Tensor:
    """Standardise tiles of the stream function (batch, 1, y, x), as published.

    With ``contrast`` the mean of each tile, which does not matter for the flow, is removed and the rest
    multiplied: the relevant gradients are small relative to the range of psi in the basin.
    """
    standard = (psi - scale.mean) / scale.deviation
    return standard if contrast is None else contrast * (standard - standard.mean((-2, -1), keepdim=True))


def append_mirrored(field: Tensor, sign: int) -> Tensor:
    """Append to fields (date, y, x) those of the flow with north and south exchanged.

    The equations are invariant with psi -> -psi: ``sign`` is -1 for psi and S_y, 1 for S_x.
    """
    return torch.cat([field, sign * field.flip(1)])


def remove_mean(prediction: Tensor) -> Tensor:
    """Remove the mean of each date from fields (date, y, x), in double precision (variant C)."""
    return prediction.double() - prediction.double().mean((-2, -1), keepdim=True)


def train_network(
    path: Path,
    psi: tuple[Tensor, Tensor],
    target: tuple[Tensor, Tensor],
    options: TileOptions,
    *,
    sign: int,
    centred: bool = False,
    without_mean: bool = False,
) -> TrainedNetwork:
    """Train a network on the first and validate it on the second of fields (date, y, x); save it in ``path``.

    Both are cut into tiles and standardised with the scale of the training part. ``centred`` removes the mean
    of each tile in the network (variant A), ``without_mean`` from the targets (variant B); ``sign`` is that
    of the target in `append_mirrored`.
    """
    if options.mirror:
        psi = append_mirrored(psi[0], -1), psi[1]
        target = append_mirrored(target[0], sign), target[1]
    input_scale, target_scale = compute_scale(psi[0]), compute_scale(target[0])
    if centred or without_mean:
        target_scale = Scale(0.0, target_scale.deviation)

    def make_tile_loader(part: int, batch: int) -> torch.utils.data.DataLoader[tuple[Tensor, Tensor]]:
        inputs = standardise_tiles(cut_tiles(psi[part], options.tile_every), input_scale, options.contrast)
        targets = (cut_tiles(target[part], options.tile_every) - target_scale.mean) / target_scale.deviation
        if without_mean:
            targets = targets - targets.mean((-2, -1), keepdim=True)
        return make_loader(inputs, targets, batch, shuffle=part == 0)

    network = build_with_seed(partial(BoltonZanna, centred), options.seed)
    history = History()
    task = fit(
        Regression(network, options.learning_rate),
        make_tile_loader(0, options.batch),
        make_tile_loader(1, _VALIDATION_BATCH),
        options,
        history,
        name=path.stem,
    )
    settings = {
        "centred": centred,
        "input_scale": asdict(input_scale),
        "target_scale": asdict(target_scale),
        "contrast": options.contrast,
    }
    save_network(path, task.network, settings)
    error = min(epoch["error"] for epoch in history.epochs)
    return TrainedNetwork(task.network, input_scale, target_scale, error, options.contrast)
