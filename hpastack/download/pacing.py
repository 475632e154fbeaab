"""When a server may be asked again: a rate for all threads together, pauses, growing waits."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime


class Pace:
    """Lets requests of all threads pass one by one, no faster than a rate.

    Parameters
    ----------
    rate : float
        Requests a second.
    wait : callable
        Waits for so many seconds.
    clock : callable
        Gives seconds that only grow.
    """

    def __init__(
        self,
        rate: float,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gap = 1 / rate
        self._wait = wait
        self._clock = clock
        self._free_at = clock()
        self._lock = threading.Lock()

    def take_turn(self) -> None:
        """Wait until a request may be sent."""
        while True:
            with self._lock:
                now = self._clock()
                left = self._free_at - now
                if left <= 0:
                    self._free_at = now + self._gap
                    return
            # Not within the lock, and asked again: a pause may have been called meanwhile.
            self._wait(left)

    def pause(self, seconds: float) -> None:
        """Let nobody pass for some seconds."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + seconds)


def growing_wait(attempt: int, first: float, longest: float = 60.0) -> float:
    """Return how long to wait after a failed attempt.

    Parameters
    ----------
    attempt : int
        Attempts that have failed before this one.
    first : float
        Seconds after the first.
    longest : float, default=60

    Returns
    -------
    float
        Seconds, doubled with each attempt; less up to a half of it, at random,
        so that threads that failed together do not come back together.
    """
    return min(longest, first * 2 ** min(attempt, 30)) * random.uniform(0.5, 1)


def retry_after(header: str | None, now: float) -> float | None:
    """Read how long a server asks to be left alone.

    Parameters
    ----------
    header : str or None
        Value of ``Retry-After``: seconds, or a date.
    now : float
        Seconds since 1970.

    Returns
    -------
    float or None
        Seconds from now, at least 0; None where it says nothing that can be read.

    Examples
    --------
    >>> retry_after("120", now=0.0)
    120.0
    >>> retry_after("Thu, 01 Jan 1970 00:00:30 GMT", now=10.0)
    20.0
    >>> retry_after("soon", now=0.0) is None
    True
    """
    text = (header or "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, moment - now)
