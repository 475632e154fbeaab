"""Results of joblib workers in the order of the calls, with any backend."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable
from itertools import islice
from typing import Any

import joblib
from joblib.parallel import get_active_backend

# Tasks per worker submitted together to a backend that only returns all results at once.
_WINDOW = 16


def in_order(calls: Iterable[Any], jobs: int | None) -> Generator[Any, None, None]:
    """Yield the results of delayed calls, using the active joblib backend or threads.

    Parameters
    ----------
    calls : iterable
        Calls made with `joblib.delayed`; consumed a few ahead.
    jobs : int or None
        Number of workers, as in `joblib.Parallel`.

    Yields
    ------
    result
        In the order of the calls.
    """
    active, _ = get_active_backend(prefer="threads")
    if active.supports_return_generator:
        return _streamed(calls, jobs)
    return _in_windows(calls, jobs)


def _streamed(calls: Iterable[Any], jobs: int | None) -> Generator[Any, None, None]:
    workers = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    results = workers(calls)
    try:
        for result in results:  # noqa: UP028 - `yield from` would close it with a warning
            yield result
    finally:
        with warnings.catch_warnings():
            # Stopping at a bad field is intended; results still being computed are not needed.
            warnings.filterwarnings("ignore", ".*still being processed by the workers")
            results.close()


def _in_windows(calls: Iterable[Any], jobs: int | None) -> Generator[Any, None, None]:
    """Yield results from backends without generators, such as Ray and ``multiprocessing``."""
    calls = iter(calls)
    n_tasks = _WINDOW * joblib.effective_n_jobs(jobs)
    with joblib.Parallel(n_jobs=jobs, prefer="threads") as workers:
        while window := list(islice(calls, n_tasks)):
            yield from workers(window)
