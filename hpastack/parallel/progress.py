"""How long work shows how far it is: the caller may hand in `tqdm`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import joblib
from tqdm.auto import tqdm

#: Wraps an iterable: ``progress(iterable, total=n, desc=what)``, as `tqdm` does.
Progress = Callable[..., Iterable]


def silent(iterable: Iterable, total: int, desc: str) -> Iterable:
    """Show no progress."""
    return iterable


@dataclass(frozen=True)
class Workers:
    """How work is spread and shown.

    Parameters
    ----------
    n_jobs : int or None
        Workers; threads, unless a ``joblib.parallel_config`` is active.
    verbose : bool
        Whether to show a progress bar.
    """

    n_jobs: int | None = None
    verbose: bool = False

    def map(self, function: Callable, tasks: Iterable[tuple], total: int, what: str) -> Iterator:
        """Yield ``function(*task)`` in the order of the tasks."""
        # Threads: the libraries let go of the interpreter, and a fork after OpenMP would hang.
        parallel = joblib.Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
        results = parallel(joblib.delayed(function)(*task) for task in tasks)
        with tqdm(total=total, desc=what, unit="fit", disable=not self.verbose) as bar:
            for result in results:
                bar.update()
                yield result
