"""What an experiment found, beside what the course or the paper found and what has to be reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of an experiment's table."""

    what: str
    ours: float
    reference: float | None = None  # the figure of the course or the paper
    at_least: float | None = None  # the bar, from below
    at_most: float | None = None  # the bar, from above

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none. NaN reaches no bar."""
        if self.at_least is None and self.at_most is None:
            return None
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= self.ours <= high
