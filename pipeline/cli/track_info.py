"""Describing along-track files: `oceanfill info`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..io.layout.dates import format_date
from ..io.opening import Opening
from ..io.points.tracks import read_tracks
from ..io.reading import Inputs
from .info import Spell, make_list


def describe_tracks(inputs: Inputs, opening: Opening, spell: Spell = str) -> Group:
    """Return tables for a rich console. Raises `InputError` as `read_tracks`."""
    tracks = read_tracks(inputs, opening)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Mission", no_wrap=True)
    for heading in ("Points", "Tracks", "Sampling", "From", "To", "Error"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in tracks.missions:
        own = tracks.at(tracks.of(name))
        if not len(own):
            continue
        first, last = (format_date(time.astype("datetime64[D]")) for time in own.time[[0, -1]])
        number = len(np.unique(own.track))
        steps = np.diff(own.time) / np.timedelta64(1, "s")
        every = f"{np.median(steps):.3g} s" if len(steps) else ""
        error = f"{np.sqrt(np.median(own.error_variance)):.3g}"
        table.add_row(escape(name), f"{len(own):,}", f"{number:,}", every, first, last, error)
    west, east = _find_arc(tracks.lon)
    lat0, lat1 = np.floor(tracks.lat.min()), np.ceil(tracks.lat.max())
    bounds = f"({lat0:g}, {lat1:g}, {np.floor(west):g}, {np.ceil(east):g})"
    units = tracks.attrs.get("units", "")
    low, middle, high = np.percentile(tracks.value, [0, 50, 100])
    facts = Text(
        f"{tracks.name} at {len(tracks):,} points along tracks, {low:.3g} to {high:.3g} {units}, "
        f"median {middle:.3g}\n"
        f"{tracks.lat.min():.2f} to {tracks.lat.max():.2f} N, {west:.2f} to {east:.2f} E\n"
        f"to fill: {spell(f'grid=0.25, bounds={bounds}')}",
        overflow="fold",
    )
    shown: list[RenderableType] = [facts, Text(), table, Text()]
    if tracks.treatment:
        shown += [make_list("Treatment", map(spell, tracks.treatment)), Text()]
    return Group(*shown, make_list("Oddities", map(spell, tracks.oddities)))


def _find_arc(lon: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the shortest arc that holds all longitudes, the first in [-180, 180)."""
    ordered = np.sort(np.mod(lon, 360))
    gaps = np.diff(np.append(ordered, ordered[0] + 360))
    after = (int(np.argmax(gaps)) + 1) % len(ordered)
    west = np.mod(ordered[after] + 180, 360) - 180
    return float(west), float(west + 360 - gaps.max())
