"""The progress of a job: its stages, the time left, and how often it is written."""

from __future__ import annotations

import logging

import pytest
from oceanfill.pipeline.progress import (
    Overall,
    Stage,
    enter_stage,
    plan_stages,
    progress,
    say_time,
    show_stages,
)


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


STAGES = [
    Stage("reading", 1),
    Stage("interpolating", 10, units=20),
    Stage("training", 100),
    Stage("writing", 5),
]


def test_the_time_left_is_that_of_this_stage_and_of_the_later_ones_at_the_speed_so_far() -> None:
    clock, shown = Clock(), []
    overall = Overall(STAGES, lambda *what: shown.append(what), clock)
    overall.tell(begins=True)
    assert shown[-1] == ("1 of 4: reading", "", "", 0.0, True)  # nothing is measured yet
    clock.now = 3  # reading does not tell how fast this machine computes
    overall.enter("interpolating", "all dates", 15)
    assert shown[-1][:2] == ("2 of 4: interpolating, all dates", "")
    clock.now = 8
    overall.advance(5)  # a quarter in 5 s: twice as slow as expected
    assert overall.seconds_left == pytest.approx(15 + 2 * 105)
    assert shown[-1][1] == "about 4 min left"
    clock.now = 18
    overall.advance(10)
    overall.enter("interpolating", "hidden values", 5)
    clock.now = 23
    overall.advance(5)
    assert overall.share == 1.0
    overall.enter("training", "", None)
    assert overall.seconds_left == pytest.approx(2 * 105)
    assert shown[-1][3] == pytest.approx(23 / (23 + 210))
    overall.enter("interpolating", "again", 5)  # a second variable does not lead back
    assert shown[-1][0] == "3 of 4: training, again"


def test_the_bar_does_not_go_back() -> None:
    clock, shares = Clock(), []
    overall = Overall(STAGES, lambda text, left, note, share, begins: shares.append(share), clock)
    for seconds, stage in ((1, "interpolating"), (2, "training"), (500, "training")):
        clock.now = seconds
        overall.enter(stage, "", 100)
        overall.advance(4)
    assert shares == sorted(shares)


def test_lines_where_there_is_no_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of each stage, and others at least ten seconds later."""
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    with caplog.at_level(logging.INFO, "oceanfill"), show_stages([Stage("to be planned")], quiet=False):
        plan_stages(STAGES)
        with progress("all dates", 20, quiet=False, stage="interpolating") as advance:
            for _ in range(20):
                clock.now += 1.5
                advance(1)
        enter_stage("no stage")
        enter_stage("writing")
    texts = [record.message.split(";")[0] for record in caplog.records]
    assert texts == [
        "to be planned",
        *["2 of 4: interpolating, all dates"] * 3,  # after 0, 10.5 and 21 s
        "4 of 4: writing",
    ]
    # Of 20 units 14 took 21 s: thrice as long as expected, as will what is expected to take 105 s.
    assert caplog.records[3].message.endswith("; about 5 min left")
    assert caplog.records[4].message.endswith("; about 15 s left")


def test_nothing_is_shown_quietly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "oceanfill"), show_stages(STAGES, quiet=True):
        with progress("all dates", 20, quiet=True, stage="interpolating") as advance:
            advance(20)
        enter_stage("writing")
    assert not caplog.records


def test_a_quiet_job_leaves_the_time_of_its_outer_one_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "oceanfill"), progress("forecasts", 4, quiet=False) as advance:
        assert advance.overall is not None
        with show_stages(STAGES, quiet=True):
            plan_stages([Stage("reading", 1.0), Stage("training", 1e6)])
            enter_stage("training")
        advance(1)
        assert [stage.name for stage in advance.overall.stages] == ["forecasts"]
        assert advance.overall.share == 0.25
        assert advance.overall.seconds_left < 60


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (5000, "83 min"), (5400, "1 h 30 min")]
)
def test_durations_in_words(seconds: float, said: str) -> None:
    assert say_time(seconds) == said
