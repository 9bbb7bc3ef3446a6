"""Radial velocities in, the current out: u, v and their covariance, with a score on held-out velocities."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch.utils.data import DataLoader

from ..classical.vector_kriging import fit_vector_covariance, hide_radials
from ..errors import InputError
from ..holdout.calibration import Calibration, Residuals, calibrate
from ..holdout.splits import difficulty_weights, error_groups, split_hidden
from ..io.opening import Opening
from ..io.output import to_dataset
from ..io.radials import Radials, open_radials
from ..io.reading import Inputs
from ..progress import progress
from ..settings import HELD_OUT, FillSettings, choose_device
from ..training.data import usual_window
from ..training.heldout import Pairs
from ..training.networks import NETWORKS
from ..training.vector_scenes import (
    VectorDates,
    VectorInputs,
    make_vector_inputs,
    regular_grid,
    remove_divergence,
)
from .deliver import Report
from .evaluate import ErrorScale, Evaluation, score_pairs, select_candidate
from .methods import Method, find_method, find_methods

_log = logging.getLogger(__name__)
Floats = NDArray[np.float32]

_REHEARSALS = 3
_HIDDEN = 0.2  # share of the values that each of them hides
_BATCH = 4
_EPOCHS = 20
_MOST_LOG = 1.4  # of the factor that scales the errors: a quarter to four times


@dataclass(frozen=True)
class CurrentCandidate:
    """u, v, var(u), var(v) and cov(u, v) (5, time, lat, lon)."""

    name: str
    estimate: Floats  # from all observations
    trial: Floats  # without those held out


@dataclass(frozen=True)
class HeldOutRadials:
    """Velocities (time, station, lat, lon) that are held out."""

    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]
    weight: Floats  # with which they are as difficult as the unobserved ones; zero elsewhere
    noise: Floats  # their error variance


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
    method, flow = find_method(settings.method), settings.currents.flow or "free"
    if not method.currents:
        names = [name for name, one in find_methods().items() if one.currents]
        raise InputError(
            f"the method {method.name} does not fill radial velocities; choose {' or '.join(names)}"
        )
    if flow == "free" and method.trains:
        _log.warning(
            "a free network was less accurate than optimal interpolation in areas without radar coverage "
            "(docs/vectors.md); --flow stream-function or --method oi is safer"
        )
    if flow == "low-divergence" and not method.trains:
        raise InputError(
            f"the method {method.name} trains no network; choose --flow stream-function or --method unet"
        )
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
    candidates, held = make_candidates(radials, method, replace(settings, device=device))
    evaluation = evaluate_currents(radials, candidates, held)
    report(evaluation.rows)
    found = {"flow": flow} | dict(attributes or {}) | evaluation.attributes()
    calibration = evaluation.scale.calibration
    current = evaluation.delivered.estimate.copy()
    current[2:] *= calibration.factor**2
    return _dataset(radials, current, found, calibration.half_widths_of(settings.intervals))


def make_candidates(
    radials: Radials, method: Method, settings: FillSettings
) -> tuple[dict[str, CurrentCandidate], HeldOutRadials]:
    """Return the first guess and the network's correction of it, and what is held out of both."""
    how, flow = settings.training, settings.currents.flow or "free"
    seed, device, quiet = settings.seed, settings.device, settings.quiet
    rng = np.random.default_rng(seed)
    held = np.zeros(radials.values.shape, bool)
    if settings.holdout:
        held = hide_radials(radials, HELD_OUT, rng)
    # All stations together, or the validation date of one would be the test date of another.
    each = [held[:, number] for number in range(len(radials.stations))]
    pairs = split_hidden(each, len(each), radials.stations[0].days)
    validation, test = (np.stack(part, 1) for part in zip(*pairs, strict=True))
    known = radials.hide(held)
    with progress("fitting the first guess", None, quiet):
        kriging = fit_vector_covariance(known, divergent=flow != "stream-function", seed=seed, device=device)
    scales = (f"{part.length:.3g} km / {part.duration:.3g} d" for part in kriging.scales.components)
    _log.info(
        "fitted covariance: %s, noise %.3g; %.0f%% of the variance is non-divergent",
        ", ".join(scales),
        float(kriging.scales.nugget) ** 0.5,
        100 * kriging.share,
    )
    nugget = float(kriging.scales.nugget)
    spread = float(sum(part.sill for part in kriging.scales.components)) ** 0.5
    grid = None if flow == "free" else regular_grid(radials)

    def make_guess(seen: Radials, hidden: NDArray[np.bool_] | None = None) -> VectorInputs:
        with progress("first guess", int(radials.sea.sum()) * radials.shape[0], quiet) as advance:
            current = kriging(seen, device=device, advance=advance)
        # What was hidden is not in the guess, but is in the scene.
        made = make_vector_inputs(radials, current, nugget, spread, hidden)
        return remove_divergence(made, grid, radials.sea) if grid and flow == "stream-function" else made

    full, trial = make_guess(radials), make_guess(known, held)
    guess = CurrentCandidate("oi", _moments(full, spread, radials), _moments(trial, spread, radials))
    weight = weigh_held_out(radials, guess, held)
    apart = HeldOutRadials(validation, test, weight, radials.error_variance + nugget)
    if not method.trains:
        return {guess.name: guess}, apart

    # Lightning takes seconds to import, which optimal interpolation need not wait for.
    from ..training.checkpoints import read_checkpoint, restore_task, save_checkpoint
    from ..training.trainer import train_task
    from ..training.vector_tasks import VectorCorrection

    make = partial(VectorCorrection, towards=torch.from_numpy(radials.towards), grid=grid)
    if how.checkpoint:
        options, state, _ = read_checkpoint(how.checkpoint, how.window, how.trust)
        if options.get("flow") != flow:
            made_for = f"with --flow {options['flow']}" if "flow" in options else "on a field"
            raise InputError(f"{how.checkpoint}: trained {made_for}, not with --flow {flow}; give another")
        task = restore_task(how.checkpoint, make, options, state)
    else:
        rehearsals = []
        for _ in range(_REHEARSALS):
            hidden = hide_radials(known, _HIDDEN, rng)
            if hidden.any():
                rehearsals.append(make_guess(known.hide(hidden), hidden))
        if not rehearsals:
            _log.warning("too few gaps to train a network on; the first guess is delivered")
            return {guess.name: guess}, apart
        window = how.window or usual_window(radials.stations[0])
        trial = replace(trial, weight=torch.from_numpy(weight))
        batches = DataLoader(VectorDates(rehearsals, radials.sea, window), batch_size=_BATCH, shuffle=True)
        torch.manual_seed(seed)
        task = train_task(
            make(NETWORKS[method.name], window, flow=flow),
            batches,
            DataLoader(VectorDates([trial], radials.sea, window, validation)) if validation.any() else None,
            epochs=how.epochs or _EPOCHS,
            monitor="held_out" if validation.any() else None,
            averaged_over=len(batches),
            time_budget=how.time_budget,
            clip=1.0,
            mixed=True,
            seed=seed,
            device=device,
            quiet=quiet,
        )
    if how.save_checkpoint:
        save_checkpoint(task, how.save_checkpoint)
    task = task.to(device)

    def correct(one: VectorInputs) -> Floats:
        every = replace(one, weight=torch.zeros_like(one.weight))
        parts = []
        with torch.no_grad():
            for batch in DataLoader(VectorDates([every], radials.sea, task.window)):
                parts.append([part.cpu() for part in task(*(part.to(device) for part in batch[:3]))])
        means, factors = (torch.cat(part) for part in zip(*parts, strict=True))
        return _moments(replace(one, guess=means, factor=factors), spread, radials)

    network = CurrentCandidate(method.name, correct(full), correct(trial))
    return {guess.name: guess, network.name: network}, apart


