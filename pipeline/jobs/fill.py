"""The main job: a gappy field in; out comes the filled one, with its error and its score."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from ..classical.baselines import (
    climatology,
    linear_in_space,
    linear_in_space_time,
    linear_in_time,
    nearest,
    persistence,
)
from ..classical.blend import blend
from ..classical.dineof import decompose, dineof, estimate_from_eofs, read_points
from ..errors import InputError
from ..holdout.calibration import Calibration, check_levels
from ..io.field import Field
from ..io.output import provenance, to_dataset
from ..io.reading import Inputs
from ..io.variables import Source, Spec, merge_filled, open_variables
from ..io.writing import write_dataset
from ..training.data import GapData
from ..training.heldout import HeldOut
from ..training.networks import LOSSES, NETWORKS, Training, has_fixed_grid
from .draws import add_samples
from .evaluate import Candidate, Estimate, calibrate_candidate, evaluate_candidates

_log = logging.getLogger(__name__)

HELD_OUT = 0.1  # share of the observed values
AUTOMATIC = ("climatology", "linear-space-time", "dineof", "unet")
DEFAULTS = Training()


Method = Callable[[GapData, Training], list[list[Candidate]]]  # of each output, the one to deliver last


def simple(estimate_from_eofs: Callable[[Field], Estimate]) -> Method:
    """A method that needs no training, from a function of the field."""

    def method(data: GapData, how: Training) -> list[list[Candidate]]:
        made = []
        for part in data.filled_variables:
            trial = estimate_from_eofs(part.field.hide(part.held_out)) if part.is_judged else None
            made.append(
                [
                    Candidate(
                        estimate_from_eofs.__name__.replace("_", " "), estimate_from_eofs(part.field), trial
                    )
                ]
            )
        return made

    return method


def first_guess(data: GapData, how: Training) -> list[list[Candidate]]:
    """Local optimal interpolation in space and time, or the mean of each pixel."""
    name = "optimal interpolation" if data.first_guess == "oi" else "pixel means"
    made = []
    for part in data.filled_variables:
        part.prepare(whole=False)
        trial = ((part.trial_guess, part.trial_error), part.further_residuals()) if part.is_judged else ()
        made.append([Candidate(name, (part.guess, part.error), *trial)])
    return made


def network(name: str) -> Method:
    """The first guess, and after it a network's correction of it."""

    def method(data: GapData, how: Training) -> list[list[Candidate]]:
        # Lightning takes seconds to import, which the other methods need not wait for.
        from ..training.checkpoints import load_correction, save_checkpoint
        from ..training.corrections import apply_correction, train_correction
        from ..training.tasks import Correction

        if how.checkpoint:
            task = load_correction(how.checkpoint, how.window, len(data.variables), data.outputs)
        else:
            chosen, patch = NETWORKS[name], 512
            if has_fixed_grid(chosen):
                data.patch = patch = max(data.field.sea.shape)
                grid = {"shape": list(data.field.sea.shape)}
                chosen = chosen | {"init_args": chosen["init_args"] | grid}
            torch.manual_seed(data.seed)
            task = Correction(
                chosen,
                window=how.window or data.window,
                patch=patch,
                loss=LOSSES.get(how.loss, how.loss),
                variables=len(data.variables),
                outputs=data.outputs,
            )
        data.window = task.window
        data.setup("test" if how.checkpoint else "fit")
        guesses = first_guess(data, how)
        if not how.checkpoint:
            if not data.scenes:
                _log.warning("too few values to train a network on; the first guess is delivered")
                return guesses
            _log.info(
                "%s: %d parameters, a window of %d dates, patches of %d cells",
                name,
                sum(weights.numel() for weights in task.parameters()),
                task.window,
                data.patch,
            )
            task = train_correction(task, data, how)
        if how.save_checkpoint:
            save_checkpoint(task, how.save_checkpoint)
        parts = data.filled_variables
        trials: list[Estimate | None] = [None] * len(parts)
        if any(part.is_judged for part in parts):
            without = [(part.trial_guess, part.trial_error) for part in parts]
            found = apply_correction(task, data.trial_dataloader(), without, data.device)
            trials = [one if part.is_judged else None for one, part in zip(found, parts, strict=True)]
        whole = [(part.guess, part.error) for part in parts]
        corrected = apply_correction(task, data.predict_dataloader(), whole, data.device)
        return [
            [guess, Candidate(name, made, trial, corrects=guess)]
            for (guess,), made, trial in zip(guesses, corrected, trials, strict=True)
        ]

    return method


