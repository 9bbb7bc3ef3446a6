"""Radial velocities in, the current out: u, v and their covariance, with a score on held-out velocities."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch.utils.data import DataLoader

from ..errors import InputError
from ..holdout.calibration import Calibration, Residuals, calibrate
from ..holdout.scores import rmse
from ..holdout.shrinkage import Fitted, find_prior, fit_shrinkage
from ..holdout.splits import error_groups
from ..io.alignment import restore_grid
from ..io.extremes import find_bearable, warn_of_extremes
from ..io.opening import Opening
from ..io.radials import Radials, make_current_dataset, open_radials
from ..io.reading import Inputs
from ..io.side_products import write_side_product
from ..io.storage import Span, find_storage, measure_span
from ..io.transforms import Identity
from ..progress import TRAINING, plan_stages, progress
from ..settings import HELD_OUT, FillSettings, choose_device
from ..training.heldout import Pairs
from ..training.networks import NETWORKS
from ..training.vector_data import RadialData, RadialSettings, project_current
from .deliver import Report, log_input
from .draws import add_current_samples
from .evaluate import ErrorScale, Evaluation, log_share, score_pairs, select_candidate
from .methods import Method, find_method, find_methods, settle_method
from .stages import Size, list_stages

_log = logging.getLogger(__name__)
Floats = NDArray[np.float32]

_EPOCHS = 20
_MOST_LOG = 1.4  # of the factor that scales the errors: a quarter to four times


@dataclass(frozen=True)
class CurrentCandidate:
    """u, v, var(u), var(v) and cov(u, v) (5, time, lat, lon)."""

    name: str
    estimate: Floats  # from all velocities
    trial: Floats  # without the held-out ones


def fill_radials(
    source: Inputs,
    opening: Opening,
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return the current on every sea cell from radial velocities and their directions (`open_radials`).

    The dataset has ``u``, ``v``, ``u_error``, ``v_error`` (of the current itself, not of an observation) and
    ``uv_covariance``. Methods are those whose ``currents`` is true. Raises `InputError` for input and
    settings that cannot be used.
    """
    method, flow = choose_method(settings)
    device = choose_device(settings.device)
    assert settings.currents.radial_direction is not None
    radials = open_radials(source, settings.currents.radial_direction, opening)
    _log.info(
        "%d stations, %d dates, %d sea pixels; %s on %s",
        len(radials.stations),
        radials.shape[0],
        radials.sea.sum(),
        method.name,
        device,
    )
    for station in radials.stations:
        log_input(station)
    # The current is estimated on every date and cell, twice where velocities are held out.
    size = Size(int(radials.sea.sum()) * radials.shape[0], radials.shape[0], missing=1.0)
    plan_stages(list_stages(method, settings, size))
    data = RadialData(radials, make_radial_settings(settings, device), flow)
    return deliver_current(data, make_candidates(data, method, settings), settings, report, attributes)


def make_radial_settings(settings: FillSettings, device: str) -> RadialSettings:
    """Return the settings of the data of a fill."""
    held_out = HELD_OUT if settings.holdout else 0.0
    return RadialSettings(held_out=held_out, seed=settings.seed, device=device, quiet=settings.quiet)


def choose_method(settings: FillSettings) -> tuple[Method, str]:
    """Return the method and the flow. Raises `InputError` where they do not fit radial velocities."""
    settings = settle_method(settings)
    method, flow = find_method(settings.method), settings.currents.flow or "free"
    if not method.currents:
        names = [name for name, one in find_methods().items() if one.currents]
        raise InputError(
            f"the method {method.name} does not fill radial velocities; choose {' or '.join(names)}"
        )
    if flow == "free" and method.trains:
        _log.warning(
            "a free network gains little over optimal interpolation (docs/vectors.md); "
            "flow='stream-function' is more accurate"
        )
    if flow == "low-divergence" and not method.trains:
        raise InputError(
            f"the method {method.name} trains no network; choose flow='stream-function' or method='unet'"
        )
    return method, flow


