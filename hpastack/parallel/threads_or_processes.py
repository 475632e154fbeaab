"""Parallel work with threads or processes on this machine, whichever is faster."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from hpastack.parallel.backends import backend
from hpastack.parallel.cpu_budget import cpu_budget
from hpastack.parallel.workers import Result, spread

# Maximum speed-up of any number of threads over one worker when features are measured: threads
# wait for Python's global interpreter lock, the more so the smaller the fields
# (`python -m benchmarks.engine`).
_BEST_OF_THREADS = 1.6
# Time until worker processes have imported the library.
_START_SECONDS = 3.0
# Tasks run first to measure their duration; the first also prepares data shared by later ones.
_N_TIMED = 2


def spread_on_this_machine(
    work: Callable[..., Result],
    tasks: Iterable[tuple[Any, ...]],
    n_tasks: int,
    jobs: int | None = None,
) -> Generator[Result, None, None]:
    """Run tasks in threads, or in processes if there is enough work for them.

    The first tasks run in the calling thread and are timed. Results do not depend on the choice.

    Parameters
    ----------
    work, tasks, jobs
        As for `spread`. A backend set up with `joblib.parallel_config` takes
        precedence.
    n_tasks : int
        Number of tasks.

    Yields
    ------
    result
        In the order of the tasks.

    Raises
    ------
    InputError
        If a worker process dies.
    """
    n_workers = cpu_budget() if jobs is None else jobs
    if _is_set_up() or n_workers == 1:
        yield from spread(work, tasks, jobs)
        return
    tasks = iter(tasks)
    seconds = 0.0
    timed = spread(work, islice(tasks, _N_TIMED), 1)
    while True:
        began = time.perf_counter()
        try:
            result = next(timed)
        except StopIteration:
            break
        seconds = time.perf_counter() - began
        yield result
    n_left = max(0, n_tasks - _N_TIMED)
    in_processes = processes_win(seconds * n_left, n_workers) and _can_start_processes(n_workers)
    with backend("loky" if in_processes else "threads"):
        yield from spread(work, tasks, n_workers)


def processes_win(seconds: float, jobs: int) -> bool:
    """Return whether processes are expected to finish before threads.

    Parameters
    ----------
    seconds : float
        Duration of the work with one worker.
    jobs : int
        Number of workers.

    Returns
    -------
    bool

    Examples
    --------
    >>> processes_win(10, jobs=2), processes_win(100, jobs=2), processes_win(10, jobs=16)
    (False, True, True)
    """
    in_threads = seconds / min(jobs, _BEST_OF_THREADS)
    return _START_SECONDS + seconds / jobs < in_threads


def _can_start_processes(jobs: int) -> bool:
    """Return whether processes can be started here; they cannot without shared memory."""
    if multiprocessing.current_process().daemon:
        return False
    with backend("loky"):
        return joblib.effective_n_jobs(jobs) > 1


def _is_set_up() -> bool:
    """Return whether a joblib backend is active, so that preferences have no effect."""
    threads, _ = get_active_backend(prefer="threads")
    processes, _ = get_active_backend(prefer="processes")
    return type(threads) is type(processes)
