"""Coasts of synthetic seas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from .domain import Booleans, draw_red_noise

# The least and the greatest share of land of each kind.
KINDS = {
    "none": (0.0, 0.0),
    "straight": (0.05, 0.4),
    "archipelago": (0.03, 0.3),
    "bay": (0.15, 0.45),
    "channel": (0.15, 0.5),
    "basin": (0.2, 0.55),
}
_LEAST_PART = 0.1  # of the sea: smaller ponds become land


def draw_coast(rng: np.random.Generator, rows: int, columns: int, kind: str) -> tuple[Booleans, float]:
    """Draw a sea (lat, lon), True at sea, of one of the `KINDS`, and return it with the share of land asked.

    Small ponds become land, so that there can be a little more. Raises KeyError for an unknown kind.
    """
    share = rng.uniform(*KINDS[kind])
    if kind == "none":
        return np.ones((rows, columns), bool), 0.0
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    rough = draw_red_noise(rng, rows, columns, rng.uniform(1.6, 2.6), rng.uniform(15, 60))
    height = _shape_land(rng, kind, y, x) + rng.uniform(0.1, 0.35) * rough
    land = height > np.quantile(height, 1 - share)
    return ~land & _find_large_parts(~land), share


def _shape_land(
    rng: np.random.Generator, kind: str, y: NDArray[np.floating], x: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return a height (lat, lon), whose highest part is the land, at coordinates from -1 to 1."""
    angle = rng.uniform(0, 2 * np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if kind == "straight":
        return across
    if kind == "bay":  # the coast is cut by a wide inlet
        middle, width = rng.uniform(-0.4, 0.4), rng.uniform(0.2, 0.5)
        return across - rng.uniform(0.6, 1.2) * np.exp(-(((along - middle) / width) ** 2))
    if kind == "channel":
        return np.abs(across + rng.uniform(0, 0.4) * np.sin(np.pi * along))
    if kind == "basin":  # closed, but for a strait in some
        strait = rng.choice([0.0, 1.5]) * np.exp(-((across / 0.15) ** 2)) * (along > 0)
        return np.hypot(along, rng.uniform(1, 1.6) * across) - strait
    return np.zeros_like(y)


def _find_large_parts(sea: Booleans) -> Booleans:
    """Return the connected parts of the sea that are not small against all of it."""
    parts, _ = label(sea)
    sizes = np.bincount(parts.ravel())
    large = sizes >= _LEAST_PART * sea.sum()
    large[0] = False
    return large[parts]
