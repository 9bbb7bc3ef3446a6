"""Findings and their targets."""

from __future__ import annotations

import math

import pytest
from oceanfill.pipeline.experiments.findings import Finding


@pytest.mark.parametrize(
    ("value", "at_least", "at_most", "met"),
    [
        (0.9, None, None, None),
        (0.9, 0.9, None, True),
        (0.8999, 0.9, None, False),
        (0.9, None, 0.9, True),
        (0.9001, None, 0.9, False),
        (0.5, 0.4, 0.6, True),
        (0.7, 0.4, 0.6, False),
        (0.3, 0.4, 0.6, False),
        (math.nan, 0.1, None, False),
        (math.nan, None, 0.1, False),
        (math.nan, None, None, None),
    ],
)
def test_targets_include_their_bounds_and_nan_meets_none(
    value: float, at_least: float | None, at_most: float | None, met: bool | None
) -> None:
    assert Finding("", value, at_least=at_least, at_most=at_most).met is met
