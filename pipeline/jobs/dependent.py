"""Which dates of a filled field depend on the observations of others, and of those that are still to come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..classical.kriging import Kriging
from ..classical.neighbours import find_date_reach
from ..io.field import Field, grid_spacing

PROVISIONAL = "provisional"

Mask = NDArray[np.bool_]


def find_provisional(field: Field, kriging: Kriging, window: int) -> Mask:
    """Find the dates (time,) that change once the next date is observed, and thus may still change.

    The estimates are those of the ``kriging``, which a network corrects that sees a ``window`` of dates; 1
    without a network.
    """
    ahead = np.where(field.sea, np.float32(0), np.float32(np.nan))[None]
    longer = replace(
        field,
        values=np.concatenate([field.values, ahead]),
        error_variance=np.concatenate([field.error_variance, np.zeros_like(ahead)]),
        days=np.append(field.days, field.days[-1] + grid_spacing(field)[0]),
    )
    coming = np.append(np.zeros(len(field.days), bool), True)
    return widen(find_users(longer, kriging, coming) | coming, longer, window)[:-1]


def find_users(field: Field, kriging: Kriging, on: Mask) -> Mask:
    """Find the dates (time,) with neighbours among the observations ``on`` some dates."""
    reach, number = find_date_reach(field, kriging.scales), np.arange(len(on))
    near = (np.abs(number[:, None] - np.flatnonzero(on)) <= reach).any(axis=1)
    return kriging.find_dependent(field, on, near)


def widen(dates: Mask, field: Field, window: int) -> Mask:
    """Return some dates and those in whose window of network inputs they are.

    A window is of so many dates, or of lags of the median step.
    """
    step, half, days = grid_spacing(field)[0], window // 2, field.days
    number, at = np.arange(len(dates)), np.flatnonzero(dates)
    close = np.abs(days[:, None] - days[at]) <= (half + 0.5) * step * (half > 0)
    return (close | (np.abs(number[:, None] - at) <= half)).any(axis=1)


def mark_provisional(dataset: xr.Dataset, provisional: Mask, t: str) -> xr.Dataset:
    """Return a dataset with the flag of the dates that later ones still change."""
    about = {
        "long_name": "whether later dates still change the map",
        "standard_name": "status_flag",
        "flag_values": np.array([0, 1], np.int8),
        "flag_meanings": "final provisional",
        "coverage_content_type": "qualityInformation",
    }
    return dataset.assign({PROVISIONAL: xr.Variable(t, provisional.astype(np.int8), about)})
