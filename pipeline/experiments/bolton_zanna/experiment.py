"""What eddies below the resolution do to a western boundary current, from the flow that is resolved.

After Bolton and Zanna 2019 (doi:10.1029/2018MS001472), in a basin that wind drives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ....models.momentum import SIDE, BoltonZanna
from ...errors import InputError
from ...training.trainer import History
from ..findings import Finding
from ..image_tasks import Reconstruction, fitted, keep, pairs
from . import figures
from .data import Box, Filtered, averaged, basin_of, changed, filtered, parts, run, tiles

_JET = 0.75  # quantile of the variance of S in training: "in the jet" are the points of region 1 above it
_AT_ONCE = 2000  # tiles that a network sees together
# The figures of the paper: correlations in the jet, final validation errors of standardised values, the mean
# that variant A makes in 1e-6 m s-2, the correlation of the layers below.
_CORRELATION = {"x": 0.9, "y": 0.8}
_ERROR = {"S_x": 0.278, "S_y": 0.160, "psi_2": 0.067}
_MEAN = {"x": -0.002, "y": -0.0005}
_BELOW = {2: 0.8, 3: 0.5}
# What makes no momentum: the last layer takes the mean of a tile away (A), or the targets have none (B).
_VARIANTS = {"A": {"centred": True}, "B": {"without_mean": True}}
_SIGN = {"x": 1, "y": -1}  # of the forcing to the east and to the north in a mirror


@dataclass(frozen=True)
class Scale:
    """A mean and a standard deviation, of values of training alone."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Learning:
    """How a network is trained."""

    epochs: int
    batch: int
    learning_rate: float
    every: int  # points from a tile of training to the next
    contrast: float | None  # see `shown`
    mirrored: bool  # every field of training its mirror image too
    seed: int
    device: str
    quiet: bool


