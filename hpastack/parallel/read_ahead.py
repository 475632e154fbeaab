"""Computing results ahead in threads, with results in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_END: Any = object()


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], *, jobs: int, ahead: int
) -> Generator[Future[Result], None, None]:
    """Process items in threads and yield their futures in order.

    Parameters
    ----------
    work : callable
        Called with each item.
    items : iterable
        Consumed in the thread of the caller, as results are consumed.
    jobs : int
        Number of items processed at the same time.
    ahead : int
        Maximum number of items consumed beyond the one yielded.

    Yields
    ------
    Future
        Its ``result()`` returns the value of `work`, or raises its exception.

    Notes
    -----
    When the generator is closed, no further items are started, and running
    ones are waited for.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


def read_ahead(items: Iterable[Item], ahead: int = 2) -> Generator[Item, None, None]:
    """Iterate over items in a background thread, a few in advance.

    Parameters
    ----------
    items : iterable
        Closed at the end, if it is a generator.
    ahead : int, default=2
        Maximum number of items consumed beyond the one yielded.

    Yields
    ------
    item
        In order. An exception in the iterable is raised at its position. When
        the generator is closed, no further items are consumed.

    Examples
    --------
    >>> list(read_ahead(character for character in "abc"))
    ['a', 'b', 'c']
    """
    iterator: Iterator[Item] = iter(items)
    taken = in_threads(lambda _: next(iterator, _END), itertools.count(), jobs=1, ahead=ahead)
    try:
        with closing(taken):
            for future in taken:
                item = future.result()
                if item is _END:
                    return
                yield item
    finally:
        if isinstance(iterator, Generator):
            iterator.close()