def _moments(one: VectorInputs, spread: float, radials: Radials) -> Floats:
    """(5, time, lat, lon) u, v, var(u), var(v) and cov(u, v) of a scene, NaN on land."""
    first, below, second = one.factor.numpy().swapaxes(0, 1) * spread
    u, v = one.guess.numpy().swapaxes(0, 1) * spread
    found = np.stack([u, v, first**2, below**2 + second**2, first * below])
    return np.where(radials.sea, found, np.float32(np.nan))


def project_along(radials: Radials, current: Floats) -> tuple[Floats, Floats]:
    """Velocity and its error variance (time, station, lat, lon) in each station's directions."""
    east, north = radials.towards.swapaxes(0, 1)
    u, v, uu, vv, uv = current[:, :, None]
    return u * east + v * north, uu * east**2 + vv * north**2 + 2 * uv * east * north


def weigh_held_out(radials: Radials, guess: CurrentCandidate, held: NDArray[np.bool_]) -> Floats:
    """Return weights (time, station, lat, lon) with which held-out velocities are as difficult as the gaps.

    The difficulty is the error of the guess along the directions; the gaps are each station's component where
    it has a direction and no velocity. Without weights, velocities that another station observes as well
    would count most.
    """
    unseen = np.isnan(radials.values) & radials.towards.any(axis=1) & radials.sea
    error, real = (np.sqrt(project_along(radials, one)[1]) for one in (guess.trial, guess.estimate))
    weight = np.zeros(held.shape, np.float32)
    weight[held] = difficulty_weights(error[held], real[unseen])
    return weight


