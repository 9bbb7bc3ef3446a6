"""What the choice between a first guess and its correction costs: all or nothing, and shrunken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from oceanfill.pipeline.holdout.score_sums import rmse_interval
from oceanfill.pipeline.holdout.shrinkage import fit_shrinkage

Floats = NDArray[np.float64]
VALUES, DATES = 60, (3, 5, 8, 12, 20, 30)  # values of a date; dates of the hold-out
UNSEEN = 400  # dates that are scored
EPOCHS = 5  # that the validation values choose from


@dataclass
class Errors:
    """Of hidden values (n,) under a first guess and a network."""

    claimed: Floats  # standard error of the first guess
    guess: Floats
    network: Floats
    date: NDArray[np.int64]


@dataclass
class Kind:
    """A network: how much of the error it sees, by what share of that it is to be taken, and its differences."""

    skill: float  # correlation of the correction with what is wanted
    share: float  # best share of the correction
    varied: float  # standard deviation of the best share from date to date
    slope: float  # of the best share with the logarithm of the error


def draw_kind(rng: np.random.Generator) -> Kind:
    """Return a network of a random kind."""
    skill = rng.choice([0.0, rng.uniform(0, 0.2), rng.uniform(0.2, 0.6)])
    return Kind(skill, rng.uniform(0.1, 1.2), rng.uniform(0, 0.5), rng.uniform(-0.3, 0.3))


def draw_errors(kind: Kind, dates: int, rng: np.random.Generator) -> Errors:
    """Draw the errors on some dates."""
    date = np.repeat(np.arange(dates), VALUES)
    claimed = np.exp(0.6 * rng.standard_normal(date.size))
    size = claimed * np.exp(0.3 * rng.standard_normal(dates))[date]
    common = np.sqrt(0.3) * rng.standard_normal((2, dates))[:, date]
    alike, other = common + np.sqrt(0.7) * rng.standard_normal((2, date.size))
    guess = size * alike
    # The correction is wrong in ways that hang together as the errors do.
    wrong = size * other * np.sqrt(1 - kind.skill**2)
    best = kind.share + kind.varied * rng.standard_normal(dates)[date] + kind.slope * np.log(claimed)
    amount = kind.skill / kind.share if kind.skill else 0.3
    change = amount * (kind.skill * -guess * best / kind.share + wrong)
    return Errors(claimed, guess, guess + change, date)


def all_or_nothing(one: Errors) -> Callable[[Errors], Floats]:
    """The network, where it is ahead by more than a standard error."""
    squares = [np.bincount(one.date, part**2) for part in (one.network, one.guess)]
    low, high = rmse_interval(squares[0], np.bincount(one.date).astype(float), squares[1], 0.6827)
    return (lambda other: other.network) if high < 0 else (lambda other: other.guess)


def shrunken(ahead: float | None, **options) -> Callable[[Errors], Callable[[Errors], Floats]]:
    def rule(one: Errors) -> Callable[[Errors], Floats]:
        zero = np.zeros_like(one.guess)
        found = fit_shrinkage(one.guess, one.claimed, one.network, zero, zero + 1, [one.date], **options)
        if ahead is not None:
            mixed = one.guess + found.apart * (one.network - one.guess)
            squares = [np.bincount(one.date, part**2) for part in (mixed, one.guess)]
            off = squares[0] - squares[1]
            n = len(off)
            if off.mean() + ahead * off.std(ddof=1) / np.sqrt(n) >= 0:
                return lambda other: other.guess
        return lambda other: found.shrinkage.mix((other.guess, other.claimed), (other.network, other.claimed))[0]
    return rule


def main() -> None:
    rng = np.random.default_rng(0)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rules = {"guess": lambda one: (lambda o: o.guess), "network": lambda one: (lambda o: o.network), "all-or-nothing": all_or_nothing, **{f"shrunk {k}": shrunken(k) for k in (None, 0, 0.25, 0.5, 1)}, **{f"K=1 {k}": shrunken(k, classes=1) for k in (0, 0.5)}, **{f"prior {p} {k}": shrunken(k, prior=p) for p in (0.3,) for k in (0, 0.5)}}
    got = {name: [] for name in rules}
    best, kinds = [], []
    for _ in range(number):
        kind = draw_kind(rng)
        dates = int(rng.choice(DATES))
        epochs = [draw_errors(kind, dates, rng) for _ in range(EPOCHS)]
        one = min(epochs, key=lambda e: np.mean(e.network**2) / np.mean(e.guess**2))
        test = draw_errors(kind, UNSEEN, rng)
        base = np.sqrt(np.mean(test.guess**2))
        d = test.network - test.guess
        a = np.clip(-np.sum(d * test.guess) / np.sum(d * d), 0, 1)
        best.append(np.sqrt(np.mean((test.guess + a * d) ** 2)) / base)
        kinds.append((kind.skill, dates))
        for name, rule in rules.items():
            got[name].append(np.sqrt(np.mean(rule(one)(test) ** 2)) / base)
    best = np.array(best); skill, dates = np.array(kinds).T
    print("best", best.mean())
    for name, v in got.items():
        v = np.array(v)
        print(f"{name:18s} mean {v.mean():.4f} q99 {np.quantile(v, .99):.3f} max {v.max():.3f} >1.01 {np.mean(v>1.01):.3f} >1.005 {np.mean(v>1.005):.3f} regret {np.mean(v-best):.4f} | few dates {np.mean((v-best)[dates<=5]):.4f} {v[dates<=5].max():.3f}| none {v[skill==0].mean():.4f} mid {v[(skill>0)&(skill<.2)].mean():.4f} good {v[skill>.2].mean():.4f}")


main()
