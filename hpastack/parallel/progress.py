"""Progress bars, and parallel work that shows one."""

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
        The iterable to wrap; if omitted, call the bar's ``update``.
    what : str
        Text before the bar.
    show : bool
        Whether there is a bar at all.
    total : int, optional
        Number of items, if `iterable` has no length.
    unit : str, default="it"
        Name of an item.
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
