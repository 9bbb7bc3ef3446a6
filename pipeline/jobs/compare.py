"""Which method is best on a field: all of them on the same hidden values."""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as part_of
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray

from ..errors import InputError
from ..holdout import spectra
from ..holdout.apart import set_apart
from ..holdout.patterns import HOLDOUTS, distance_and_age
from ..holdout.point_scores import Differences, score_points
from ..holdout.score_files import read_truth
from ..holdout.score_sums import ScoreSums
from ..io.field import Field, open_field
from ..io.opening import Opening
from ..io.reading import Inputs
from ..io.writing import replace_atomically
from ..keywords import take_keywords
from ..settings import PARTS, FillSettings, choose_device, make_settings
from ..training.data import GapData
from ..training.heldout import DataSettings, Pairs
from .evaluate import choose_product, fit_error_scale, name_space, to_asked_space
from .methods import find_method, find_method_for, list_methods

_log = logging.getLogger(__name__)

_SHARE = 0.2  # of the observed values that are hidden; one half scales the errors, the other is scored
_SMALLEST_BOX = (8, 16, 16)  # dates, rows and columns of a spectrum

Floats = NDArray[np.floating]


@dataclass
class Scored:
    """Estimates of m methods at n hidden values, in the space that is asked for, and where these are."""

    truth: Floats  # (n,)
    weight: Floats  # (n,) with which the hidden values are as hard as the real gaps
    cell: NDArray[np.int64]  # (n, 3) date, row, column
    distance: Floats  # (n,) km to the nearest value of the same date
    age: Floats  # (n,) days to the nearest date that sees the pixel; infinite where none does
    estimates: dict[str, tuple[Floats, Floats]] = part_of(default_factory=dict)  # mean, standard error (n,)
    # (n,) errors over the scaled standard errors, in the space in which the field is filled
    residuals: dict[str, Floats] = part_of(default_factory=dict)

    def append(self, other: Scored) -> Scored:
        """The values of both; methods that failed on one of them are left out."""
        arrays = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("truth", "weight", "cell", "distance", "age")
        }
        both = {
            name: (
                np.concatenate([self.estimates[name][0], found[0]]),
                np.concatenate([self.estimates[name][1], found[1]]),
            )
            for name, found in other.estimates.items()
            if name in self.estimates
        }
        residuals = {
            name: np.concatenate([self.residuals[name], found])
            for name, found in other.residuals.items()
            if name in self.residuals
        }
        return Scored(**arrays, estimates=both, residuals=residuals)


@dataclass(repr=False)
class Comparison:
    """``rows`` (best first, then what failed) and what they were made from.

    A row has the method, n, rmse and its 95% interval rmse_low and rmse_high (bootstrap over dates), bias,
    mae, crps, coverage_1sigma, coverage_2sigma, tie (whether that interval of the difference from the best
    contains zero), space (see `compare`), seconds and memory_gb (peak of the process), with points that are
    held out points_n, points_platforms, points_bias, points_rmse and its interval, and with a complete truth
    mu, sigma, lambda_x (degrees) and lambda_t (days). A method that fails has ``failed`` instead.
    """

    rows: list[dict[str, Any]]
    scored: Scored
    field: Field
    weighted: bool

    @property
    def table(self) -> pd.DataFrame:
        """The rows by method."""
        return pd.DataFrame(self.rows).set_index("method")

    def __repr__(self) -> str:
        return f"<Comparison on {self.field.name}>\n{self.table.to_string(float_format='%.4g')}"

    def _repr_html_(self) -> str:
        return str(self.table.to_html(float_format="%.4g"))


