import threading
import time

import pytest

from hpastack.download.pacing import Pace, growing_wait, retry_after

pytestmark = pytest.mark.core


class Clock:
    def __init__(self):
        self.now = 100.0
        self.waits = []

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def test_turns_are_a_gap_apart_and_idle_time_saves_up_nothing():
    clock = Clock()
    pace = Pace(4.0, clock.wait, clock)
    turns = []
    for idle in (0, 0, 0.1, 10, 0):
        clock.now += idle
        pace.take_turn()
        turns.append(clock.now)
    assert turns == pytest.approx([100, 100.25, 100.5, 110.5, 110.75])


def test_a_pause_holds_everybody_and_is_never_shortened():
    clock = Clock()
    pace = Pace(4.0, clock.wait, clock)
    pace.pause(30)
    pace.pause(2)
    pace.take_turn()
    assert clock.now == pytest.approx(130)


def test_a_pause_holds_those_who_wait_already():
    pace = Pace(20.0)
    pace.take_turn()
    turns = []
    threads = [
        threading.Thread(target=lambda: (pace.take_turn(), turns.append(time.monotonic())))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    pace.pause(0.15)
    for thread in threads:
        thread.join()
    turns.sort()
    assert turns[0] - start >= 0.15
    assert min(b - a for a, b in zip(turns, turns[1:])) > 0.03


def test_waits_double_up_to_a_limit_with_a_random_part():
    waits = [[growing_wait(attempt, 1.0) for _ in range(50)] for attempt in (0, 1, 5, 6, 5000)]
    for expected, drawn in zip((1, 2, 32, 60, 60), waits):
        assert expected / 2 <= min(drawn) < max(drawn) <= expected


@pytest.mark.parametrize(
    "header, seconds",
    [
        ("0", 0),
        (" 7 ", 7),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 37),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 37),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0),
        (None, None),
        ("", None),
        ("-3", None),
        ("1.5", None),
        ("\u00b2", None),
        ("99999999999999999999", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 99999999999999 08:49:37 GMT", None),
    ],
)
def test_retry_after_is_read(header, seconds):
    assert retry_after(header, now=784111740.0) == seconds
