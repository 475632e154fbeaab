"""Threads or processes: the choice, and that it changes no result."""

import os
import time
from contextlib import closing

import joblib
import pytest

from hpastack.parallel import spread_on_this_machine, threads_or_processes


def process_and_square(number):
    return os.getpid(), number * number


def fail_at_five(number):
    if number == 5:
        raise ZeroDivisionError
    return number


def tasks(number=20):
    return ((n,) for n in range(number))


def spread_squares(**options):
    found = list(spread_on_this_machine(process_and_square, tasks(), 20, **options))
    assert [square for _, square in found] == [n * n for n in range(20)]
    return {pid for pid, _ in found[2:]}


def test_little_work_stays_in_this_process():
    assert spread_squares(jobs=2) == {os.getpid()}


def test_much_work_goes_to_processes(monkeypatch):
    monkeypatch.setattr(threads_or_processes, "_START_SECONDS", -1.0)
    assert os.getpid() not in spread_squares(jobs=2)
    assert spread_squares(jobs=1) == {os.getpid()}, "one worker is this process"


def test_where_no_process_can_start_threads_work(monkeypatch):
    monkeypatch.setattr(threads_or_processes, "_START_SECONDS", -1.0)
    monkeypatch.setattr(joblib, "effective_n_jobs", lambda jobs: 1)
    assert spread_squares(jobs=2) == {os.getpid()}


@pytest.mark.parametrize("name", ["threading", "loky"])
def test_a_backend_that_is_set_up_is_honoured(name, monkeypatch):
    start = 1e9 if name == "loky" else -1.0
    monkeypatch.setattr(threads_or_processes, "_START_SECONDS", start)
    with joblib.parallel_config(name):
        found = spread_squares(jobs=2)
    assert (os.getpid() in found) == (name == "threading")


@pytest.mark.parametrize("start", [1e9, -1.0], ids=["threads", "processes"])
def test_what_a_task_raises_ends_the_work(start, monkeypatch):
    monkeypatch.setattr(threads_or_processes, "_START_SECONDS", start)
    found = []
    with pytest.raises(ZeroDivisionError):
        for result in spread_on_this_machine(fail_at_five, tasks(), 20, 2):
            found.append(result)
    assert found == [0, 1, 2, 3, 4][: len(found)]


@pytest.mark.parametrize("n_tasks", [0, 1, 2, 3])
def test_few_tasks(n_tasks):
    found = spread_on_this_machine(process_and_square, tasks(n_tasks), n_tasks, 2)
    assert [square for _, square in found] == [n * n for n in range(n_tasks)]


def test_a_stopped_consumer_leaves_no_backend_behind(monkeypatch):
    monkeypatch.setattr(threads_or_processes, "_START_SECONDS", -1.0)
    with closing(spread_on_this_machine(process_and_square, tasks(), 20, 2)) as found:
        for _ in range(4):
            next(found)
    assert not threads_or_processes._is_set_up()


def test_the_second_task_is_what_is_timed(monkeypatch):
    seen = []
    monkeypatch.setattr(
        threads_or_processes, "processes_win", lambda seconds, jobs: seen.append(seconds)
    )

    def slow_first(number):
        time.sleep(0.3 if number == 0 else 0.01)

    list(spread_on_this_machine(slow_first, tasks(102), 102, 2))
    assert 1.0 <= seen[0] < 10, "100 tasks of 0.01 s, not of 0.3 s"
