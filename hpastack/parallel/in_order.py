"""Results of joblib's workers in the order of the calls, whatever the backend can do."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable
from itertools import islice
from typing import Any

import joblib
from joblib.parallel import get_active_backend

# Tasks for each worker that are handed to a backend together that only gives all results at once.
_WINDOW = 16


def in_order(calls: Iterable[Any], jobs: int | None) -> Generator[Any, None, None]:
    """Yield the results of delayed calls, by the active backend of joblib or by threads.

    Parameters
    ----------
    calls : iterable
        Of `joblib.delayed`; taken a few ahead.
    jobs : int or None
        Workers, as joblib counts them.

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
        for result in results:  # noqa: UP028 - `yield from` would close it, and warn
            yield result
    finally:
        with warnings.catch_warnings():
            # Stopping at a bad field is meant, and what is under way is of no use.
            warnings.filterwarnings("ignore", ".*still being processed by the workers")
            results.close()


def _in_windows(calls: Iterable[Any], jobs: int | None) -> Generator[Any, None, None]:
    """Work with backends such as Ray's, and the processes of ``multiprocessing``."""
    calls = iter(calls)
    n_tasks = _WINDOW * joblib.effective_n_jobs(jobs)
    with joblib.Parallel(n_jobs=jobs, prefer="threads") as workers:
        while window := list(islice(calls, n_tasks)):
            yield from workers(window)
