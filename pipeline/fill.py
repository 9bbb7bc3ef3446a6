"""The main job: a gappy field in; out comes the filled one, with its error and its score."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from .calibration import Calibration, Misses, calibrate, check_levels
from .classical.blend import blend
from .classical.dineof import decompose, dineof, estimate, read_points
from .classical.simple import (
    climatology,
    linear_in_space,
    linear_in_space_time,
    linear_in_time,
    nearest,
    persistence,
)
from .data import GapData, Pairs
from .errors import InputError
from .field import Field, open_field
from .networks import LOSSES, NETWORKS, Training, has_fixed_grid
from .output import to_dataset, write
from .reading import Inputs
from .scores import bias, coverage, rmse

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Estimate = tuple[Floats, Floats]  # mean and standard error (time, lat, lon), NaN outside the sea

HELD_OUT = 0.1  # share of the observed values
AUTOMATIC = ("climatology", "linear-space-time", "dineof", "unet")
_GUESS_AND_NETWORK = 2  # products of a network; more are there to be chosen from
DEFAULTS = Training()


@dataclass(frozen=True)
class Product:
    """What a method makes of a field."""

    name: str
    estimate: Estimate  # at sea, from all that was observed
    trial: Estimate | None = None  # of the held-out values, without them
    further: Sequence[Misses] = ()  # of values that further clouds hid from it
    corrects: Product | None = None  # the first guess


def simple(estimate: Callable[[Field], Estimate]) -> Callable[[GapData, Training], list[Product]]:
    """A method that needs no training, from a function of the field."""

    def method(data: GapData, how: Training) -> list[Product]:
        trial = estimate(data.field.hide(data.held)) if data.held.any() else None
        return [Product(estimate.__name__.replace("_", " "), estimate(data.field), trial)]

    return method


def first_guess(data: GapData, how: Training) -> list[Product]:
    """Local optimal interpolation in space and time, or the mean of each pixel."""
    data.setup("predict")
    name = "optimal interpolation" if data.first_guess == "oi" else "pixel means"
    if not data.held.any():
        return [Product(name, (data.guess, data.error))]
    return [Product(name, (data.guess, data.error), (data.trial_guess, data.trial_error), data.further())]


def network(name: str) -> Callable[[GapData, Training], list[Product]]:
    """The first guess, and after it a network's correction of it."""

    def method(data: GapData, how: Training) -> list[Product]:
        # Lightning takes seconds to import, which the other methods need not wait for.
        from .tasks import Correction
        from .training import load, predict, save, train

        if how.checkpoint:
            task = load(how.checkpoint, how.window)
        else:
            chosen, patch = NETWORKS[name], 512
            if has_fixed_grid(chosen):
                data.patch = patch = max(data.field.sea.shape)
                grid = {"shape": list(data.field.sea.shape)}
                chosen = chosen | {"init_args": chosen["init_args"] | grid}
            torch.manual_seed(data.seed)
            window, loss = how.window or data.window, LOSSES.get(how.loss, how.loss)
            task = Correction(chosen, window=window, patch=patch, loss=loss)
        data.window = task.window
        data.setup("test" if how.checkpoint else "fit")
        guess = first_guess(data, how)[0]
        if not how.checkpoint:
            if not data.scenes:
                _log.warning("too few values to train a network on; the first guess is delivered")
                return [guess]
            _log.info(
                "%s: %d parameters, a window of %d dates, patches of %d cells",
                name,
                sum(weights.numel() for weights in task.parameters()),
                task.window,
                data.patch,
            )
            task = train(task, data, how)
        if how.save_checkpoint:
            save(task, how.save_checkpoint)
        trial = None
        if guess.trial is not None:
            trial = predict(task, data.trial_dataloader(), *guess.trial, data.device)
        corrected = predict(task, data.predict_dataloader(), *guess.estimate, data.device)
        return [guess, Product(name, corrected, trial, corrects=guess)]

    return method


def truncated_svd(data: GapData, how: Training) -> list[Product]:
    """DINEOF, with the points that choose its number of modes and a file for its EOFs."""
    points = None if how.cv_points is None else read_points(how.cv_points, data.field)
    eofs = decompose([data.field], held_out=points)
    if how.save_eofs is not None:
        write(eofs.to_dataset(data.field), how.save_eofs)
        _log.info("%d modes are in %s", len(eofs.singular), how.save_eofs)
    trial = dineof(data.field.hide(data.held)) if data.held.any() else None
    return [Product("dineof", estimate(data.field, eofs), trial)]


def automatic(data: GapData, how: Training) -> list[Product]:
    """One method of each family: `judge` delivers the one that is best on held-out values."""
    products = []
    for name in AUTOMATIC:
        _log.info("trying %s", name)
        products += METHODS[name](data, how)
    return products


# name on the command line: what makes products of a field, the one to deliver last
METHODS: dict[str, Callable[[GapData, Training], list[Product]]] = {
    **{name: network(name) for name in NETWORKS},
    "oi": first_guess,
    "dineof": truncated_svd,
    "climatology": simple(climatology),
    "persistence": simple(persistence),
    "nearest": simple(nearest),
    "linear-time": simple(linear_in_time),
    "linear-space": simple(linear_in_space),
    "linear-space-time": simple(linear_in_space_time),
    "blend": simple(blend),
    "auto": automatic,
}

GUESSING = (*NETWORKS, "oi", "auto")  # they make a first guess, which tells how hard each held-out value is


