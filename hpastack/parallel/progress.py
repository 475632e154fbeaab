"""How far long work is: the one progress bar, and work on tasks that shows one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import joblib
from tqdm.auto import tqdm

from hpastack.parallel.in_order import in_order


def progress_bar(
    iterable: Iterable[Any] | None = None, *, what: str, show: bool, total: int | None = None,
    unit: str = "it", delay: float = 1, **options: Any,
) -> tqdm[Any]:  # fmt: skip
    """Return a progress bar on stderr.

    Parameters
    ----------
    iterable : iterable, optional
        What to go through; if omitted, the bar moves by its ``update``.
    what : str
        Stands before the bar.
    show : bool
        Whether there is a bar at all.
    total : int, optional
        How much there is to do, where `iterable` has no length.
    unit : str, default="it"
        What is counted.
    delay : float, default=1
        Seconds until it appears; work that ends before shows none.
    **options
        Of `tqdm.tqdm`.

    Returns
    -------
    tqdm
    """
    return tqdm(
        iterable, total=total, desc=what, unit=unit, delay=delay, disable=not show, **options
    )


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

    def map(
        self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], total: int, what: str
    ) -> Iterator[Any]:
        """Yield ``function(*task)`` in the order of the tasks."""
        # Threads: the libraries let go of the interpreter, and a fork after OpenMP would hang.
        results = in_order((joblib.delayed(function)(*task) for task in tasks), self.n_jobs)
        with progress_bar(total=total, what=what, unit="fit", show=self.verbose, delay=0) as bar:
            for result in results:
                bar.update()
                yield result