@dataclass(frozen=True)
class Learned:
    """A trained network and what its numbers mean."""

    network: torch.nn.Module
    seen: Scale
    said: Scale
    error: float  # mean square of the standardised values of validation, the least of all epochs
    contrast: float | None = None

    def there(self, run: Filtered, dates: slice, box: Box, cells: int, stride: int, device: str) -> Tensor:
        """What it says of some dates of a part of a basin (date, y, x), by tiles that reach out of it too."""
        wide, inside = around(box, cells, stride)
        return self.predicted(run.at(dates, wide).psi, stride, device)[inside]

    @torch.no_grad()
    def predicted(self, psi: Tensor, stride: int, device: str) -> Tensor:
        """What it says of fields (date, y, x): the mean of all its tiles, one every ``stride`` points."""
        network, shape = self.network.to(device), (psi.shape[1], psi.shape[2])
        said = []
        for some in psi.split(max(1, _AT_ONCE // len(tiles(psi[:1], stride)))):
            inputs = shown(tiles(some.to(device), stride), self.seen, self.contrast)
            said.append(averaged(network(inputs), shape, stride).cpu())
        return torch.cat(said) * self.said.deviation + self.said.mean


def around(box: Box, cells: int, stride: int) -> tuple[Box, tuple[slice, slice, slice]]:
    """A part of the basin with half a tile on each side, but for walls, and where in it (date, y, x) it was.

    Without them the edge of a part is in few tiles, and at the edge of these.
    """
    start, size, inside = [], [], [slice(None)]
    for first, count in (box[:2], box[2:]):
        before = min(SIDE // 2, first - 1) // stride * stride
        after = min(SIDE // 2, cells - first - count) // stride * stride
        start.append(first - before)
        size.append(before + count + after)
        inside.append(slice(before, before + count))
    return (start[0], size[0], start[1], size[1]), (inside[0], inside[1], inside[2])


def scale(values: Tensor) -> Scale:
    """Of all values together."""
    return Scale(float(values.double().mean()), float(values.double().std()))


def shown(psi: Tensor, seen: Scale, contrast: float | None) -> Tensor:
    """What a network sees of tiles (batch, 1, y, x): standardised, as published.

    With ``contrast`` the tile's own mean is taken away, which says nothing of the flow, and the rest
    multiplied: the gradients that matter are small beside the range of psi over the basin.
    """
    standard = (psi - seen.mean) / seen.deviation
    return standard if contrast is None else contrast * (standard - standard.mean((-2, -1), keepdim=True))


def mirrored(field: Tensor, sign: int) -> Tensor:
    """Fields (date, y, x) and then those of the flow with north and south exchanged.

    The equations allow it with psi -> -psi: ``sign`` is -1 for psi and S_y, 1 for S_x.
    """
    return torch.cat([field, sign * field.flip(1)])


def learned(
    path: Path,
    psi: tuple[Tensor, Tensor],
    target: tuple[Tensor, Tensor],
    how: Learning,
    *,
    sign: int,
    centred: bool = False,
    without_mean: bool = False,
) -> Learned:
    """A network trained on the first and validated on the second of fields (date, y, x), kept in ``path``.

    Both are cut into tiles and standardised by the mean and deviation of the training part. ``centred`` takes
    the mean of each tile away in the network (variant A), ``without_mean`` from the targets (variant B);
    ``sign`` is that of the target in `mirrored`.
    """
    if how.mirrored:
        psi, target = (mirrored(psi[0], -1), psi[1]), (mirrored(target[0], sign), target[1])
    seen, said = scale(psi[0]), scale(target[0])
    if centred or without_mean:
        said = Scale(0.0, said.deviation)
    batches = []
    for field, goal, size in zip(psi, target, (how.batch, 512), strict=True):
        inputs = shown(tiles(field, how.every), seen, how.contrast)
        goals = (tiles(goal, how.every) - said.mean) / said.deviation
        if without_mean:
            goals = goals - goals.mean((-2, -1), keepdim=True)
        batches.append(pairs(inputs, goals, size, shuffle=size == how.batch))
    with torch.random.fork_rng():
        torch.manual_seed(how.seed)
        task = Reconstruction(BoltonZanna(centred), how.learning_rate)
    history = History()
    fitted(
        task,
        *batches,
        epochs=how.epochs,
        seed=how.seed,
        device=how.device,
        quiet=how.quiet,
        history=history,
    )
    options = {"centred": centred, "seen": asdict(seen), "said": asdict(said), "contrast": how.contrast}
    keep(path, task.network, options)
    error = min(epoch["error"] for epoch in history.epochs)
    return Learned(task.network, seen, said, error, how.contrast)


def correlation(said: Tensor, truth: Tensor) -> Tensor:
    """In time, at each point: (y, x) of fields (date, y, x)."""
    a, b = (values.double() - values.double().mean(0) for values in (said, truth))
    return (a * b).sum(0) / (a.square().sum(0) * b.square().sum(0)).sqrt()


def amplitude(said: Tensor, truth: Tensor, where: Tensor | None = None) -> float:
    """The standard deviation in time of fields (date, y, x) over the truth's, ``where`` (y, x) is true."""
    variances = [values.double().var(0) for values in (said, truth)]
    if where is not None:
        variances = [variance[where] for variance in variances]
    return float((variances[0].mean() / variances[1].mean()).sqrt())


def jet(target: Tensor) -> Tensor:
    """Where (y, x) the variance of a forcing (date, y, x) of training is above its 75th percentile."""
    variance = target.double().var(0)
    return variance > torch.quantile(variance, _JET)


def momentum(
    folder: Path,
    *,
    basin: dict[str, Any],
    regions: dict[str, tuple[int, int, int, int]],
    others: dict[str, dict[str, float]] | None = None,
    sigma: float = 30.0,
    spin_up: int = 3600,
    days: int = 3650,
    every: int = 1,
    shares: tuple[float, float, float] = (0.6, 0.15, 0.25),
    gap: int = 20,
    others_spin_up: int = 360,
    others_days: int = 360,
    layers: tuple[int, ...] = (2, 3),
    conserved: tuple[Literal["x", "y"], ...] = ("x", "y"),
    contrast: float | None = None,
    mirror: bool = False,
    tile_every: int = 40,
    stride: int = 2,
    tested: int = 1,
    epochs: int = 200,
    batch: int = 16,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """Networks give what eddies do to the momentum of a resolved flow, away from where they were trained too.

    ``basin`` has the options of `Basin`; ``days`` of it are kept, one state ``every`` days, and filtered by
    ``sigma`` km. Dates are cut by ``shares`` into training, validation and test, ``gap`` dates apart; what
    standardises fields is from training alone. Networks learn tiles, one every ``tile_every`` points, of the
    first of ``regions`` (south, tall, west, wide, in points), are tested on every ``tested``-th date of the
    test part in all of them, by tiles each ``stride`` points (`around`), and in the jet of basins with
    ``others`` of the options. "In the jet" are the points of the first region where the variance of the
    forcing over training is above its 75th percentile. ``contrast`` is that of `shown`, ``mirror`` doubles
    the training by `mirrored`, and networks without momentum are trained for the ``conserved`` components.
    Writes the runs as Zarr, which the next call takes as they are, up to five figures and a checkpoint of
    each network.
    """
    simulator = basin_of(basin, device)
    _check(regions, simulator.cells)
    start = run(
        folder / "basin.zarr",
        simulator,
        spin_up=spin_up,
        days=days,
        every=every,
        state=simulator.start(seed=seed, size=1e-7),
        quiet=quiet,
    )
    everything = filtered(folder / "basin.zarr", 1e3 * sigma, layers)
    train, validation, test = parts(len(everything.psi), shares, gap)
    test = slice(test.start, test.stop, tested)
    home = next(iter(regions))
    training, chosen = (everything.at(part, regions[home]) for part in (train, validation))
    places = {name: everything.at(test, box) for name, box in regions.items()}
    psi = (training.psi, chosen.psi)
    how = Learning(epochs, batch, learning_rate, tile_every, contrast, mirror, seed, device, quiet)
    grid = (simulator.cells, stride, device)
    jets = {way: jet(getattr(training, way)) for way in _SIGN}

    findings, maps, said, variants, networks = [], {}, {}, {}, {}
    for way in _SIGN:
        name, target = f"S_{way}", (getattr(training, way), getattr(chosen, way))
        one = networks[way] = learned(folder / f"{name}.pt", psi, target, how, sign=_SIGN[way])
        made = {place: one.there(everything, test, box, *grid) for place, box in regions.items()}
        truths = {place: getattr(part, way) for place, part in places.items()}
        maps[name] = {place: correlation(made[place], truths[place]) for place in regions}
        findings += [
            Finding(f"{name}, validation error, standardised", one.error, _ERROR[name]),
            *_skill(name, maps[name], jets[way], _CORRELATION[way]),
            *(
                Finding(f"{name}, amplitude over the truth's, {place}", amplitude(made[place], truths[place]))
                for place in regions
            ),
        ]
        said[name] = made[home]
        if way in conserved:
            variants[name] = {
                "none": made[home],
                **{
                    letter: learned(
                        folder / f"{name}-{letter}.pt", psi, target, how, sign=_SIGN[way], **variant
                    ).there(everything, test, regions[home], *grid)
                    for letter, variant in _VARIANTS.items()
                },
                "C": uniform(made[home]),
            }
            findings += _conservation(way, variants[name], jets[way])
    for layer in layers:
        target = (training.deeper[layer], chosen.deeper[layer])
        one = learned(folder / f"psi_{layer}.pt", psi, target, how, sign=-1)
        name, truth = f"psi_{layer}", places[home].deeper[layer]
        # By the region's own tiles: what lies below on the whole, unlike S, is learnt for where they are.
        said[name] = one.predicted(places[home].psi, stride, device)
        maps[name] = {home: correlation(said[name], truth)}
        value, bar = float(maps[name][home].mean()), _BELOW.get(layer)
        findings += [
            Finding(f"{name}, validation error, standardised", one.error, _ERROR.get(name)),
            Finding(f"{name}, correlation, {home}", value, bar, at_least=bar),
        ]
    for name, options in (others or {}).items():
        path = folder / f"{name.replace(' ', '-')}.zarr"
        run(
            path,
            changed(simulator, options),
            spin_up=others_spin_up,
            days=others_days,
            every=every,
            state=start[:1],  # the tendencies of the steps before are not those of this basin
            quiet=quiet,
        )
        other, some = filtered(path, 1e3 * sigma), slice(None, None, tested)
        there = other.at(some, regions[home])
        for way, one in networks.items():
            values = correlation(one.there(other, some, regions[home], *grid), getattr(there, way))
            bar = _CORRELATION["x"] if way == "x" else None
            value = float(values[jets[way]].mean())
            findings.append(Finding(f"S_{way}, correlation in the jet, {name}", value, bar, at_least=bar))

    spacing = simulator.spacing / 1e3
    figures.flow(folder / "flow.png", everything, test.start, spacing, regions)
    figures.correlations(folder / "correlations.png", maps, regions, spacing)
    figures.forcing(folder / "forcing.png", said, places[home], spacing)
    figures.point(folder / "jet.png", said, places[home], _strongest(training.x), every * tested, spacing)
    if variants:
        figures.means(folder / "means.png", variants, places[home], every * tested)
    weights = sum(p.numel() for p in networks["x"].network.parameters())
    return [Finding("parameters", weights, 325_728, at_least=325_728, at_most=325_728), *findings]


def uniform(said: Tensor) -> Tensor:
    """Variant C: fields (date, y, x) in double precision, less the mean of each date."""
    return said.double() - said.double().mean((-2, -1), keepdim=True)


def _check(regions: Mapping[str, Box], cells: int) -> None:
    if len(regions) < 2:
        raise InputError("regions: give the one to train in and another to test in")
    for name, (south, tall, west, wide) in regions.items():
        if min(south, west) < 1 or max(south + tall, west + wide) > cells:
            raise InputError(
                f"the region {name} goes from {south} to {south + tall - 1} to the north and from {west} to "
                f"{west + wide - 1} to the east; the points off the walls are from 1 to {cells - 1}"
            )


def _skill(name: str, maps: Mapping[str, Tensor], where: Tensor, bar: float) -> list[Finding]:
    """Correlations in the jet, of each region, and what the region of training has above the others."""
    # A point at which nothing varies has no correlation.
    means = {place: float(values.nanmean()) for place, values in maps.items()}
    home, *away = means
    inside = float(maps[home][where].nanmean())
    return [
        Finding(f"{name}, correlation in the jet", inside, bar, at_least=bar),
        *(Finding(f"{name}, correlation, {place}", mean) for place, mean in means.items()),
        *(
            Finding(f"{name}, correlation, {home} minus {place}", means[home] - means[place], at_least=0)
            for place in away
        ),
    ]


def _conservation(way: str, made: Mapping[str, Tensor], where: Tensor) -> list[Finding]:
    """The momentum that each variant makes, and the amplitude that it loses against the network as it is."""
    findings, lost = [], {}
    for name, values in made.items():
        mean = 1e6 * float(values.double().mean())
        reference = _MEAN[way] if name == "A" else None
        findings.append(Finding(f"S_{way}, {name}, mean, 1e-6 m s-2", mean, reference))
    for name in ("A", "B", "C"):
        lost[name] = 100 * (1 - amplitude(made[name], made["none"], where))
        most = 10 if name == "C" else None
        findings.append(
            Finding(f"S_{way}, {name}, amplitude lost in the jet, %", lost[name], most, at_most=most)
        )
    more = min(lost["A"], lost["B"]) - lost["C"]
    findings.append(Finding(f"S_{way}, amplitude that A and B lose more than C, points", more, at_least=0))
    return findings


def _strongest(values: Tensor) -> tuple[int, int]:
    """The point (y, x) with the largest variance of (date, y, x)."""
    place = int(values.double().var(0).argmax())
    return place // values.shape[2], place % values.shape[2]
