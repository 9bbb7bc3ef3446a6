"""Global attributes that a user gives, as ``creator_name``, and those of every product."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..derived.maps import FilledMaps
from ..errors import InputError
from ..io.layout.dates import days_since_first
from ..io.output import format_duration

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# What the values and the run decide.
_OWN = re.compile(
    r"Conventions|history|date_created|uuid|geospatial_.*|time_coverage_.*|start_time|stop_time"
    r"|method|seed|configuration|command|call|versions|input_checksums|held_out_.*|score_classes"
)
_SCORES = (
    "score_classes",
    "candidate_scores",
    "learning_curve",
    "error_slopes",
)  # long, and of the filled file


def read_attributes(
    pairs: Sequence[str] = (), path: str | os.PathLike[str] | None = None
) -> dict[str, str | int | float]:
    """Return global attributes from ``NAME=VALUE`` pairs and a YAML file; the pairs come first.

    Raises `InputError` as `check_attributes`, and for a pair or a file that holds no names and values.
    """
    found: dict[str, Any] = {}
    if path is not None:
        try:
            held = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as reason:
            text = getattr(reason, "strerror", None) or "is no text"
            raise InputError(f"{path}: cannot be read ({text}); give a YAML file of attributes") from reason
        except yaml.YAMLError as reason:
            raise InputError(
                f"{path}: it is not YAML; write one line NAME: VALUE for each attribute"
            ) from reason
        if not isinstance(held, dict):
            raise InputError(
                f"{path}: it holds no names and values; write one line NAME: VALUE for each attribute"
            )
        found |= {str(name): value for name, value in held.items()}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise InputError(f"the attribute {pair!r} has no value; write it as NAME=VALUE")
        found[name.strip()] = value.strip()
    return check_attributes(found)


def check_attributes(given: Mapping[str, Any] | None) -> dict[str, str | int | float]:
    """Return attributes whose names and values NetCDF can hold.

    Raises `InputError` for others, and for those that the values decide, such as ``time_coverage_start``.
    """
    found: dict[str, str | int | float] = {}
    for name, value in (given or {}).items():
        if not _NAME.fullmatch(name):
            raise InputError(f"the attribute {name!r} is not a name; use letters, digits and underscores")
        if _OWN.fullmatch(name):
            raise InputError(f"the attribute {name} is set from the data; leave it out")
        if isinstance(value, date):
            value = value.isoformat()  # YAML reads dates
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(f"the attribute {name} is {value!r}; give a text or a number")
        if value == "":
            raise InputError(f"the attribute {name} is empty; give it a value or leave it out")
        found[name] = value
    return found


def find_step(maps: FilledMaps) -> float:
    """Return the usual step in days between the dates, 1 for a single date."""
    days = days_since_first(maps.dates)
    return float(np.median(np.diff(days))) if len(days) > 1 else 1.0


def make_attributes(
    maps: FilledMaps, product: str, day: Any, step: float, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ACDD's global attributes of a product of one date, which is valid for a step around it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    before, program = maps.dataset.attrs, f"oceanfill {version('oceanfill')}"
    half = timedelta(days=step / 2)
    what = maps.attrs.get("long_name", maps.name)
    ends = [f"{end:%Y-%m-%dT%H:%M:%SZ}" for end in (day - half, day + half)]
    kept = {key: value for key, value in before.items() if key not in _SCORES}
    south, north = float(maps.lat.min()), float(maps.lat.max())
    west, east = float(maps.lon.min()), float(maps.lon.max())
    ring = ((south, west), (north, west), (north, east), (south, east), (south, west))
    corners = [f"{lat:g} {lon:g}" for lat, lon in ring]
    return (
        kept
        | {
            "Conventions": "CF-1.11, ACDD-1.3",
            "title": before.get("title", f"{what}, gaps filled"),
            "summary": before.get("summary", f"{what} without gaps."),
            "keywords": before.get("keywords", f"oceans, gap filling, {what}"),
            "institution": before.get("institution", "unknown"),
            "source": before.get("source", f"gaps filled by {program}"),
            "references": before.get("references", "none"),
            "history": f"{before.get('history', '')}\n{now}: {program}, {product}".strip(),
            "comment": before.get("comment", "none"),
            "processing_level": "L4",
            "product_version": str(before.get("product_version", "1.0")),
            "cdm_data_type": "Grid",
            "standard_name_vocabulary": "CF Standard Name Table",
            "date_created": now,
            "date_modified": now,
            "uuid": str(uuid.uuid4()),
            "geospatial_bounds": f"POLYGON (({', '.join(corners)}))",  # in EPSG:4326 latitudes come first
            "geospatial_lat_min": south,
            "geospatial_lat_max": north,
            "geospatial_lat_units": "degrees_north",
            "geospatial_lat_resolution": round(float(np.median(np.diff(maps.lat))), 6),
            "geospatial_lon_min": west,
            "geospatial_lon_max": east,
            "geospatial_lon_units": "degrees_east",
            "geospatial_lon_resolution": round(float(np.median(np.diff(maps.lon))), 6),
            "time_coverage_start": ends[0],
            "time_coverage_end": ends[1],
            "time_coverage_duration": format_duration(step),
            "time_coverage_resolution": format_duration(step),
        }
        | dict(given)
    )