@take_keywords(Opening, FillSettings, *PARTS.values())
def compare(
    source: Inputs | Field,
    methods: str | Sequence[Any] = "usual",
    *,
    holdout: str = "clouds",
    folds: int = 1,
    truth: str | os.PathLike[str] | Floats | None = None,
    opening: Opening | None = None,
    settings: FillSettings | None = None,
    **options: Any,
) -> Comparison:
    """Score methods on values that are hidden from a field.

    On one half of the hidden values, the validation set, the standard errors are scaled, networks choose
    their epoch, and the share of their correction is fitted that is delivered; the other half, the test set
    of other dates, is scored. Scores are in the units of the field, or those of its logarithms where these
    were asked for (the ``space`` of a row); coverage is counted in the space that is filled.

    Parameters
    ----------
    source
        What `oceanfill.fill` takes as one variable, or an opened `Field`.
    methods
        Names with commas between them, or a sequence of names, methods and functions (`methods.find_method`).
        "usual" are the classical ones, the pretrained network and a U-Net, "all" every method there is.
    holdout
        Which fifth of the observed values is hidden: "clouds" (masks of other dates), "tracks", "random",
        "dates" or "altimeters".
    folds
        How often this is repeated with other hidden values, which are scored together.
    truth
        A file with the truth, or an array (time, lat, lon), finite where it is known. The gaps themselves are
        then scored, and the hidden values are only used to scale the errors.
    opening, settings
        Options that were put together before. Those given by name replace them.
    variable, region, period, ...
        What is opened: the options of `Opening`.
    epochs, time_budget, seed, device, quiet, ...
        How networks are trained: the options of `FillSettings` and `Training`. Others have no effect.
    hold_out, hold_out_reach
        Points that are kept out, with the values of the field at them: every method is scored at them too.

    Returns
    -------
    Comparison
        Its ``rows``, the best method first, and a data frame of them, ``table``.

    Raises
    ------
    InputError
        For input that cannot be opened, unknown names, and where nothing can be hidden.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-20"}
    >>> found = oceanfill.compare("sample:sst_clouds.nc", "nearest,oi,climatology", **part)
    >>> found.rows[0]["method"]
    'oi'
    """
    opened = {name: options[name] for name in options.keys() & Opening.__dataclass_fields__.keys()}
    settings = make_settings(settings, {name: options[name] for name in options.keys() - opened.keys()})
    if not isinstance(source, Field):
        field = open_field(source, opening, **opened)
    elif opened:
        raise InputError(f"the field is open already; leave out {', '.join(f'{name}=' for name in opened)}")
    else:
        field = source
    if isinstance(truth, str | os.PathLike):
        truth = read_truth(field, truth)
    apart = None
    if settings.points.hold_out is not None:
        apart = set_apart(field, settings.points.hold_out, settings.points.hold_out_reach)
        field = field.hide(apart.hidden)
    at_points: dict[str, list[Differences]] = {}
    dates = len(field.days)
    tried = [find_method_for(dates, one) for one in _list_compared(methods, dates)]
    if any(method.name == "auto" for method in tried):
        raise InputError("auto is a choice among the others and is not compared with them; leave it out")
    if holdout not in HOLDOUTS:
        raise InputError(f"there is no hold-out {holdout!r}; choose one of {', '.join(HOLDOUTS)}")
    spent: dict[str, list[float]] = {method.name: [0.0, 0.0] for method in tried}
    failed: dict[str, str] = {}
    whole: dict[str, Floats] = {}
    parts = []
    for fold in range(folds):
        data = GapData(
            field,
            DataSettings(
                held_out=_SHARE,
                holdout=holdout,
                first_guess=settings.training.first_guess,
                seed=settings.seed + fold,
                device=choose_device(settings.device),
                quiet=settings.quiet,
            ),
        )
        if not data.is_judged:
            raise InputError(
                f"{field.name}: no values can be hidden by {holdout}, so there is nothing to compare on; "
                f"choose another holdout= among {', '.join(HOLDOUTS)}"
            )
        here = data.test if truth is None else np.isfinite(truth) & field.sea & ~field.observed
        if not here.any():
            raise InputError(f"{field.name}: the truth has no value in a gap; give that of this field")
        with _measure() as guessed:
            if any(method.needs_first_guess for method in tried):
                data.setup("predict")
        with _measure() as masked:
            if any(method.trains or method.general for method in tried):
                data.setup("fit" if any(method.trains for method in tried) else "test")
        known = field.hide(data.held_out)
        part = locate(field if truth is not None else known, here)
        expected = (field.values if truth is None else truth)[here]  # noqa: PD011 - a Field's
        part.weight = data.weight[here] if truth is None else np.ones(expected.shape)
        for method in tried:
            name = method.name
            if name in failed:
                continue
            if not settings.quiet:
                _log.info("%s%s", name, f", fold {fold + 1} of {folds}" if folds > 1 else "")
            try:
                with _measure() as used:
                    (candidates,) = method(copy.copy(data), settings)
                    # As `fill` delivers it: a correction is shrunken, or gives way to its first guess.
                    candidate = choose_product(data, list(candidates.values()))
                assert candidate.trial is not None
                scale = fit_error_scale(data, candidate, "validation")
                if truth is None:
                    mean, sigma = candidate.trial[0], scale.of_trial(known, candidate)
                else:
                    mean, sigma = candidate.estimate[0], scale.of_estimate(field, candidate)
                    whole[name] = mean
                part.residuals[name] = (mean[here] - expected) / sigma[here]
                found = Pairs(mean[here], sigma[here], expected, part.weight, ())
                found = to_asked_space(field, found, scale.noise)
                part.estimates[name], part.truth = (found.mean, found.error), found.truth
                if apart is not None:
                    own = np.sqrt(np.maximum(sigma**2 - scale.noise, 0))
                    at_points.setdefault(name, []).append(apart.interpolate(field, mean, own))
            except Exception as fault:
                failed[name] = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
                _log.warning("%s failed: %s", name, failed[name])
                continue
            seconds = used[0] + guessed[0] * method.needs_first_guess + masked[0] * method.trains
            spent[name] = [spent[name][0] + seconds, max(spent[name][1], used[1])]
        parts.append(part)
    scored = parts[0]
    for part in parts[1:]:
        scored = scored.append(part)
    rows = score_rows(scored)
    for row in rows:
        row["space"] = name_space(field)
        row["seconds"], row["memory_gb"] = spent[row["method"]]
        if apart is not None:
            row |= _score_at_points(at_points[row["method"]])
        if truth is not None:
            row |= _spectral(field, truth, whole[row["method"]])
    rows += [{"method": name, "failed": why} for name, why in failed.items()]
    weighted = truth is None and any(method.needs_first_guess for method in tried)
    return Comparison(rows, scored, field, weighted)


