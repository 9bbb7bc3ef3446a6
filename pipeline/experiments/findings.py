"""Rows of an experiment's results table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One result of an experiment, with the published value and the target."""

    quantity: str
    value: float
    reference: float | None = None  # the published value, of the course or the paper
    at_least: float | None = None  # lower target
    at_most: float | None = None  # upper target

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target. NaN meets no target."""
        if self.at_least is None and self.at_most is None:
            return None
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= self.value <= high
