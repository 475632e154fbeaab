"""Work done ahead in threads, handed out in order."""

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
    """Work on items in threads; hand out what came of each, in their order.

    Parameters
    ----------
    work : callable
        Takes an item.
    items : iterable
        Taken one by one in the thread of the consumer, as there is room.
    jobs : int
        Items worked on at the same time.
    ahead : int
        Most items taken beside the one handed out.

    Yields
    ------
    Future
        Its ``result()`` gives what `work` returned, or raises what it raised.

    Notes
    -----
    When the consumer closes the generator no further work begins, and what is
    under way is waited for.
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
    """Take items from an iterable in a thread of its own, some in advance.

    Parameters
    ----------
    items : iterable
        Closed at the end, if it is a generator.
    ahead : int, default=2
        Most items taken beside the one handed out.

    Yields
    ------
    item
        In order. What the iterable raises is raised at its turn. When the
        consumer closes the generator, no further item is taken.

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