def truncated_svd(data: GapData, how: Training) -> list[list[Candidate]]:
    """DINEOF of all variables together, with the points that choose its number of modes and a file for EOFs.

    The number of modes is chosen for each output by values of its own; points and file are of the first.
    """
    made = []
    for part in data.filled_variables:
        others = [other for other in data.variables if other is not part]
        of_first = part is data
        points = read_points(how.cv_points, part.field) if how.cv_points is not None and of_first else None
        eofs = decompose([part.field, *(other.field for other in others)], held_out=points)
        if how.save_eofs is not None and of_first:
            write_dataset(eofs.to_dataset(part.field), how.save_eofs)
            _log.info("%d modes are in %s", len(eofs.singular), how.save_eofs)
        trial = None
        if part.is_judged:
            seen, *rest = (one.field.hide(one.held_out) for one in (part, *others))
            trial = dineof(seen, *rest)
        made.append([Candidate("dineof", estimate_from_eofs(part.field, eofs), trial)])
    return made


def automatic(data: GapData, how: Training) -> list[list[Candidate]]:
    """One method of each family: `evaluate_candidates` delivers the one that is best on held-out values."""
    products: list[list[Candidate]] = [[] for _ in data.filled_variables]
    for name in AUTOMATIC:
        _log.info("trying %s", name)
        for one, more in zip(products, METHODS[name](data, how), strict=True):
            one += more
    return products


METHODS: dict[str, Method] = {  # by their names on the command line
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
    source: Inputs | Spec | Field,
    *,
    others: Sequence[Source] = (),
    auxiliary: Sequence[Source] = (),
    method: str = "unet",
    training: Training = DEFAULTS,
    holdout: bool = True,
    analysis_everywhere: bool = False,
    intervals: Sequence[int] = (),
    samples: int = 0,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = True,
    report: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
    attributes: dict[str, Any] | None = None,
    **opening: Any,
) -> xr.Dataset:
    """Fill the gaps of a field: files, a Zarr store or a dataset in memory.

    Returns V, V_analysis, V_error and V_source (`output.to_dataset`) with the score on held-out values in
    the attributes. ``others`` are further variables to fill, ``auxiliary`` ones only help; each is a
    ``FILE:NAME`` (`variables.parse_spec`), a dataset or a `Field`, and is brought to the grid and the dates of the
    first. ``method`` is one of `METHODS`; ``training`` says how a network is trained; ``holdout=False``
    trains on everything and leaves no score; ``intervals`` are levels in percent, of which V_lower_LEVEL and
    V_upper_LEVEL are written as well; ``samples`` is how many draws V_samples holds, which are made when they
    are asked for (`samples.drawn`); ``device`` is "auto", "cpu" or "cuda"; other keywords go to `open_field`
    for the ``source``. ``report`` gets the rows of the score. Raises `InputError` for a field
    that cannot be filled and for options that do not fit.
    """
    if method not in METHODS:
        raise InputError(f"no method is called {method!r}; choose one of {', '.join(METHODS)}")
    check_levels(intervals)
    where = choose_device(device)
    fields, helpers = open_variables(source, others, auxiliary, **opening)
    names = [field.name for field in fields]
    for field in (*fields, *helpers):
        _log.info(
            "%s: %d dates, %d sea pixels, %.1f %% of them missing; %s",
            field.name,
            len(field.days),
            field.sea.sum(),
            100 * (~field.observed[:, field.sea]).mean(),
            f"{method} on {where}" if field.name in names else "input only",
        )
    beside = {"others": names[1:] or None, "auxiliary": [field.name for field in helpers] or None}
    found = provenance(method, seed, attributes, holdout=holdout, **asdict(training), **opening, **beside)
    gappy: list[Field] = []
    complete: list[Field] = []
    copied: list[xr.Dataset] = []
    for field in fields:
        if not field.observed[:, field.sea].all():
            gappy.append(field)
            continue
        _log.warning("%s: nothing is missing, so the values are copied through", field.name)
        complete.append(field)
        widths, error = Calibration().half_widths_of(intervals), np.sqrt(field.error_variance)
        copied.append(to_dataset(field, field.values, error, intervals=widths, attributes=found))
    if not gappy:
        return merge_filled(copied)
    data = GapData(
        [*gappy, *complete, *helpers],
        held_out=HELD_OUT if holdout else 0.0,
        first_guess=training.first_guess,
        outputs=len(gappy),
        seed=seed,
        device=where,
        quiet=quiet,
    )
    delivered = deliver(
        data,
        method,
        training,
        analysis_everywhere=analysis_everywhere,
        intervals=intervals,
        samples=samples,
        report=report,
        attributes=found,
    )
    return merge_filled([*delivered, *copied])


