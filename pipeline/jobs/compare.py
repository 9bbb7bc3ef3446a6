"""Which method is best on a field: all of them on the same hidden values."""

from __future__ import annotations

import copy
import logging
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
from rich.table import Table

from ..errors import InputError
from ..holdout import spectra
from ..holdout.patterns import HOLDOUTS, distance_and_age
from ..holdout.scores import bias, coverage, crps_gaussian, mae, rmse, rmse_interval, sums
from ..io.field import Field
from ..io.writing import replace_atomically
from ..training.data import GapData
from ..training.networks import NETWORKS, Training
from .evaluate import calibrate_candidate
from .fill import DEFAULTS, GUESSING, METHODS, choose_device

_log = logging.getLogger(__name__)

USUAL = (*(name for name in METHODS if name not in (*NETWORKS, "auto")), "unet")
_SHARE = 0.2  # of the observed values that are hidden; one half scales the errors, the other is scored
_SMALLEST_BOX = (8, 16, 16)  # dates, rows and columns of a spectrum

Floats = NDArray[np.floating]


@dataclass
class Scored:
    """Estimates of m methods at n hidden values, and where these are."""

    truth: Floats  # (n,)
    weight: Floats  # (n,) with which the hidden values are as hard as the real gaps
    cell: NDArray[np.int64]  # (n, 3) date, row, column
    distance: Floats  # (n,) km to the nearest value of the same date
    age: Floats  # (n,) days to the nearest date that sees the pixel; infinite where none does
    estimates: dict[str, tuple[Floats, Floats]] = part_of(default_factory=dict)  # mean, standard error (n,)

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
        return Scored(**arrays, estimates=both)


@dataclass
class Comparison:
    """``rows`` (best first, then what failed) and what they were made from."""

    rows: list[dict[str, Any]]
    scored: Scored
    field: Field
    weighted: bool


def compare(
    field: Field,
    methods: Sequence[str] = USUAL,
    *,
    holdout: str = "clouds",
    folds: int = 1,
    truth: Floats | None = None,
    training: Training = DEFAULTS,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = True,
) -> Comparison:
    """Score methods of `fill.METHODS` on values that are hidden from a field.

    ``holdout`` (`gaps.HOLDOUTS`) says how a fifth of the observed values is hidden. On one half of them,
    of other dates, the standard errors are scaled and networks choose their epoch; the other half is scored.
    ``folds`` repeats it with other hidden values, scored together. With ``truth`` (time, lat, lon), finite
    where it is known, the gaps themselves are scored and what is hidden is only for the scaling.

    A row has the method, n, rmse and its 95 % interval rmse_low and rmse_high (bootstrap over dates), bias,
    mae, crps, coverage_1sigma, coverage_2sigma, tie (whether that interval of the difference from the best
    has zero in it), seconds and memory_gb (peak of the process), and of a complete truth mu, sigma,
    lambda_x (degrees) and lambda_t (days). A method that fails has ``failed`` instead. Raises `InputError`
    for unknown names and where nothing can be hidden.
    """
    unknown = [name for name in methods if name not in METHODS or name == "auto"]
    if unknown or holdout not in HOLDOUTS:
        what, choice = (unknown, METHODS) if unknown else ([holdout], HOLDOUTS)
        names = ", ".join(name for name in choice if name != "auto")
        raise InputError(f"there is no {', '.join(what)} to compare with; choose among {names}")
    spent: dict[str, list[float]] = {name: [0.0, 0.0] for name in methods}
    failed: dict[str, str] = {}
    whole: dict[str, Floats] = {}
    parts = []
    for fold in range(folds):
        data = GapData(
            field,
            held_out=_SHARE,
            holdout=holdout,
            first_guess=training.first_guess,
            seed=seed + fold,
            device=choose_device(device),
            quiet=quiet,
        )
        if not (data.validation.any() and data.test.any()):
            raise InputError(
                f"{field.name}: no values can be hidden by {holdout}, so there is nothing to compare on; "
                f"choose another --holdout among {', '.join(HOLDOUTS)}"
            )
        here = data.test if truth is None else np.isfinite(truth) & field.sea & ~field.observed
        if not here.any():
            raise InputError(f"{field.name}: the truth has no value in a gap; give that of this field")
        with _measured() as guessed:
            if any(name in GUESSING for name in methods):
                data.setup("predict")
        with _measured() as rehearsed:
            if any(name in NETWORKS for name in methods):
                data.setup("fit")
        seen = field.hide(data.held_out)
        part = _places(field if truth is not None else seen, here)
        part.truth = (field.values if truth is None else truth)[here]  # noqa: PD011 - a Field's
        part.weight = data.weight[here] if truth is None else np.ones(part.truth.shape)
        for name in methods:
            if name in failed:
                continue
            if not quiet:
                _log.info("%s%s", name, f", fold {fold + 1} of {folds}" if folds > 1 else "")
            try:
                with _measured() as used:
                    product = METHODS[name](copy.copy(data), training)[0][-1]
                assert product.trial is not None
                mean, error = product.trial
                calibration = calibrate_candidate(data, product, "validation")
                if truth is not None:
                    mean, error = product.estimate
                    whole[name] = mean
                sigma = calibration.scale_error(seen if truth is None else field, error)
                part.estimates[name] = mean[here], sigma[here]
            except Exception as fault:
                failed[name] = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
                _log.warning("%s fails: %s", name, failed[name])
                continue
            seconds = used[0] + guessed[0] * (name in GUESSING) + rehearsed[0] * (name in NETWORKS)
            spent[name] = [spent[name][0] + seconds, max(spent[name][1], used[1])]
        parts.append(part)
    scored = parts[0]
    for part in parts[1:]:
        scored = scored.append(part)
    rows = _rows(scored)
    for row in rows:
        row["seconds"], row["memory_gb"] = spent[row["method"]]
        if truth is not None:
            row |= _spectral(field, truth, whole[row["method"]])
    rows += [{"method": name, "failed": why} for name, why in failed.items()]
    return Comparison(rows, scored, field, truth is None and any(name in GUESSING for name in methods))


