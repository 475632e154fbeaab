"""Work ahead in threads: order, bounds, exceptions, and an end when nobody listens any more."""

import threading
import time
from contextlib import closing

import pytest

from hpastack.parallel import in_threads, read_ahead


def ahead_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_results_come_in_order_whatever_takes_longest():
    def work(item):
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item

    found = [future.result() for future in in_threads(work, range(20), jobs=4, ahead=5)]
    assert found == list(range(20))


def test_no_more_is_taken_than_said():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    with closing(in_threads(lambda item: item, items(), jobs=2, ahead=3)) as results:
        assert next(results).result() == 0
        assert taken == [0, 1, 2, 3]
        assert next(results).result() == 1
        assert taken == [0, 1, 2, 3, 4]
    assert ahead_threads() == []


def test_what_has_not_begun_is_not_begun_when_nobody_listens_any_more():
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.02)

    with closing(in_threads(work, range(100), jobs=1, ahead=40)) as results:
        next(results)
    assert len(begun) < 20


def test_an_exception_is_of_its_item():
    results = in_threads(lambda item: 1 // item, [1, 0, 1], jobs=2, ahead=2)
    assert next(results).result() == 1
    with pytest.raises(ZeroDivisionError):
        next(results).result()
    assert next(results).result() == 1


def test_items_are_read_in_another_thread_and_bounded():
    names, taken = set(), []

    def items():
        for item in range(100):
            names.add(threading.current_thread().name)
            taken.append(item)
            yield item

    with closing(read_ahead(items(), 2)) as ahead:
        assert next(ahead) == 0
        wait_for(lambda: len(taken) == 3)
        time.sleep(0.05)
        assert taken == [0, 1, 2]
        assert next(ahead) == 1
        wait_for(lambda: len(taken) == 4)
    assert threading.current_thread().name not in names
    assert len(taken) <= 5
    assert ahead_threads() == []


def test_an_exception_comes_through_at_its_turn_and_ends_it():
    closed = []

    def items():
        try:
            yield 1
            yield 2
            raise KeyError("third")
        finally:
            closed.append(True)

    ahead = read_ahead(items(), 5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(ahead)
    assert closed == [True]
    assert list(ahead) == []
    assert ahead_threads() == []


def test_a_consumer_that_stops_closes_the_source():
    closed = []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    for _ in read_ahead(items()):
        break  # what is left of the loop is collected at once
    assert closed == [True]
    assert ahead_threads() == []