def deliver(
    data: GapData,
    method: str,
    training: Training,
    *,
    analysis_everywhere: bool,
    intervals: Sequence[int],
    report: Callable[[list[dict[str, Any]]], None],
    attributes: dict[str, Any],
    samples: int = 0,
) -> list[xr.Dataset]:
    """Of each output the dataset of what is best on its held-out values; options as for `fill`.

    Of several each score has the name of its variable.
    """
    found, shown = dict(attributes), []
    chosen: list[tuple[HeldOut, Estimate, Calibration]] = []
    for part, products in zip(data.filled_variables, METHODS[method](data, training), strict=True):
        field = part.field
        if part.held_out.any() and not part.is_judged:
            _log.warning("%s: too few of its values are held out to score what is made of it", field.name)
        best, rows, calibration = evaluate_candidates(field, part, products)
        said = {"delivered": best.name} | calibration.attributes()
        for row in rows:
            if row["method"] == best.name:
                said |= {f"held_out_{key}": value for key, value in row.items() if key != "method"}
        of = {"variable": field.name} if data.outputs > 1 else {}
        shown += [of | row for row in rows]
        found |= {f"{field.name}_{key}" if of else key: value for key, value in said.items()}
        chosen.append((part, (best.estimate[0], scale_error(part, best, calibration)), calibration))
    report(shown)
    made = []
    for part, estimated, calibration in chosen:
        dataset = to_dataset(
            part.field,
            *estimated,
            intervals=calibration.half_widths_of(intervals),
            analysis_everywhere=analysis_everywhere,
            attributes=found,
        )
        made.append(add_samples(dataset, part, estimated, calibration, samples) if samples else dataset)
    return made


def scale_error(data: HeldOut, product: Candidate, calibration: Calibration) -> NDArray[np.float32]:
    """(time, lat, lon) of a product, as a calibration scales it.

    That of a network is no less than that of its first guess where a pixel is never observed: the first guess
    is calibrated on more of the pixels that are hidden on all dates.
    """
    field, guess = data.field, product.corrects
    error = calibration.scale_error(field, product.estimate[1])
    unseen = field.never_observed
    if guess is None or guess.trial is None or not unseen.any():
        return error
    least = scale_error(data, guess, calibrate_candidate(data, guess, "held_out"))
    return np.where(unseen, np.maximum(error, least), error)


def choose_device(device: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda". Raises `InputError` where there is no GPU to use."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"no device is called {device!r}; choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is found; leave --device out or choose cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
