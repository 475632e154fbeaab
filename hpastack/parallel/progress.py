"""Progress of long work: a bar on a terminal and in a notebook, plain lines anywhere else.

Everything in the library that shows progress does so through `progress_bar`. Nothing is coloured.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import joblib
from tqdm.asyncio import tqdm_asyncio
from tqdm.auto import tqdm

from hpastack.parallel.in_order import in_order

# Seconds between two plain lines. Shorter work has none.
_LINE_SECONDS = 30.0


class _Output:
    """Where the progress of this process is shown, and where it is logged."""

    show = True
    log: Callable[[str], None] | None = None
    lock = threading.Lock()


@contextmanager
def progress_output(
    *, show: bool = True, log: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Set where progress is shown within the block, in all threads of the process.

    Within another such block, what that one hides stays hidden, and what it logs is logged.

    Parameters
    ----------
    show : bool, default=True
        Whether progress is shown at all.
    log : callable, optional
        Called with each plain line as well, whether or not progress is shown.
    """
    before = _Output.show, _Output.log
    _Output.show, _Output.log = show and before[0], log or before[1]
    try:
        yield
    finally:
        _Output.show, _Output.log = before


class Progress:
    """Progress of one piece of work; iterable where it was made from an iterable.

    Parameters
    ----------
    iterable : iterable or None
    what : str
        Name of the work.
    total : int or None
        Number of units of the whole work.
    unit : str
        Name of one unit; ``it`` for none.
    initial : float
        Units that an earlier run has done.
    bar : tqdm or None
        Bar to move along.
    outputs : sequence of callable
        Called with each plain line.
    """

    def __init__(
        self, iterable: Iterable[Any] | None, what: str, total: int | None, unit: str,
        initial: float, bar: tqdm[Any] | None, outputs: list[Callable[[str], None]],
    ) -> None:  # fmt: skip
        self._iterable, self._what, self._total, self._unit = iterable, what, total, unit
        self._bar, self._outputs = bar, outputs
        self._n = self._initial = initial
        self._postfix = ""
        self._started = self._last_line = monotonic()

    def __iter__(self) -> Iterator[Any]:
        """Yield the items, counting each once the next one is requested."""
        assert self._iterable is not None
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def n(self) -> float:
        """Units that are done."""
        return self._n

    @n.setter
    def n(self, value: float) -> None:
        if self._n == self._initial:  # what an earlier run has done says nothing of the rate
            self._initial = value
        self._n = value
        if self._bar is not None:
            self._bar.n = value

    def update(self, n: float = 1) -> None:
        """Add to the units that are done."""
        self._n += n
        if self._bar is not None:
            self._bar.update(n)
        if self._outputs and monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = monotonic()
            for write in self._outputs:
                write(self.line())

    def set_postfix(self, **facts: str) -> None:
        """Set facts, by name, to show after the counts."""
        self.set_postfix_str(", ".join(f"{name}={text}" for name, text in facts.items()))

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Set a text to show after the counts."""
        self._postfix = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=refresh)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def line(self) -> str:
        """Return what is done, the rate and the time left on one line."""
        units = "" if self._unit == "it" else f" {self._unit}s"
        parts = [f"{_number(self._n)}{units}"]
        if self._total is not None:
            parts = [f"{_number(self._n)} of {self._total:,}{units}"]
        seconds, n_done = monotonic() - self._started, self._n - self._initial
        if n_done > 0 and seconds > 0:
            parts.append(_rate(n_done / seconds, units))
            if self._total is not None:
                left = _duration((self._total - self._n) * seconds / n_done)
                parts.append(f"{left} left")
        return f"{self._what}: {', '.join([*parts, *filter(None, [self._postfix])])}"


def progress_bar(
    iterable: Iterable[Any] | None = None, *, what: str, show: bool, total: int | None = None,
    unit: str = "it", delay: float = 1, initial: float = 0, **options: Any,
) -> Progress:  # fmt: skip
    """Return the progress of long work, shown on stderr.

    On a terminal and in a notebook it is a bar. Where stderr is neither, as in a pipe or in
    the log of a batch job, it is one plain line at most every 30 seconds: what is done, the
    rate and the time left.

    Parameters
    ----------
    iterable : iterable, optional
        What to iterate over; if omitted, call ``update``.
    what : str
        Name of the work.
    show : bool
        Whether to show progress at all.
    total : int, optional
        Number of units, where `iterable` has no length.
    unit : str, default="it"
        Name of one unit.
    delay : float, default=1
        Seconds until a bar appears; shorter work shows none. The first line appears after 30.
    initial : float, default=0
        Units that an earlier run has done.
    **options
        Of `tqdm.tqdm`, for a bar.

    Returns
    -------
    Progress
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    outputs = [_Output.log] if show and _Output.log is not None else []
    bar = None
    if show and _Output.show and (_is_terminal() or tqdm is not tqdm_asyncio):
        bar = tqdm(
            total=total, desc=what, unit=unit, delay=delay, initial=initial, **options
        )  # fmt: skip
    elif show and _Output.show:
        outputs.append(_write_line)
    return Progress(iterable, what, total, unit, initial, bar, outputs)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _write_line(line: str) -> None:
    if sys.stderr is not None:
        with _Output.lock:
            print(line, file=sys.stderr, flush=True)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _rate(per_second: float, units: str) -> str:
    if per_second >= 1:
        return f"{per_second:,.1f}{units}/s"
    if per_second * 60 >= 1:
        return f"{per_second * 60:,.1f}{units}/min"
    return f"{per_second * 3600:,.1f}{units}/h"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


@dataclass(frozen=True)
class Workers:
    """How work is spread and shown.

    Parameters
    ----------
    n_jobs : int or None
        Workers; threads, unless a ``joblib.parallel_config`` is active.
    verbose : bool
        Whether to show progress.
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
