"""What the choice between a first guess and its correction costs: all or nothing, or a share of it.

    python benchmarks/choice.py [FIELDS]
    python benchmarks/choice.py trained EPOCHS [CASE ...]

The first draws FIELDS (default 400) hold-outs. The errors of a first guess hang together within each of 3 to
30 dates; a network corrects them with a skill, a size and a chance agreement with the validation dates that
differ from field to field, and by a share that differs from date to date and with the claimed error. A third
of the networks know nothing. Of what each rule delivers, the root mean square error over that of the first
guess, on other dates: the mean over the fields, over those whose network knows nothing, little and much, the
worst of a hundred and of all, how many are above 1.01, and the regret, by which the mean is above that of the
best single share.

The second trains a U-Net on parts of the SST sample (SST0 to SST8, all by default), each with a hold-out of
its own. One half gives the share and the choice; the ratios are measured on the other half.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from oceanfill.pipeline.holdout.shrinkage import fit_shrinkage
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.evaluate import evaluate_candidates, select_candidate
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.settings import FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings, Pairs

Floats = NDArray[np.float64]

SST = Path(__file__).resolve().parents[1] / "sample_data" / "sst_clouds.nc"
CASES = {f"SST{k}": (36 + 1.5 * (k % 3), 2 * (k // 3) - 15, k) for k in range(9)}  # south, west, seed
TALL, WIDE = 1.8, 2.0  # degrees
VALUES, DATES = 60, (3, 5, 8, 12, 20, 30)  # values of a date; dates in each half of a hold-out
UNSEEN = 400  # dates that are scored
EPOCHS = 3  # of which the validation values choose one
RULES = ("first guess", "network", "all or nothing", "share of validation", "share of both halves")


@dataclass
class Kind:
    """How a network corrects."""

    skill: float  # correlation of the correction with what is wanted
    share: float  # by which it is best taken
    varied: float  # standard deviation of that share over the dates
    slope: float  # of that share with the logarithm of the claimed error


@dataclass
class Errors:
    """Of hidden values (n,)."""

    claimed: Floats  # standard error of the first guess
    guess: Floats
    network: Floats
    date: NDArray[np.int64]

    def pairs(self, mean: Floats) -> Pairs:
        """Return an estimate whose truth is zero."""
        return Pairs(mean, self.claimed, np.zeros_like(mean), np.ones_like(mean), [self.date])

    def join(self, other: Errors) -> Errors:
        """Return the values of both, whose dates are different ones."""
        parts = zip(
            (self.claimed, self.guess, self.network, self.date),
            (other.claimed, other.guess, other.network, other.date + self.date.max() + 1),
            strict=True,
        )
        return Errors(*(np.concatenate(pair) for pair in parts))


def main() -> None:
    """Print the lines."""
    if sys.argv[1:2] == ["trained"]:
        compare_trained(int(sys.argv[2]), sys.argv[3:] or list(CASES))
    else:
        compare_drawn(int(sys.argv[1]) if len(sys.argv) > 1 else 400)


def compare_drawn(number: int) -> None:
    """Print a line for each rule."""
    rng = np.random.default_rng(0)
    kinds = [draw_kind(rng) for _ in range(number)]
    found = np.array([deliver(kind, rng) for kind in kinds])
    ratios, best = found[:, :-1].T, found[:, -1]
    skill = np.array([kind.skill for kind in kinds])
    print("| delivered | mean | knows nothing | little | much | worst of 100 | worst | above 1.01 | regret |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for rule, ratio in zip(RULES, ratios, strict=True):
        parts = [ratio, ratio[skill == 0], ratio[(skill > 0) & (skill < 0.2)], ratio[skill >= 0.2]]
        cells = [part.mean() for part in parts] + [np.quantile(ratio, 0.99), ratio.max()]
        above, regret = (ratio > 1.01).mean(), (ratio - best).mean()
        shown = " | ".join(f"{cell:.3f}" for cell in cells)
        print(f"| {rule} | {shown} | {100 * above:.1f} % | {regret:.4f} |", flush=True)


def draw_kind(rng: np.random.Generator) -> Kind:
    """Draw how a network corrects."""
    skill = rng.choice([0.0, rng.uniform(0, 0.2), rng.uniform(0.2, 0.6)])
    return Kind(skill, rng.uniform(0.1, 1.2), rng.uniform(0, 0.5), rng.uniform(-0.3, 0.3))


def draw_errors(kind: Kind, dates: int, rng: np.random.Generator) -> Errors:
    """Draw the errors of a number of dates."""
    date = np.repeat(np.arange(dates), VALUES)
    claimed = np.exp(0.6 * rng.standard_normal(date.size))
    size = claimed * np.exp(0.3 * rng.standard_normal(dates))[date]
    common = np.sqrt(0.3) * rng.standard_normal((2, dates))[:, date]
    missed, wrong = size * (common + np.sqrt(0.7) * rng.standard_normal((2, date.size)))
    best = kind.share + kind.varied * rng.standard_normal(dates)[date] + kind.slope * np.log(claimed)
    amount = kind.skill / kind.share if kind.skill else 0.3
    right = -kind.skill * missed * best / kind.share
    change = amount * (right + np.sqrt(1 - kind.skill**2) * wrong)
    return Errors(claimed, missed, missed + change, date)


def deliver(kind: Kind, rng: np.random.Generator) -> list[float]:
    """Return the ratio of each rule on other dates, and that of the best single share."""
    dates = int(rng.choice(DATES))
    epochs = [draw_errors(kind, dates, rng) for _ in range(EPOCHS)]
    chosen = min(epochs, key=lambda one: np.mean(one.network**2) / np.mean(one.guess**2))
    both, others = chosen.join(draw_errors(kind, dates, rng)), draw_errors(kind, UNSEEN, rng)
    change = others.network - others.guess
    best = np.clip(-(change @ others.guess) / (change @ change), 0, 1)
    fitted = [
        fit_shrinkage(
            one.guess, one.claimed, one.network, np.zeros_like(one.guess), np.ones_like(one.guess), [one.date]
        )
        for one in (chosen, both)
    ]
    apart = chosen.guess + fitted[0].apart * (chosen.network - chosen.guess)
    guess, network, shrunken = map(chosen.pairs, (chosen.guess, chosen.network, apart))
    shares = [0.0, 1.0, float(select_candidate([], [guess, network]))]
    taken = select_candidate([], [guess, shrunken])
    shares += [taken * one.shrinkage.share(others.claimed) for one in fitted]
    errors = [np.sqrt(np.mean((others.guess + share * change) ** 2)) for share in (*shares, best)]
    return [error / errors[0] for error in errors]


def compare_trained(epochs: int, cases: list[str]) -> None:
    """Print a line for each case."""
    print("| case | dates that choose | network | share of it | taken | delivered |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for case in cases:
        south, west, seed = CASES[case]
        field = open_field(str(SST), region=(south, south + TALL, west, west + WIDE))
        data = GapData(field, DataSettings(held_out=0.2, masked_copies=4, seed=seed))
        (candidates,) = find_method("unet")(data, FillSettings(training=Training(epochs=epochs)))
        guess, network = candidates.values()
        found = evaluate_candidates(data, candidates)
        errors = [
            np.sqrt(np.average((one.mean - one.truth) ** 2, weights=one.weight))
            for one in (data.pairs("test", *candidate.trial) for candidate in (guess, network))
        ]
        shrunken = found.rows[1]["rmse"] / found.rows[0]["rmse"]
        delivered = shrunken if found.delivered.name == network.name else 1.0
        dates = np.count_nonzero(data.validation.any(axis=(1, 2)))
        cells = f"{errors[1] / errors[0]:.3f} | {shrunken:.3f} | {100 * found.rows[1]['share']:.0f} %"
        print(f"| {case} | {dates} | {cells} | {delivered:.3f} |", flush=True)


if __name__ == "__main__":
    main()
