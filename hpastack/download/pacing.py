"""Pacing of requests: a rate limit shared by all threads, pauses, and exponential backoff."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime


class Pace:
    """Rate limiter for the requests of all threads.

    Parameters
    ----------
    rate : float
        Maximum number of requests per second.
    wait : callable
        Waits for a number of seconds.
    clock : callable
        Returns seconds of a monotonic clock.
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
            # Outside the lock and then checked again, because pause() may be called meanwhile.
            self._wait(left)

    def pause(self, seconds: float) -> None:
        """Pause all requests for a number of seconds."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + seconds)


def growing_wait(attempt: int, first: float, longest: float = 60.0) -> float:
    """Return the time to wait after a failed attempt.

    Parameters
    ----------
    attempt : int
        Number of attempts that failed before this one.
    first : float
        Seconds after the first attempt.
    longest : float, default=60
        Maximum number of seconds.

    Returns
    -------
    float
        Seconds, growing by a factor of 2 per attempt and shortened at random by
        up to a half, so that threads that failed together do not retry together.
    """
    return min(longest, first * 2 ** min(attempt, 30)) * random.uniform(0.5, 1)


def retry_after(header: str | None, now: float) -> float | None:
    """Return the time that a server asks to wait.

    Parameters
    ----------
    header : str or None
        Value of ``Retry-After``: seconds, or a date.
    now : float
        Seconds since 1970.

    Returns
    -------
    float or None
        Seconds from now, at least 0; None if the value is missing or not valid.

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