def _list_compared(methods: str | Sequence[Any], dates: int) -> Sequence[Any]:
    if not isinstance(methods, str):
        return methods
    if methods == "usual":
        return usual_methods(dates)
    if methods == "all":
        return [name for name in list_methods(dates) if name != "auto"]
    return [name.strip() for name in methods.split(",")]


def usual_methods(dates: int = 2) -> list[str]:
    """Return the names of the methods that are compared by default on a field of so many ``dates``.

    These are the classical ones, the pretrained network and the U-Net; of a single map, those that fill it.
    """
    names = [name for name, method in list_methods(dates).items() if method.usual]
    return sorted(names, key=lambda name: find_method(name).trains)  # networks last


def name_files(target: Path) -> list[Path]:
    """Return the files that `write` writes."""
    return [target.with_name(target.name + kind) for kind in (".csv", ".md")]


def write(comparison: Comparison, target: Path) -> list[Path]:
    """Write the rows as CSV, with all digits, and as Markdown: ``target``.csv and ``target``.md."""
    paths = name_files(target)
    with replace_atomically(paths[0]) as temporary:
        pd.DataFrame(comparison.rows).to_csv(temporary, index=False)
    headings, lines = comparison_cells(comparison)
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    with replace_atomically(paths[1]) as temporary:
        text = "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rule, *lines))
        temporary.write_text(text, encoding="utf-8")
    return paths