def fill(
    source: Inputs,
    *,
    method: str = "unet",
    training: Training = DEFAULTS,
    holdout: bool = True,
    analysis_everywhere: bool = False,
    intervals: Sequence[int] = (),
    seed: int = 0,
    device: str = "auto",
    quiet: bool = True,
    report: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
    attributes: dict[str, Any] | None = None,
    **opening: Any,
) -> xr.Dataset:
    """Fill the gaps of a field: files, a Zarr store or a dataset in memory.

    Returns V, V_analysis, V_error and V_source (`output.to_dataset`) with the score on held-out values in
    the attributes. ``method`` is one of `METHODS`; ``training`` says how a network is trained;
    ``holdout=False`` trains on everything and leaves no score; ``intervals`` are levels in percent, of which
    V_lower_LEVEL and V_upper_LEVEL are written as well; ``device`` is "auto", "cpu" or "cuda"; other
    keywords go to `open_field`. ``report`` gets the rows of the score. Raises `InputError` for a field that
    cannot be filled and for options that do not fit.
    """
    if method not in METHODS:
        raise InputError(f"no method is called {method!r}; choose one of {', '.join(METHODS)}")
    check_levels(intervals)
    where = choose_device(device)
    field = open_field(source, **opening)
    _log.info(
        "%s: %d dates, %d sea pixels, %.1f %% of them missing; %s on %s",
        field.name,
        len(field.days),
        field.sea.sum(),
        100 * (~field.observed[:, field.sea]).mean(),
        method,
        where,
    )
    found: dict[str, Any] = {"method": method, "seed": seed} | (attributes or {})
    found["configuration"] = json.dumps({"holdout": holdout} | asdict(training) | _plain(opening))
    if field.observed[:, field.sea].all():
        _log.warning("%s: nothing is missing, so the values are copied through", field.name)
        mean, error = field.values, np.sqrt(field.error_variance)
        widths = Calibration().half_widths_of(intervals)
        return to_dataset(field, mean, error, intervals=widths, attributes=found)
    data = GapData(
        field,
        held_out=HELD_OUT if holdout else 0.0,
        first_guess=training.first_guess,
        seed=seed,
        device=where,
        quiet=quiet,
    )
    return deliver(
        data,
        method,
        training,
        analysis_everywhere=analysis_everywhere,
        intervals=intervals,
        report=report,
        attributes=found,
    )


def deliver(
    data: GapData,
    method: str,
    training: Training,
    *,
    analysis_everywhere: bool,
    intervals: Sequence[int],
    report: Callable[[list[dict[str, Any]]], None],
    attributes: dict[str, Any],
) -> xr.Dataset:
    """The dataset of the product that is best on the data's held-out values; options as for `fill`."""
    field, found = data.field, dict(attributes)
    products = METHODS[method](data, training)
    chosen, rows, calibration = judge(field, data, products)
    report(rows)
    for row in rows:
        if row["method"] == chosen.name:
            found |= {f"held_out_{key}": value for key, value in row.items() if key != "method"}
    found |= {"delivered": chosen.name} | calibration.attributes()
    mean, error = chosen.estimate
    return to_dataset(
        field,
        mean,
        calibration.scaled(field, error),
        intervals=calibration.half_widths_of(intervals),
        analysis_everywhere=analysis_everywhere,
        attributes=found,
    )


def choose_device(device: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda". Raises `InputError` where there is no GPU to use."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"no device is called {device!r}; choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is found; leave --device out or choose cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def judge(
    field: Field, data: GapData, products: list[Product]
) -> tuple[Product, list[dict[str, Any]], Calibration]:
    """The product to deliver, the scores of all, and the calibration of its error.

    The part of the hold-out that chooses says which product is better and how its error is scaled; the
    scores are of the other part. The delivered error is scaled by both parts together.
    """
    trials = [product.trial for product in products if product.trial is not None]
    if len(trials) < len(products):
        return products[-1], [], Calibration()
    known = field.hide(data.held)
    rows, errors = [], []
    for product, (mean, error) in zip(products, trials, strict=True):
        calibration = calibrated(data, product, "choosing")
        found, _, truth, weight = data.pairs("choosing", mean, error)
        errors.append(rmse(found, truth, weight))
        figures = score(data.pairs("scored", mean, calibration.scaled(known, error)))
        rows.append({"method": product.name} | figures)
    best = int(np.argmin(errors))
    if len(products) > _GUESS_AND_NETWORK:
        _log.info(
            "%s is delivered: of the methods tried it has the least RMSE on held-out values (%s)",
            products[best].name,
            ", ".join(f"{products[i].name} {errors[i]:.4g}" for i in np.argsort(errors)),
        )
    elif best != len(products) - 1:
        _log.warning(
            "%s does not beat %s on held-out values (RMSE %.4g against %.4g), which is delivered instead",
            products[-1].name,
            products[best].name,
            errors[-1],
            errors[best],
        )
    return products[best], rows, calibrated(data, products[best], "held")


def calibrated(data: GapData, product: Product, part: str) -> Calibration:
    """The calibration of a product by a part of the hold-out: "choosing" or all that is "held".

    Further clouds hide more dates from a first guess. A network has seen what is under them; so the first
    guess says how much harder than usual the part is, and that is taken out of the network's factor.
    """
    assert product.trial is not None
    calibration = calibrate(data.misses(part, *product.trial).and_also(product.further))
    guess = product.corrects
    if guess is None or guess.trial is None:
        return calibration
    luck = calibrated(data, guess, part).luck(data.misses(part, *guess.trial))
    return replace(calibration, factor=calibration.factor / luck)


def score(pairs: Pairs) -> dict[str, Any]:
    """The figures of a row of the score."""
    mean, error, truth, weight = pairs
    return {
        "n": len(truth),
        "rmse": rmse(mean, truth, weight),
        "bias": bias(mean, truth, weight),
        "coverage_1sigma": coverage(mean, error, truth, 1, weight),
        "coverage_2sigma": coverage(mean, error, truth, 2, weight),
    }


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
