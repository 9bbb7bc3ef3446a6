"""Results in order, from one process, several or a cluster; a worker that is lost loses nothing."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import dask.array
import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.workers import collect_in_order, start_workers


def test_one_process_maps_in_order():
    with start_workers() as everywhere:
        assert list(everywhere(abs, [-3, 2, -1])) == [3, 2, 1]


def test_no_more_is_under_way_than_there_are_places_for():
    under_way = most = 0

    class Future:
        def __init__(self, item: int) -> None:
            nonlocal under_way, most
            self.item, under_way = item, under_way + 1
            most = max(most, under_way)

        def result(self) -> int:
            nonlocal under_way
            under_way -= 1
            return 10 * self.item

    assert list(collect_in_order(Future, range(9), 3)) == [10 * item for item in range(9)]
    assert most == 3


def dies_once(numbered: tuple[str, int]) -> int:
    """The number; the first process that is asked for the third one is killed."""
    folder, number = numbered
    if number == 3:
        try:
            (Path(folder) / "asked").mkdir()
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow  # starts processes
def test_what_a_killed_worker_of_a_cluster_did_is_done_again(tmp_path):
    pytest.importorskip("distributed", reason="the extra hpc is not installed")
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with start_workers("local", 2) as everywhere:
        assert list(everywhere(dies_once, [(str(tmp_path), k) for k in range(8)])) == list(range(8))
    assert (tmp_path / "asked").is_dir()
    assert int(dask.array.ones(3, chunks=1).sum().compute()) == 3  # without a cluster, as before


@pytest.mark.slow  # starts processes
def test_errors_of_workers_are_those_of_the_work():
    with pytest.raises(TypeError, match="abs"), start_workers(n_workers=2) as everywhere:
        list(everywhere(abs, ["text"]))


def test_a_scheduler_that_does_not_answer_is_said():
    pytest.importorskip("distributed", reason="the extra hpc is not installed")
    with pytest.raises(InputError, match="no dask scheduler answers there"), start_workers("nowhere", 2):
        pass
