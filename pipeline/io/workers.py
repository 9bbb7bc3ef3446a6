"""Mapping a function over items in order: in this process, in several, or on a dask cluster."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from ..errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

_AHEAD = 2  # items in progress per worker; their results wait in memory for their turn
_RETRIES = 3  # of an item whose worker died
_PATIENCE = 30  # seconds within which a scheduler has to answer


@contextmanager
def start_workers(cluster: str | None = None, n_workers: int = 1) -> Iterator[Mapper]:
    """Yield a function like `map` for the block, to call with a picklable function and items.

    Without a ``cluster`` it uses ``n_workers`` processes, or this process if that is 1. "local" starts a dask
    cluster of ``n_workers`` processes on this machine, "slurm" one of ``n_workers`` jobs, configured through
    dask-jobqueue; anything else is the address of a running scheduler. If a worker of a cluster dies, its
    item is repeated.

    Raises `InputError` where dask.distributed is not installed or no scheduler answers.
    """
    if cluster is not None:
        with _connect(cluster, n_workers) as client:
            running = len(client.scheduler_info()["workers"]) or n_workers
            yield lambda work, items: collect_in_order(
                lambda item: client.submit(work, item, pure=False, retries=_RETRIES), items, _AHEAD * running
            )
    elif n_workers == 1:
        yield map
    else:
        with ProcessPoolExecutor(n_workers, mp_context=choose_context()) as pool:
            try:
                yield lambda work, items: collect_in_order(
                    lambda item: pool.submit(work, item), items, _AHEAD * n_workers
                )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def choose_context() -> BaseContext:
    """Return the way to start processes: forked from a fresh one that has imported what this one has.

    Imports are then paid for once, not by each worker. A fork of this process itself would not do: HDF5
    handles and the threads of torch do not survive it.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in sys.modules if name.startswith("oceanfill.")])
    return context


def collect_in_order(submit: Callable[[Any], Any], items: Iterable[Any], ahead: int) -> Iterator[Any]:
    """Yield the results of the futures that ``submit`` returns, with at most ``ahead`` in progress."""
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(":, ")


@contextmanager
def _connect(cluster: str, n_workers: int) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster

        if cluster == "local":
            made: Any = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
        elif cluster == "slurm":
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            from dask_jobqueue import SLURMCluster  # it replaces the handlers of the process

            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():
                    signal.signal(number, handler)

            made = SLURMCluster()
            made.scale(jobs=n_workers)
        else:
            made = None
    except ImportError as error:
        raise InputError(
            f"cluster={cluster!r} needs {error.name}; install it with: pip install distributed dask-jobqueue"
        ) from error
    except Exception as error:  # each cluster raises its own
        remedy = {
            "slurm": "configure dask-jobqueue (cores, memory, queue) in ~/.config/dask/jobqueue.yaml",
            "local": "free memory, or ask for fewer n_workers=",
        }.get(cluster, "check the address")
        raise InputError(f"cluster={cluster!r} cannot be started ({_first_line(error)}); {remedy}") from error
    try:
        # As the default client it would receive all other work of dask, even after it failed to connect.
        client = Client(cluster if made is None else made, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        if made is not None:
            made.close()
        raise InputError(
            f"cluster={cluster!r}: no dask scheduler answers there ({error}); give its address, such "
            "as tcp://host:8786, or choose local or slurm"
        ) from error
    try:
        yield client
    finally:
        client.close()
        if made is not None:
            made.close()