def comparison_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the cells of a comparison, as text."""
    rows = comparison.rows
    spectral = any("mu" in row for row in rows)
    headings = ["method", "RMSE", "95%", "bias", "MAE", "CRPS", "±1σ", "±2σ"]
    pointed = any("points_rmse" in row for row in rows)
    headings += ["RMSE at points"] * pointed
    headings += ["µ", "σ", "λx (°)", "λt (d)"] * spectral + ["s", "GB", ""]
    lines = []
    for row in rows:
        if "failed" in row:
            lines.append([row["method"], *[""] * (len(headings) - 2), f"fails: {row['failed']}"])
            continue
        line = [
            row["method"],
            f"{row['rmse']:.4g}",
            f"{row['rmse_low']:.3g}-{row['rmse_high']:.3g}",
            f"{row['bias']:+.2g}",
            f"{row['mae']:.3g}",
            f"{row['crps']:.3g}",
            *(f"{100 * row[f'coverage_{k}sigma']:.0f}%" for k in (1, 2)),
        ]
        if pointed:
            line.append(f"{row['points_rmse']:.4g}")
        if spectral:
            keys = "mu", "sigma", "lambda_x", "lambda_t"
            line += [f"{row[key]:.3g}" if key in row else "" for key in keys]
        mark = "best" if row is rows[0] else "tie" if row["tie"] else ""
        lines.append([*line, f"{row['seconds']:.0f}", f"{row['memory_gb']:.1f}", mark])
    return headings, lines


def locate(known: Field, here: NDArray[np.bool_]) -> Scored:
    """Where the values at ``here`` are, and how far from what is ``known``."""
    distance, age = distance_and_age(known)
    nothing = np.zeros(0)
    return Scored(nothing, nothing, np.argwhere(here), distance[here], age[here])


def score_rows(scored: Scored) -> list[dict[str, Any]]:
    """Return a row for each method that did not fail, best first."""
    found = {
        name: ScoreSums.from_estimate(mean, error, scored.truth, scored.weight, scored.cell[:, 0])
        for name, (mean, error) in scored.estimates.items()
    }
    names = sorted(found, key=lambda name: found[name].rmse)
    rows: list[dict[str, Any]] = []
    for name in names:
        sums, best = found[name], found[names[0]]
        low, high = sums.rmse_interval()
        tie = name != names[0] and sums.rmse_interval(best)[0] <= 0
        row = {"method": name} | sums.to_dict() | {"rmse_low": low, "rmse_high": high, "tie": bool(tie)}
        if name in scored.residuals:
            size = np.abs(scored.residuals[name])
            row |= {f"coverage_{k}sigma": float(np.average(size <= k, weights=scored.weight)) for k in (1, 2)}
        rows.append(row)
    return rows


def _score_at_points(folds: Sequence[Differences]) -> dict[str, Any]:
    """Score estimates at points, those of all folds together."""
    names = Differences.__dataclass_fields__
    pooled = Differences(*(np.concatenate([getattr(fold, name) for fold in folds]) for name in names))
    (whole,) = score_points(pooled, None)
    wanted = "n", "platforms", "bias", "rmse", "rmse_low", "rmse_high"
    return {f"points_{key}": whole[key] for key in wanted}


def _spectral(field: Field, truth: Floats, estimate: Floats) -> dict[str, float]:
    """mu, sigma, lambda_x, lambda_t on the largest box of sea in which the truth is complete, if large."""
    whole = np.where(field.observed, field.values, truth) + np.float64(field.offset)
    rows, columns = largest_box(np.isfinite(whole).all(axis=0) & field.sea)
    box = (slice(None), rows, columns)
    shape = whole[box].shape
    if any(extent < least for extent, least in zip(shape, _SMALLEST_BOX, strict=True)):
        return {}
    found = np.where(field.observed, field.values, estimate)[box] + np.float64(field.offset)
    lon = field.lon[rows, columns]
    try:
        lambda_x, lambda_t = spectra.resolution(found, whole[box], field.days, lon[len(lon) // 2])
    except ValueError:  # dates or longitudes are uneven
        return {}
    mu, sigma = spectra.skill(found, whole[box])
    return {"mu": mu, "sigma": sigma, "lambda_x": lambda_x, "lambda_t": lambda_t}


def largest_box(where: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The largest rectangle of a map (rows, columns) that is True all over."""
    height = np.zeros(where.shape[1], np.int64)
    best, found = 0, (slice(0, 0), slice(0, 0))
    for row, line in enumerate(where):
        height = np.where(line, height + 1, 0)
        for tall in np.unique(height[height > 0]):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], height >= tall, [0]])))
            start, end = edges[::2], edges[1::2]
            widest = int(np.argmax(end - start))
            area = int(tall * (end - start)[widest])
            if area > best:
                best = area
                found = slice(row + 1 - int(tall), row + 1), slice(int(start[widest]), int(end[widest]))
    return found


@contextmanager
def _measure(every: float = 0.05) -> Iterator[list[float]]:
    """Seconds and peak resident memory of the process (GB) of the block, known when it ends."""
    process, done = psutil.Process(), threading.Event()
    found = [0.0, process.memory_info().rss / 2**30]

    def watch() -> None:
        while not done.wait(every):
            found[1] = max(found[1], process.memory_info().rss / 2**30)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        yield found
    finally:
        found[0] += time.perf_counter() - start
        done.set()
        watcher.join()
