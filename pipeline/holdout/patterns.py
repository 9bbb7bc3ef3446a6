"""Patterns of observed values to hide, above all the clouds of other dates laid over the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from ..io.field import Field, grid_spacing

Mask = NDArray[np.bool_]
_MOST_MISSIONS = 200  # to try: most miss a small domain
_MOST_MOVES = 200  # of the gaps of a single map
_ONE_MAP, _MOST_HIDDEN = 3.0, 0.5  # more is hidden of a single map, whose one hold-out has to hold whole gaps
_PIECES = 4  # fewest in which a single map hides its values
_FEW_UNOBSERVED = 0.01  # share of the gaps below which pixels that are never observed are neglected


@dataclass(frozen=True)
class CloudGaps:
    """Observed cells, each with the gap around a missing date of the same pixel, to be laid over the cell."""

    target: NDArray[np.int64]  # (n, 3) date, row, column of the observed cell
    model: NDArray[np.int64]  # (n, 3) of the missing cell
    before: NDArray[np.int64]  # (n,) dates for which the pixel has been missing before
    after: NDArray[np.int64]  # (n,) dates for which it remains missing


def count_missing_dates(observed: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the consecutive missing dates just before and just after each cell (time, lat, lon)."""
    before = np.zeros(observed.shape, np.int64)
    for t in range(1, len(observed)):
        before[t] = np.where(observed[t - 1], 0, before[t - 1] + 1)
    after = np.zeros(observed.shape, np.int64)
    for t in range(len(observed) - 2, -1, -1):
        after[t] = np.where(observed[t + 1], 0, after[t + 1] + 1)
    return before, after


