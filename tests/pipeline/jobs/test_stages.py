"""What a fill is expected to do, and what is shown while it does it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from fields import cloudy_dataset
from oceanfill.pipeline.jobs.fill import fill, plan_fill
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.jobs.stages import Size, expect, list_stages
from oceanfill.pipeline.settings import make_settings

NETWORK = [
    *("reading", "fitting the covariance", "optimal interpolation", "training examples", "training"),
    *("applying and scoring", "writing"),
]


@pytest.mark.parametrize(
    ("method", "options", "names"),
    [
        ("unet", {}, NETWORK),
        ("unet", {"checkpoint": "net.ckpt"}, [name for name in NETWORK if "training" not in name]),
        ("pretrained", {"finetune": 2.0}, NETWORK),
        ("unet", {"first_guess": "none"}, [NETWORK[0], *NETWORK[3:]]),
        ("linear-time", {}, ["reading", "linear time", "writing"]),
    ],
)
def test_the_stages_are_those_that_the_options_need(
    method: str, options: dict[str, Any], names: list[str]
) -> None:
    stages = list_stages(find_method(method), make_settings(None, options))
    assert [stage.name for stage in stages] == names


def test_a_slow_machine_takes_longer_but_not_beyond_the_time_budget() -> None:
    size, unet = Size(values=2_000_000, dates=50), find_method("unet")

    def expected(solving: float, convolving: float, **options: float) -> dict[str, float]:
        settings = make_settings(None, options)
        plan = expect(unet, settings, size, "cpu", 8e9, lambda device: (solving, convolving))
        return {stage.name: stage.seconds for stage in plan.stages}

    once, slow = expected(1.0, 1.0), expected(3.0, 9.0, time_budget=0.5)
    assert slow["optimal interpolation"] == pytest.approx(3 * once["optimal interpolation"])
    assert once["training"] > 30
    assert slow["training"] == 30
    assert slow["writing"] == once["writing"]


def test_the_plan_of_a_file_counts_its_sea_and_its_gaps(tmp_path: Path) -> None:
    dataset = cloudy_dataset(dates=8, rows=12, columns=14)
    dataset.drop_vars("truth").to_netcdf(tmp_path / "in.nc")
    settings = make_settings(None, {"method": "oi", "memory": 2.0})
    plan = plan_fill(str(tmp_path / "in.nc"), tmp_path / "out.nc", settings=settings)
    sea = int((dataset.mask == 1).sum())
    assert (plan.size.values, plan.size.dates, plan.size.blocks) == (8 * sea, 8, 0)
    assert plan.size.missing == pytest.approx(1 - float(dataset.sst.notnull().sum()) / (8 * sea))
    assert (plan.allowed, plan.memory) == (2e9, pytest.approx(0.6e9, rel=0.01))
    assert [path.name for path in tmp_path.iterdir()] == ["in.nc"]


def test_a_training_shows_its_rmse_next_to_that_of_optimal_interpolation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows: list[dict[str, Any]] = []
    with caplog.at_level(logging.INFO, "oceanfill"):
        fill(
            cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth"),
            method="unet",
            epochs=2,
            quiet=False,
            report=rows.extend,
        )
    shown = re.findall(r"^(\d of \d: [a-z ]+)", "\n".join(caplog.messages), re.M)
    assert list(dict.fromkeys(shown)) == [f"{k} of 7: {name}" for k, name in enumerate(NETWORK[:6], start=1)]
    (said,) = (text for text in caplog.messages if text.startswith("trained 2 epochs"))
    network, guess = re.findall(r"validation RMSE ([\d.]+) degree_Celsius \(.*: ([\d.]+)\)", said)[0]
    assert guess == f"{rows[0]['validation_rmse']:.4g}"
    assert 0.5 < float(network) / float(guess) < 2