def evaluate_currents(
    radials: Radials, candidates: Mapping[str, CurrentCandidate], held: HeldOutRadials
) -> Evaluation[CurrentCandidate]:
    """Select, score and calibrate as `evaluate.evaluate_candidates` does, along the stations' directions.

    The scale of the error is that of the current; the noise of the velocities stays as it was fitted. The
    half-widths of the intervals come from all held-out velocities.
    """
    products = list(candidates.values())
    if not (held.validation.any() and held.test.any()):
        return Evaluation(products[-1], [], ErrorScale())
    rows, found, scales = [], [], []
    for product in products:
        velocity, variance = project_along(radials, product.trial)
        off = velocity - radials.values
        chosen, every = (
            fit_factor(off[part], variance[part], held.noise[part])
            for part in (held.validation, held.validation | held.test)
        )
        sigma = np.sqrt(variance * chosen**2 + held.noise)
        validation, test = (
            Pairs(velocity[part], sigma[part], radials.values[part], held.weight[part], error_groups(part))
            for part in (held.validation, held.test)
        )
        rows.append({"method": product.name} | score_pairs(test))
        found.append(validation)
        scales.append(_calibrate(off, np.sqrt(variance * every**2 + held.noise), held, every))
    best = select_candidate(rows, found)
    return Evaluation(products[best], rows, ErrorScale(scales[best]))


def _calibrate(off: Floats, sigma: Floats, held: HeldOutRadials, factor: float) -> Calibration:
    """Return the calibration of errors scaled by a factor, its half-widths from standardised residuals."""
    part = held.validation | held.test
    flat = np.zeros((np.count_nonzero(part), 3))
    residuals = Residuals(np.abs(off[part]) / sigma[part], flat, held.weight[part], np.nonzero(part)[0])
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


def _dataset(
    radials: Radials, current: Floats, attributes: Mapping[str, Any], intervals: Mapping[int, float]
) -> xr.Dataset:
    """Return u, v, their errors, intervals and covariance on the grid of the first station."""
    units = str(radials.stations[0].source.attrs.get("units", "m s-1"))
    first = radials.stations[0]
    parts = []
    for number, (name, word) in enumerate((("u", "eastward"), ("v", "northward"))):
        source = xr.full_like(first.source, np.nan).rename(name)
        source.attrs = {"units": units, "standard_name": f"{word}_sea_water_velocity"}
        blank = replace(
            first,
            name=name,
            source=source,
            sea=radials.sea,
            values=np.full_like(first.values, np.nan),
        )
        error = np.sqrt(current[2 + number])
        made = to_dataset(blank, current[number], error, intervals=intervals, attributes=attributes)
        made = made.drop_vars([f"{name}_analysis", f"{name}_source"])
        made[name].attrs |= {"ancillary_variables": f"{name}_error uv_covariance"}
        del made[name].attrs["comment"]
        made[f"{name}_error"].attrs["long_name"] = f"standard error of {name}"
        parts.append(made)
    data = parts[0].merge(parts[1], combine_attrs="override")
    data["uv_covariance"] = data.u.copy(
        data=xr.Variable(first.dims, current[4]).transpose(*data.u.dims).to_numpy()
    )
    data.uv_covariance.attrs = {
        "units": f"({units})2",
        "long_name": "covariance of the errors of u and v",
        "coverage_content_type": "qualityInformation",
    }
    share = np.isfinite(radials.values)[:, :, radials.sea].any(axis=1).mean()
    data.attrs["title"] = "Current from radial velocities"
    data.attrs["summary"] = (
        "Eastward and northward velocity on the whole sea from the radial velocities of "
        f"{len(radials.stations)} stations, of which at least one saw {100 * share:.1f} % of the cells and "
        "dates, with the standard errors of both and the covariance of their errors."
    )
    return data
