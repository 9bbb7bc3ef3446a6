"""Prediction of the eddy momentum forcing of a western boundary current from the resolved flow.

After Bolton and Zanna 2019 (doi:10.1029/2018MS001472), in a wind-driven basin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ...errors import InputError
from ...simulators.basin import Basin
from ...simulators.running import State
from ..findings import Finding
from ..skill import compute_amplitude_ratio, correlate_in_time
from . import figures
from .data import (
    FilteredRun,
    Region,
    build_basin,
    change_basin,
    filter_run,
    simulate_basin,
    split_dates,
)
from .networks import TileOptions, TrainedNetwork, remove_mean, train_network

_JET = 0.75  # quantile of the forcing's variance above which points are in the jet
# Published: correlations in the jet, validation errors of standardised values, mean forcing of variant A in
# 1e-6 m s-2, correlations of the lower layers.
_CORRELATION = {"x": 0.9, "y": 0.8}
_ERROR = {"S_x": 0.278, "S_y": 0.160, "psi_2": 0.067}
_MEAN = {"x": -0.002, "y": -0.0005}
_LAYER_CORRELATION = {2: 0.8, 3: 0.5}
# Momentum-conserving variants: the last layer removes the mean of a tile (A), or the targets have none (B).
_VARIANTS = {"A": {"centred": True}, "B": {"without_mean": True}}
_SIGN = {"x": 1, "y": -1}  # of the eastward and northward forcing in a mirror image
_PARAMETERS = 325_728


@dataclass(frozen=True, kw_only=True)
class MomentumOptions(TileOptions):
    """Options of the prediction of the momentum forcing.

    Parameters
    ----------
    basin
        Options of the basin.
    regions
        Regions by name, as south, height, west and width in points; the first one is the training region.
    others
        Further basins to test in, by name, with the options in which they differ.
    sigma
        Standard deviation of the filter, in km.
    spin_up
        Spin-up of the basin, in days.
    days
        Length of the simulation after the spin-up, in days.
    every
        Days from one stored state to the next.
    shares
        Proportions of the training, validation and test dates.
    gap
        Dates left out between these parts.
    others_spin_up
        Spin-up of the further basins, in days.
    others_days
        Length of their simulations after the spin-up, in days.
    layers
        Lower layers whose stream functions are predicted.
    conserved
        Components of the forcing for which momentum-conserving variants are trained.
    stride
        Points from one tile of a prediction to the next.
    tested
        Dates of the test part from one that is tested to the next.
    """

    basin: dict[str, Any]
    regions: dict[str, tuple[int, int, int, int]]
    others: dict[str, dict[str, float]] | None = None
    sigma: float = 30.0
    spin_up: int = 3600
    days: int = 3650
    every: int = 1
    shares: tuple[float, float, float] = (0.6, 0.15, 0.25)
    gap: int = 20
    others_spin_up: int = 360
    others_days: int = 360
    layers: tuple[int, ...] = (2, 3)
    conserved: tuple[Literal["x", "y"], ...] = ("x", "y")
    stride: int = 2
    tested: int = 1
    epochs: int = 200
    batch: int = 16
    learning_rate: float = 1e-3


def predict_momentum(folder: Path, options: MomentumOptions) -> list[Finding]:
    """Predict eddy momentum forcing from the resolved flow, in the region of training and in others.

    A basin is simulated and filtered; networks are trained on tiles of the first region in the training
    dates, and tested in all regions in the test dates, and in the first region of other basins. The points
    in the jet are those of the first region where the variance of the forcing over the training dates
    exceeds its 75th percentile. Writes the simulations as Zarr stores, which a later run reuses, up to five
    figures and a checkpoint of each network.
    """
    basin = build_basin(options.basin, options.device)
    _check_regions(options.regions, basin.cells)
    state = simulate_basin(
        folder / "basin.zarr",
        basin,
        spin_up=options.spin_up,
        days=options.days,
        every=options.every,
        state=basin.start(seed=options.seed, size=1e-7),
        quiet=options.quiet,
    )
    run = filter_run(folder / "basin.zarr", 1e3 * options.sigma, options.layers)
    case = _Case(folder, options, basin, run)
    findings = []
    for component in _SIGN:
        findings += case.predict_forcing(component)
    for layer in options.layers:
        findings += case.predict_layer(layer)
    for name, changes in (options.others or {}).items():
        findings += case.test_elsewhere(name, changes, state)
    case.draw()
    weights = sum(weight.numel() for weight in case.networks["x"].network.parameters())
    return [
        Finding("number of parameters", weights, _PARAMETERS, at_least=_PARAMETERS, at_most=_PARAMETERS),
        *findings,
    ]


def find_jet(target: Tensor) -> Tensor:
    """Find the points (y, x) where the variance of the forcing (date, y, x) exceeds its 75th percentile."""
    variance = target.double().var(0)
    return variance > torch.quantile(variance, _JET)


class _Case:
    """The filtered run of a basin, with the predictions and scores so far."""

    def __init__(self, folder: Path, options: MomentumOptions, basin: Basin, run: FilteredRun) -> None:
        self.folder, self.options, self.basin, self.run = folder, options, basin, run
        train, validation, test = split_dates(len(run.psi), options.shares, options.gap)
        self.test = slice(test.start, test.stop, options.tested)
        self.home = next(iter(options.regions))
        self.training, self.validation = (
            run.select(part, options.regions[self.home]) for part in (train, validation)
        )
        self.regions = {name: run.select(self.test, region) for name, region in options.regions.items()}
        self.jets = {component: find_jet(getattr(self.training, component)) for component in _SIGN}
        self.networks: dict[str, TrainedNetwork] = {}
        self.predictions: dict[str, Tensor] = {}  # in the first region
        self.correlations: dict[str, dict[str, Tensor]] = {}  # maps by region
        self.variants: dict[str, dict[str, Tensor]] = {}

    def _train(self, name: str, target: tuple[Tensor, Tensor], sign: int, **variant: bool) -> TrainedNetwork:
        psi = (self.training.psi, self.validation.psi)
        return train_network(self.folder / f"{name}.pt", psi, target, self.options, sign=sign, **variant)

    def _predict(self, network: TrainedNetwork, run: FilteredRun, dates: slice, region: Region) -> Tensor:
        options = self.options
        return network.predict_region(run, dates, region, self.basin.cells, options.stride, options.device)

    def predict_forcing(self, component: str) -> list[Finding]:
        """Train a network for a component of the forcing, with its variants, and test it in all regions."""
        name, sign, jet = f"S_{component}", _SIGN[component], self.jets[component]
        target = getattr(self.training, component), getattr(self.validation, component)
        network = self.networks[component] = self._train(name, target, sign)
        made = {
            place: self._predict(network, self.run, self.test, region)
            for place, region in self.options.regions.items()
        }
        truth = {place: getattr(part, component) for place, part in self.regions.items()}
        self.predictions[name] = made[self.home]
        self.correlations[name] = {place: correlate_in_time(made[place], truth[place]) for place in made}
        findings = [
            Finding(f"{name}: validation error, standardised", network.error, _ERROR[name]),
            *_list_correlations(name, self.correlations[name], jet, _CORRELATION[component]),
            *(
                Finding(f"{name}: amplitude / true amplitude, {place}", ratio)
                for place, ratio in (
                    (place, compute_amplitude_ratio(made[place], truth[place])) for place in made
                )
            ),
        ]
        if component in self.options.conserved:
            variants = self.variants[name] = {"none": made[self.home]}
            for letter, variant in _VARIANTS.items():
                conserving = self._train(f"{name}-{letter}", target, sign, **variant)
                variants[letter] = self._predict(
                    conserving, self.run, self.test, self.options.regions[self.home]
                )
            variants["C"] = remove_mean(made[self.home])
            findings += _list_conservation(component, variants, jet)
        return findings

    def predict_layer(self, layer: int) -> list[Finding]:
        """Train a network for the stream function of a lower layer and test it in the first region."""
        name, truth = f"psi_{layer}", self.regions[self.home].deeper[layer]
        target = self.training.deeper[layer], self.validation.deeper[layer]
        network = self._train(name, target, sign=-1)
        # From the region's own tiles: unlike S, the flow below depends on their position.
        psi = self.regions[self.home].psi
        self.predictions[name] = network.predict(psi, self.options.stride, self.options.device)
        self.correlations[name] = {self.home: correlate_in_time(self.predictions[name], truth)}
        value, target_value = float(self.correlations[name][self.home].mean()), _LAYER_CORRELATION.get(layer)
        return [
            Finding(f"{name}: validation error, standardised", network.error, _ERROR.get(name)),
            Finding(f"{name}: correlation, {self.home}", value, target_value, at_least=target_value),
        ]

    def test_elsewhere(self, name: str, changes: dict[str, float], state: State) -> Iterator[Finding]:
        """Simulate a basin with other options and test the networks in its jet."""
        options, path = self.options, self.folder / f"{name.replace(' ', '-')}.zarr"
        simulate_basin(
            path,
            change_basin(self.basin, changes),
            spin_up=options.others_spin_up,
            days=options.others_days,
            every=options.every,
            state=state[:1],  # the tendencies of earlier steps are not those of this basin
            quiet=options.quiet,
        )
        run, dates = filter_run(path, 1e3 * options.sigma), slice(None, None, options.tested)
        region = options.regions[self.home]
        for component, network in self.networks.items():
            truth = getattr(run.select(dates, region), component)
            correlation = correlate_in_time(self._predict(network, run, dates, region), truth)
            target = _CORRELATION["x"] if component == "x" else None
            value = float(correlation[self.jets[component]].mean())
            yield Finding(f"S_{component}: correlation in the jet, {name}", value, target, at_least=target)

    def draw(self) -> None:
        """Draw the flow, the correlations, the predictions and the variants."""
        options, spacing, truth = self.options, self.basin.spacing / 1e3, self.regions[self.home]
        step = options.every * options.tested
        figures.draw_flow(self.folder / "flow.png", self.run, self.test.start, spacing, options.regions)
        figures.draw_correlations(
            self.folder / "correlations.png", self.correlations, options.regions, spacing
        )
        figures.draw_fields(self.folder / "forcing.png", self.predictions, truth, spacing)
        point = _find_strongest(self.training.x)
        figures.draw_point(self.folder / "jet.png", self.predictions, truth, point, step, spacing)
        if self.variants:
            figures.draw_means(self.folder / "means.png", self.variants, truth, step)


def _check_regions(regions: Mapping[str, Region], cells: int) -> None:
    if len(regions) < 2:
        raise InputError("regions: give a training region and at least one more for testing")
    for name, (south, tall, west, wide) in regions.items():
        if min(south, west) < 1 or max(south + tall, west + wide) > cells:
            raise InputError(
                f"region {name} extends from {south} to {south + tall - 1} northwards and from {west} to "
                f"{west + wide - 1} eastwards; points off the walls are 1 to {cells - 1}"
            )


def _list_correlations(name: str, maps: Mapping[str, Tensor], jet: Tensor, target: float) -> list[Finding]:
    """List correlations in the jet and in each region, and the lead of the first region over the others."""
    # The correlation is NaN at points without variability.
    means = {place: float(values.nanmean()) for place, values in maps.items()}
    home, *others = means
    inside = float(maps[home][jet].nanmean())
    return [
        Finding(f"{name}: correlation in the jet", inside, target, at_least=target),
        *(Finding(f"{name}: correlation, {place}", mean) for place, mean in means.items()),
        *(
            Finding(f"{name}: correlation, {home} minus {place}", means[home] - means[place], at_least=0)
            for place in others
        ),
    ]


def _list_conservation(component: str, predictions: Mapping[str, Tensor], jet: Tensor) -> list[Finding]:
    """List the mean forcing of each variant, and its loss of amplitude relative to no variant."""
    findings = []
    for letter, values in predictions.items():
        mean = 1e6 * float(values.double().mean())
        reference = _MEAN[component] if letter == "A" else None
        findings.append(Finding(f"S_{component}, variant {letter}: mean (1e-6 m s-2)", mean, reference))
    lost = {
        letter: 100 * (1 - compute_amplitude_ratio(predictions[letter], predictions["none"], jet))
        for letter in ("A", "B", "C")
    }
    for letter, value in lost.items():
        most = 10 if letter == "C" else None
        label = f"S_{component}, variant {letter}: amplitude lost in the jet (%)"
        findings.append(Finding(label, value, most, at_most=most))
    excess = min(lost["A"], lost["B"]) - lost["C"]
    findings.append(
        Finding(f"S_{component}: amplitude lost by A and B beyond C (points)", excess, at_least=0)
    )
    return findings


def _find_strongest(values: Tensor) -> tuple[int, int]:
    """Find the point (y, x) with the largest variance of (date, y, x)."""
    place = int(values.double().var(0).argmax())
    return place // values.shape[2], place % values.shape[2]