def table(comparison: Comparison) -> Table:
    """The rows for the screen; the best is marked, and what cannot be told from it."""
    title = f"{comparison.field.name} ({comparison.field.source.attrs.get('units', '1')})"
    shown = Table(title=title, collapse_padding=True, pad_edge=False)  # all columns in 120 characters
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("method")
    headings, lines = _cells(comparison)
    for heading in headings[1:]:
        shown.add_column(heading, justify="right")
    for line in lines:
        shown.add_row(*line, style="bold" if line[-1] == "best" else None)
    shown.caption = "RMSE with its 95 % interval over dates; a tie: that of the difference has zero in it"
    if comparison.weighted:
        shown.caption += ";\nhidden values weighted to be as hard as the real gaps"
    return shown


def write(comparison: Comparison, target: Path) -> list[Path]:
    """Write the rows as CSV, with all digits, and as Markdown: ``target``.csv and ``target``.md."""
    paths = [target.with_name(target.name + kind) for kind in (".csv", ".md")]
    with replace_atomically(paths[0]) as temporary:
        pd.DataFrame(comparison.rows).to_csv(temporary, index=False)
    headings, lines = _cells(comparison)
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    with replace_atomically(paths[1]) as temporary:
        text = "".join(f"| {' | '.join(cells)} |\n" for cells in (headings, rule, *lines))
        temporary.write_text(text, encoding="utf-8")
    return paths


def _cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    rows = comparison.rows
    spectral = any("mu" in row for row in rows)
    headings = ["method", "RMSE", "95 %", "bias", "MAE", "CRPS", "±1σ", "±2σ"]
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
            *(f"{100 * row[f'coverage_{k}sigma']:.0f} %" for k in (1, 2)),
        ]
        if spectral:
            keys = "mu", "sigma", "lambda_x", "lambda_t"
            line += [f"{row[key]:.3g}" if key in row else "" for key in keys]
        mark = "best" if row is rows[0] else "tie" if row["tie"] else ""
        lines.append([*line, f"{row['seconds']:.0f}", f"{row['memory_gb']:.1f}", mark])
    return headings, lines


def _places(known: Field, here: NDArray[np.bool_]) -> Scored:
    """Where the values at ``here`` are, and how far from what is ``known``."""
    distance, age = distance_and_age(known)
    nothing = np.zeros(0)
    return Scored(nothing, nothing, np.argwhere(here), distance[here], age[here])


def _rows(scored: Scored) -> list[dict[str, Any]]:
    """A row a method that did not fail, best first."""
    date = scored.cell[:, 0]
    weight = sums(date, scored.weight)
    squares: dict[str, Floats] = {}
    rows: list[dict[str, Any]] = []
    for name, (mean, error) in scored.estimates.items():
        given = scored.truth, scored.weight
        squares[name] = sums(date, scored.weight * (mean - scored.truth) ** 2)
        rows.append(
            {
                "method": name,
                "n": len(scored.truth),
                "rmse": rmse(mean, *given),
                "bias": bias(mean, *given),
                "mae": mae(mean, *given),
                "crps": crps_gaussian(mean, error, *given),
                "coverage_1sigma": coverage(mean, error, scored.truth, 1, scored.weight),
                "coverage_2sigma": coverage(mean, error, scored.truth, 2, scored.weight),
            }
        )
    rows.sort(key=lambda row: row["rmse"])
    for row in rows:
        own, best = squares[row["method"]], squares[rows[0]["method"]]
        row["rmse_low"], row["rmse_high"] = rmse_interval(own, weight)
        low, _ = rmse_interval(own, weight, best)
        row["tie"] = bool(row is not rows[0] and low <= 0)
    return rows


def _spectral(field: Field, truth: Floats, estimate: Floats) -> dict[str, float]:
    """mu, sigma, lambda_x, lambda_t on the largest box of sea in which the truth is complete, if large."""
    whole = np.where(field.observed, field.values, truth)
    rows, columns = largest_box(np.isfinite(whole).all(axis=0) & field.sea)
    box = (slice(None), rows, columns)
    shape = whole[box].shape
    if any(extent < least for extent, least in zip(shape, _SMALLEST_BOX, strict=True)):
        return {}
    found = np.where(field.observed, field.values, estimate)[box]
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
def _measured(every: float = 0.05) -> Iterator[list[float]]:
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
