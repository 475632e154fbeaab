"""Work spread over threads or processes of this machine, whichever is done sooner."""

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

# How many times one worker's rate threads reach at most while features are measured, however many
# there are: they wait for Python's lock, the more the smaller the fields
# (`python -m benchmarks.engine`).
_BEST_OF_THREADS = 1.6
# Until processes have imported the library.
_START_SECONDS = 3.0
# Tasks done first to see how long one takes; the first also prepares what later ones share.
_N_TIMED = 2


def spread_on_this_machine(
    work: Callable[..., Result],
    tasks: Iterable[tuple[Any, ...]],
    n_tasks: int,
    jobs: int | None = None,
) -> Generator[Result, None, None]:
    """Work on tasks in threads, or in processes where there is enough work for them.

    The first tasks are done here, and timed. Results do not depend on the choice.

    Parameters
    ----------
    work, tasks, jobs
        As of `spread`. A backend that was set up with `joblib.parallel_config` is
        honoured.
    n_tasks : int
        How many tasks there are.

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
    left = max(0, n_tasks - _N_TIMED)
    in_processes = processes_win(seconds * left, n_workers) and _can_start_processes(n_workers)
    with backend("loky" if in_processes else "threads"):
        yield from spread(work, tasks, n_workers)


def processes_win(seconds: float, jobs: int) -> bool:
    """Say whether processes are done sooner than threads.

    Parameters
    ----------
    seconds : float
        That the work takes one worker.
    jobs : int
        Workers.

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
    """Say whether processes can be started here: without shared memory, say, they cannot."""
    if multiprocessing.current_process().daemon:
        return False
    with backend("loky"):
        return joblib.effective_n_jobs(jobs) > 1


def _is_set_up() -> bool:
    """Say whether a backend of joblib is active, so that no preference is heard."""
    threads, _ = get_active_backend(prefer="threads")
    processes, _ = get_active_backend(prefer="processes")
    return type(threads) is type(processes)