def distance_and_age(field: Field) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance (km) to the nearest value of the date and age (days) of the nearest of the pixel.

    Both are (time, lat, lon), zero at values, and infinite where the date, or the pixel, has none.
    """
    step = grid_spacing(field)[1:]
    distance = np.stack([find_distances(seen, step) for seen in field.observed])
    return distance, find_ages(field.observed, field.days)


def find_distances(seen: Mask, step: tuple[float, float]) -> NDArray[np.float32]:
    """Distance (lat, lon) in km to the nearest value of a map; infinite where it has none.

    ``step`` is the distance between rows and between columns.
    """
    if not seen.any():
        return np.full(seen.shape, np.inf, np.float32)
    return distance_transform_edt(~seen, sampling=step).astype(np.float32)


def find_ages(observed: Mask, days: NDArray[np.float64]) -> NDArray[np.float32]:
    """Age (time, ...) in days of the nearest value of each pixel; infinite where it has none."""
    age = np.full(observed.shape, np.inf, np.float32)
    for dates in (range(len(days)), range(len(days))[::-1]):
        since, last = np.full(observed.shape[1:], np.inf), days[dates[0]]
        for t in dates:
            since = np.where(observed[t], 0.0, since + abs(days[t] - last))
            age[t], last = np.minimum(age[t], since), days[t]
    return age


def draw_cloud_gaps(field: Field, count: int, rng: np.random.Generator) -> CloudGaps:
    """Draw up to ``count`` observed cells with the gap around a random missing cell of the same pixel.

    Half of them have the gap of that date only, as at the first and the last date of a gap. In a single map
    the missing cell is any other one, and its surroundings are moved to the observed cell.
    """
    observed = field.observed
    if len(observed) == 1:
        return _draw_gaps_of_one_map(field, count, rng)
    missing = np.argwhere(~observed & field.sea & observed.any(axis=0))
    model = missing[rng.permutation(len(missing))[:count]]
    seen = observed[:, model[:, 1], model[:, 2]]
    pick = np.argmax(np.where(seen, rng.random(seen.shape), -1.0), axis=0)
    before, after = (run[tuple(model.T)] for run in count_missing_dates(observed))
    single = rng.random(len(model)) < 0.5
    return CloudGaps(
        target=np.column_stack([pick, model[:, 1:]]),
        model=model,
        before=np.where(single, 0, before),
        after=np.where(single, 0, after),
    )


def _draw_gaps_of_one_map(field: Field, count: int, rng: np.random.Generator) -> CloudGaps:
    seen, missing = np.argwhere(field.observed), np.argwhere(~field.observed & field.sea)
    number = min(count, len(seen)) if len(missing) else 0
    model = missing[rng.integers(max(len(missing), 1), size=number)]
    nothing = np.zeros(number, np.int64)
    return CloudGaps(seen[rng.permutation(len(seen))[:number]], model, nothing, nothing)


def hide_clouds(field: Field, share: float, rng: np.random.Generator, whole: Field | None = None) -> Mask:
    """Hide observed values with the clouds of other dates: a mask (time, lat, lon).

    The clouds of runs of dates are laid, in order, on other runs of the same length until ``share`` of the
    observed values is hidden. The length of a run is drawn from the durations of the field's own gaps. Each
    date keeps at least a tenth of its values. For ``whole`` see `hide_clouds_together`.
    """
    return hide_clouds_together([field], 1, share, rng, None if whole is None else [whole])[0]


def hide_clouds_together(
    fields: Sequence[Field],
    outputs: int,
    share: float,
    rng: np.random.Generator,
    whole: Sequence[Field] | None = None,
) -> list[Mask]:
    """Hide values of several variables on the same dates, of which the first ``outputs`` are to be filled.

    The gaps of the same dates are laid on the same dates of all variables, each with its own gaps of the
    dates that lend them. One variable thus helps where another is hidden exactly as in the real gaps: clouds
    that both share hide both, and a variable that is observed through the clouds of another stays visible.
    The same holds for variables that are input only: if they kept their values on clear dates, they would
    help more under borrowed clouds than under real ones. ``share`` refers to the mean over the outputs with
    gaps; so does the length of a run. Dates on which an output would keep less than a tenth of its values are
    spared.

    Where pixels are never observed, as between tracks, others are hidden on all dates (`hide_pixels`), in
    proportion to their share of the gaps. ``whole`` are the fields before some of their values were hidden:
    their pixels decide what is never observed, not those hidden since. In a single map pieces of its own gaps
    are moved over it.
    """
    if len(fields[0].days) == 1:
        return _hide_in_one_map(fields, outputs, share, rng, whole or fields)
    hidden = hide_pixels(fields, outputs, share, rng, whole)
    observed = [field.observed & ~mask for field, mask in zip(fields, hidden, strict=True)]
    missing = [field.sea & ~seen for field, seen in zip(fields, observed, strict=True)]
    gappy = [k for k in range(outputs) if missing[k].any()]
    if not gappy:
        return hidden
    number = [np.count_nonzero(fields[k].observed) for k in gappy]
    length = np.concatenate([_gap_lengths(observed[k])[missing[k]] for k in gappy])
    dates = len(observed[0])
    free = np.ones(dates, dtype=bool)
    for _ in range(20 * dates):
        done = [np.count_nonzero(hidden[k]) / n for k, n in zip(gappy, number, strict=True)]
        if np.mean(done) >= share or not free.any():
            break
        run = int(min(rng.choice(length), max(1, dates // 4)))
        start, model = rng.integers(0, dates - run + 1, 2)
        onto, clouds = slice(start, start + run), slice(model, model + run)
        if start == model or not free[onto].all():
            continue
        lost = [seen[onto] & gaps[clouds] for seen, gaps in zip(observed, missing, strict=True)]
        for k in gappy:
            kept = (observed[k][onto] & ~lost[k]).sum(axis=(1, 2))
            spared = kept < 0.1 * observed[k][onto].sum(axis=(1, 2))
            for part in lost:
                part[spared] = False
        if any(lost[k].any() for k in gappy):
            for one, part in zip(hidden, lost, strict=True):
                one[onto] |= part
            free[onto] = False
    return hidden


def _hide_in_one_map(
    fields: Sequence[Field],
    outputs: int,
    share: float,
    rng: np.random.Generator,
    whole: Sequence[Field],
) -> list[Mask]:
    """Hide values of a single date under its own gaps, moved by random steps and cut into pieces."""
    hidden = [np.zeros_like(field.observed) for field in fields]
    gaps = [field.sea & ~field.observed[0] for field in whole]
    gappy = [k for k in range(outputs) if gaps[k].any()]
    if not gappy:
        return hidden
    number = [np.count_nonzero(fields[k].observed) for k in gappy]
    wanted = min(_ONE_MAP * share, _MOST_HIDDEN) * np.mean(number)
    for _ in range(_MOST_MOVES):
        left = wanted - np.mean([np.count_nonzero(hidden[k]) for k in gappy])
        if left < 1:
            break
        step = rng.integers(gaps[0].shape)
        shown = [
            np.roll(gap, step, axis=(0, 1)) & field.observed[0] & ~mask[0]
            for gap, field, mask in zip(gaps, fields, hidden, strict=True)
        ]
        candidates = np.argwhere(np.logical_or.reduce([shown[k] for k in gappy]))
        if not len(candidates):
            continue
        # A piece around a random cell, no larger than a fifth of what is wanted, for several sets need some.
        away = np.abs(candidates - candidates[rng.integers(len(candidates))]).max(axis=1)
        near = np.argsort(away, kind="stable")[: max(1, int(min(left, wanted / _PIECES)))]
        piece = np.zeros(gaps[0].shape, bool)
        piece[tuple(candidates[near].T)] = True
        for mask, seen in zip(hidden, shown, strict=True):
            mask[0] |= seen & piece
    return hidden


def hide_pixels(
    fields: Sequence[Field],
    outputs: int,
    share: float,
    rng: np.random.Generator,
    whole: Sequence[Field] | None = None,
) -> list[Mask]:
    """Hide values of pixels on all dates: masks (time, lat, lon), empty where few pixels are never observed.

    The pattern of pixels that are never observed is moved over the domain by one random step for all
    variables. Random connected pieces of the outputs' pattern hide the values of each variable under its own
    moved pattern. ``whole`` decides which pixels are never observed, as in `hide_clouds_together`.
    """
    whole = whole or fields
    hidden = [np.zeros_like(field.observed) for field in fields]
    unseen = [field.never_observed for field in whole]
    missing = sum(np.count_nonzero(field.sea & ~field.observed) for field in whole[:outputs])
    part = len(hidden[0]) * np.count_nonzero(unseen[:outputs]) / max(missing, 1)
    if part < _FEW_UNOBSERVED:
        return hidden
    step = rng.integers(unseen[0].shape)
    moved = [np.roll(one, step, axis=(0, 1)) for one in unseen]
    pieces, _ = label(np.logical_or.reduce(moved[:outputs]), np.ones((3, 3)))
    shown = [field.observed & one for field, one in zip(fields, moved, strict=True)]
    size = np.mean(
        [
            np.bincount(pieces.ravel(), one.sum(axis=0).ravel()) / np.count_nonzero(field.observed)
            for field, one in zip(fields[:outputs], shown, strict=False)
        ],
        axis=0,
    )
    order = rng.permutation(np.flatnonzero((size > 0) & (size <= part * share)))
    chosen = order[np.cumsum(size[order]) <= part * share]
    return [one & np.isin(pieces, chosen) for one in shown]


def _gap_lengths(observed: Mask) -> NDArray[np.int64]:
    """(time, lat, lon) number of consecutive dates for which each missing cell is missing."""
    before, after = count_missing_dates(observed)
    return before + after + 1


def hide_tracks(field: Field, share: float, rng: np.random.Generator) -> Mask:
    """Hide whole connected pieces of the dates' values, such as tracks or swaths: a mask (time, lat, lon).

    Pieces are hidden in random order until ``share`` of the values is hidden; the largest of a date is kept.
    """
    number, largest = 0, []
    numbered = np.zeros(field.observed.shape, np.int64)
    for seen, labels in zip(field.observed, numbered, strict=True):
        found, count = label(seen, np.ones((3, 3)))
        labels[:] = np.where(seen, found + number, 0)
        number += count
        if count:
            largest.append(number - count + int(np.argmax(np.bincount(found.ravel())[1:])) + 1)
    size = np.bincount(numbered.ravel(), minlength=number + 1)
    pieces = rng.permutation(np.setdiff1d(np.arange(1, number + 1), largest))
    enough = np.cumsum(size[pieces]) <= share * np.count_nonzero(field.observed)
    chosen = np.zeros(number + 1, bool)
    chosen[pieces[enough]] = True
    return chosen[numbered]


def hide_random(field: Field, share: float, rng: np.random.Generator) -> Mask:
    """Hide a ``share`` of the observed values independently: a mask (time, lat, lon)."""
    return field.observed & (rng.random(field.values.shape) < share)


def hide_dates(field: Field, share: float, rng: np.random.Generator) -> Mask:
    """Hide all values of random dates, up to ``share`` of the values: a mask (time, lat, lon)."""
    number = field.observed.sum(axis=(1, 2))
    order = rng.permutation(np.flatnonzero(number))
    lost = order[np.cumsum(number[order]) <= max(share * number.sum(), number[order[:1]].sum())]
    return field.observed & np.isin(np.arange(len(number)), lost)[:, None, None]


def hide_altimeters(field: Field, share: float, rng: np.random.Generator) -> Mask:
    """Hide observed values under the tracks of simulated altimeters: a mask (time, lat, lon).

    Missions with random longitudes and phases hide what they pass over in a day, dates in random order, until
    ``share`` of the values is hidden. Each date keeps at least a tenth of its values.
    """
    from ..simulators.altimetry import MISSIONS, SWATH, find_observed_cells  # search trees: slow to import

    nadirs = [mission for mission in MISSIONS.values() if mission.across != SWATH]
    observed = field.observed
    number = observed.sum(axis=(1, 2))
    hidden = np.zeros_like(observed)
    left = share * number.sum()
    for _ in range(_MOST_MISSIONS):
        mission = nadirs[rng.integers(len(nadirs))]
        shifted = replace(mission, first_longitude=rng.uniform(-180, 180))
        days = field.days + rng.uniform(0, mission.days)
        under = find_observed_cells(field.lat, field.lon, days, [shifted]) & observed & ~hidden
        under[(observed & ~hidden & ~under).sum(axis=(1, 2)) < 0.1 * number] = False
        order = rng.permutation(len(under))
        new = under.sum(axis=(1, 2))[order]
        enough = np.cumsum(new) <= left
        hidden[order[enough]] |= under[order[enough]]
        left -= new[enough].sum()
        if not enough.all() and hidden.any():
            break
    return hidden


HOLDOUTS: dict[str, Callable[[Field, float, np.random.Generator], Mask]] = {
    "clouds": hide_clouds,
    "tracks": hide_tracks,
    "random": hide_random,
    "dates": hide_dates,
    "altimeters": hide_altimeters,
}