def deliver_current(
    data: RadialData,
    candidates: Mapping[str, CurrentCandidate],
    settings: FillSettings,
    report: Report,
    attributes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return the dataset of the best candidate. ``report`` is called with the scores of all."""
    evaluation = evaluate_currents(data, candidates)
    report(evaluation.rows)
    found = {"flow": data.flow} | dict(attributes or {}) | evaluation.attributes()
    calibration = evaluation.scale.calibration
    current = scale_current(evaluation.delivered.estimate, calibration)
    dataset = make_current_dataset(
        data.radials, current, found, calibration.half_widths_of(settings.intervals), settings.packing
    )
    speed = find_bearable_speed(data.radials)
    warn_of_speeds(measure_components(dataset, speed), speed)
    if settings.samples:
        dataset = add_current_samples(dataset, data, current, calibration, settings.samples)
    first = data.radials.stations[0]
    return restore_grid(dataset, first.source, first.layout)


def find_bearable_speed(radials: Radials) -> float:
    """Return the largest component that the velocities bear: twice theirs, for no station sees all of it."""
    return 2 * max(float(np.abs(find_bearable(one)).max()) for one in radials.stations if one.observed.any())


def measure_components(dataset: xr.Dataset, speed: float) -> dict[str, Span]:
    """Return the spans of u and v, with the number of values that are larger than a ``speed``."""
    spans = {}
    for name in ("u", "v"):
        values = dataset[name].to_numpy()
        extremes = int(np.count_nonzero(np.abs(values) > speed))
        spans[name] = replace(measure_span(values, find_storage(dataset[name])), extremes=extremes)
    return spans


def warn_of_speeds(spans: Mapping[str, Span], speed: float) -> None:
    """Warn of components that are larger than a ``speed``."""
    for name, span in spans.items():
        warn_of_extremes(name, span, Identity(), (-speed, speed))


def scale_current(estimate: Floats, calibration: Calibration) -> Floats:
    """Return an estimate (5, time, lat, lon) with the calibrated covariance."""
    current = estimate.copy()
    current[2:] *= calibration.factor**2
    return current


def make_candidates(data: RadialData, method: Method, settings: FillSettings) -> dict[str, CurrentCandidate]:
    """Return the first guess and the network's correction of it."""
    how = settings.training
    if not method.trains or how.checkpoint:
        data.setup("test")
    if not method.trains:
        guess = make_guess(data)
        return {guess.name: guess}
    # Lightning takes seconds to import, which optimal interpolation need not wait for.
    from ..training.checkpoints import check_flow, read_checkpoint, restore_task, save_checkpoint
    from ..training.trainer import ShowEpochs, TrainerSettings, train_task
    from ..training.vector_tasks import VectorCorrection

    make = partial(VectorCorrection, towards=data.towards, grid=data.grid)
    if how.checkpoint:
        kept = read_checkpoint(how.checkpoint, how.window, how.trust)
        check_flow(how.checkpoint, kept, data)
        task = restore_task(how.checkpoint, make, kept.options, kept.state)
        task.trained_on = kept.trained_on
        data.window = task.window
    else:
        data.setup("fit")
        if not data.masked_inputs:
            _log.warning("too few gaps to train a network on; the first guess is delivered")
            guess = make_guess(data)
            return {guess.name: guess}
        data.window = how.window or data.window
        batches, choosing = data.train_dataloader(), bool(data.validation.any())
        torch.manual_seed(data.settings.seed)
        task = make(NETWORKS[method.name], data.window, flow=data.flow)
        task.trained_on = data.describe()
        with progress(TRAINING, 1, data.settings.quiet, TRAINING) as step:
            task = train_task(
                task,
                batches,
                data.val_dataloader() if choosing else None,
                settings=TrainerSettings(
                    epochs=how.epochs or _EPOCHS,
                    monitor="held_out" if choosing else None,
                    averaged_over=len(batches),
                    time_budget=how.time_budget,
                    clip=1.0,
                    mixed=True,
                    seed=data.settings.seed,
                    device=data.settings.device,
                ),
                show=ShowEpochs(step, how.time_budget, *_score_guess(data)),
            )
    if how.save_checkpoint:
        write_side_product(partial(save_checkpoint, task, how.save_checkpoint))
    task = task.to(data.settings.device)

    def predict(dates: DataLoader[Any]) -> list[Any]:
        with torch.no_grad():
            return [
                task.predict_step([part.to(data.settings.device) for part in batch], 0) for batch in dates
            ]

    guess, network = make_guess(data), make_candidate(data, method.name, predict)
    return {guess.name: guess, network.name: network}


def _score_guess(data: RadialData) -> tuple[float | None, str]:
    """Return the RMSE of the first guess on the velocities that choose the epoch, and their units."""
    where = data.validation
    if not where.any():
        return None, ""
    velocity, _ = project_current(data.radials, data.compute_moments(data.trial))
    units = str(data.radials.stations[0].source.attrs.get("units", ""))
    return rmse(velocity[where], data.radials.values[where], data.weight[where]), units


def make_guess(data: RadialData) -> CurrentCandidate:
    """Return the first guess as a candidate."""
    return CurrentCandidate("oi", data.compute_moments(data.full), data.compute_moments(data.trial))


def make_candidate(
    data: RadialData, name: str, predict: Callable[[DataLoader[Any]], list[Any]]
) -> CurrentCandidate:
    """Return the candidate of a network, which ``predict`` applies to all batches of a loader."""
    made = []
    every = [(data.full, data.predict_dataloader()), (data.trial, data.trial_dataloader())]
    for inputs, dates in every if data.held_out.any() else every[:1]:
        means, factors = (torch.cat(part) for part in zip(*predict(dates), strict=True))
        made.append(data.compute_moments(replace(inputs, guess=means, factor=factors)))
    return CurrentCandidate(name, made[0], made[-1])


def evaluate_currents(
    data: RadialData, candidates: Mapping[str, CurrentCandidate]
) -> Evaluation[CurrentCandidate]:
    """Select, score and calibrate as `evaluate.evaluate_candidates` does, along the stations' directions.

    The scale of the error is that of the current; the noise of the velocities stays as it was fitted. The
    half-widths of the intervals come from all held-out velocities. The candidates after the first correct
    it.
    """
    products = list(candidates.values())
    if not (data.validation.any() and data.test.any()):
        return Evaluation(products[-1], [], ErrorScale())
    rows, found = [], []
    for product in products:
        shrunken, fitted = _shrink(data, products[0], product, "validation")
        off, variance = _miss(data, shrunken)
        chosen = _fit_factor(data, off, variance, "validation")
        pairs = {
            part: _pair(data, shrunken, np.sqrt(variance * chosen**2 + data.noise), part)
            for part in ("validation", "test")
        }
        units = str(data.radials.stations[0].source.attrs.get("units", ""))
        row: dict[str, Any] = {"method": product.name, "units": units} | score_pairs(pairs["test"])
        if fitted is not None:
            before, after = (_pair(data, one, variance, "validation").mean for one in (products[0], product))
            apart = before + fitted.apart * (after - before)
            pairs["validation"] = pairs["validation"]._replace(mean=apart)
            row |= {"share": fitted.average}
        rows.append(row)
        found.append(pairs["validation"])
    best = select_candidate(rows, found)
    delivered, fitted = _shrink(data, products[0], products[best], "held_out")
    off, variance = _miss(data, delivered)
    every = _fit_factor(data, off, variance, "held_out")
    scale = ErrorScale(_calibrate(off, np.sqrt(variance * every**2 + data.noise), data, every))
    if fitted is None:
        return Evaluation(delivered, rows, scale, share=0.0 if len(products) > 1 else None)
    log_share(delivered.name, fitted)
    return Evaluation(delivered, rows, scale, fitted.shrinkage, fitted.average)


def _shrink(
    data: RadialData, guess: CurrentCandidate, product: CurrentCandidate, part: str
) -> tuple[CurrentCandidate, Fitted | None]:
    """Return a candidate with the share of its correction that a part of the held-out velocities bears.

    It is one share for all cells: a share that varies would make a flow without divergence diverge.
    """
    if product is guess:
        return product, None
    _, variance = _miss(data, guess)
    sigma = np.sqrt(variance + data.noise)
    before, after = (_pair(data, one, sigma, part) for one in (guess, product))
    fitted = fit_shrinkage(
        before.mean,
        before.error,
        after.mean,
        after.truth,
        after.weight,
        after.groups,
        prior=find_prior(product.name),
        classes=1,
    )
    return apply_share(guess, product, fitted.shrinkage.shares[0]), fitted


def apply_share(guess: CurrentCandidate, product: CurrentCandidate, share: float) -> CurrentCandidate:
    """Return a candidate with a share of its correction of the ``guess``."""
    return CurrentCandidate(
        product.name,
        mix_currents(guess.estimate, product.estimate, share),
        mix_currents(guess.trial, product.trial, share),
    )


def mix_currents(guess: Floats, corrected: Floats, share: float) -> Floats:
    """Return the current (5, ...) between two others, with the covariance of a mixture of both."""
    u, v = corrected[:2] - guess[:2]
    mixed = guess + np.float32(share) * (corrected - guess)
    mixed[2:] += np.float32(share * (1 - share)) * np.stack([u**2, v**2, u * v])
    return mixed


def _miss(data: RadialData, product: CurrentCandidate) -> tuple[Floats, Floats]:
    """Return what a trial misses the velocities by, and its error variance along their directions."""
    velocity, variance = project_current(data.radials, product.trial)
    return velocity - data.radials.values, variance


def _pair(data: RadialData, product: CurrentCandidate, sigma: Floats, part: str) -> Pairs:
    """Return the trial at a part of the held-out velocities, with standard errors ``sigma``."""
    where = getattr(data, part)
    velocity, _ = project_current(data.radials, product.trial)
    truth = data.radials.values[where]
    return Pairs(velocity[where], sigma[where], truth, data.weight[where], error_groups(where))


def _fit_factor(data: RadialData, off: Floats, variance: Floats, part: str) -> float:
    where = getattr(data, part)
    return fit_factor(off[where], variance[where], data.noise[where])


def _calibrate(off: Floats, sigma: Floats, data: RadialData, factor: float) -> Calibration:
    """Return the calibration of errors scaled by a factor, its half-widths from standardised residuals."""
    part = data.held_out
    flat = np.zeros((np.count_nonzero(part), 3))
    residuals = Residuals(np.abs(off[part]) / sigma[part], flat, data.weight[part], np.nonzero(part)[0])
    return Calibration(factor=factor, half_widths=calibrate(residuals).half_widths)


def fit_factor(off: Floats, claimed: Floats, noise: Floats) -> float:
    """By which errors of variances ``claimed`` (n,) are multiplied to make what is ``off`` likeliest.

    The ``noise`` of the velocities stays as it was fitted: the two together are hardly told apart. One each:
    weighted as the gaps are, few velocities would say everything.
    """
    square, variance, own = (one.astype(np.float64) for one in (off**2, claimed, noise))

    def loss(log: float) -> float:
        total = np.exp(2 * log) * variance + own
        return float(np.mean(np.log(total) + square / total))

    return float(np.exp(minimize_scalar(loss, bounds=(-_MOST_LOG, _MOST_LOG), method="bounded").x))
