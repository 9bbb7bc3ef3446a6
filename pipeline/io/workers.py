"""The same work on many items, the results in order: in this process, in several, or on a dask cluster."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

_AHEAD = 2  # items a worker that are under way: their results wait in memory for their turn
_RETRIES = 3  # of an item whose worker is lost


@contextmanager
def start_workers(cluster: str | None = None, n_workers: int = 1) -> Iterator[Mapper]:
    """A map for the block to call with a function of the top level of a module, and items.

    Without a ``cluster`` it uses ``n_workers`` processes, this one where that is 1. "local" is a dask cluster of
    as many on this machine, "slurm" one of as many jobs, as dask-jobqueue's configuration describes them;
    anything else is the address of a scheduler that runs. There an item whose worker dies is done again.

    Raises `InputError` where dask.distributed is not installed or no scheduler answers.
    """
    if cluster is not None:
        with _client(cluster, n_workers) as client:
            running = len(client.scheduler_info()["workers"]) or n_workers
            yield lambda work, items: _in_order(
                lambda item: client.submit(work, item, pure=False, retries=_RETRIES), items, _AHEAD * running
            )
    elif n_workers == 1:
        yield map
    else:
        # Handles of HDF5 files and threads of torch do not survive a fork.
        with ProcessPoolExecutor(n_workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                yield lambda work, items: _in_order(
                    lambda item: pool.submit(work, item), items, _AHEAD * n_workers
                )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _in_order(submit: Callable[[Any], Any], items: Iterable[Any], ahead: int) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _client(cluster: str, n_workers: int) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster

        if cluster == "local":
            made: Any = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
        elif cluster == "slurm":
            from dask_jobqueue import SLURMCluster

            made = SLURMCluster()
            made.scale(jobs=n_workers)
        else:
            made = None
    except ImportError as error:
        raise InputError(
            f"--cluster {cluster} needs {error.name}; install it with: pip install 'oceanfill[hpc]'"
        ) from error
    try:
        # Not the default, which all else that uses dask would then go to, even after a failure to connect.
        client = Client(cluster if made is None else made, timeout=30, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--cluster {cluster}: no dask scheduler answers there ({error}); give its address as "
            "tcp://host:8786, or one of local and slurm"
        ) from error
    try:
        yield client
    finally:
        client.close()
        if made is not None:
            made.close()
