"""Progress: a bar on a terminal, plain lines of long work elsewhere, nothing where not wanted."""

import io
import re
import sys
import time

import pytest

from hpastack.parallel import progress, progress_bar, progress_output

pytestmark = pytest.mark.core


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def often(monkeypatch):
    """Write plain lines every 0.1 s instead of every 30 s."""
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.1)


def count(n_items, seconds, **options):
    """Iterate over some items, for some seconds in all."""
    options = {"what": "counting", "unit": "field", "show": True, **options}
    done = []
    for item in progress_bar(range(n_items), **options):
        time.sleep(seconds / n_items)
        done.append(item)
    assert done == list(range(n_items))


@pytest.mark.parametrize(
    "seconds, show, is_shown", [(0, True, False), (1.1, True, True), (1.1, False, False)]
)
def test_a_bar_of_long_work_goes_to_the_terminal(monkeypatch, capsys, seconds, show, is_shown):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    count(2, seconds, show=show)
    shown = terminal.getvalue()
    assert ("\rcounting" in shown and "field" in shown and "|" in shown) == is_shown
    assert bool(shown) == is_shown
    assert capsys.readouterr().out == ""


def test_a_pipe_gets_plain_lines_with_rate_and_time_left(capsys, often):
    count(10, 0.5)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and 1 <= len(lines) <= 5
    pattern = r"counting: \d+ of 10 fields, \d+\.\d fields/s, \d s left"
    assert all(re.fullmatch(pattern, line) for line in lines), lines


def test_a_pipe_gets_nothing_of_short_work(capsys):
    count(10, 1.2)
    assert capsys.readouterr().err == ""


def test_a_line_of_slow_work_counts_what_this_run_did(monkeypatch, capsys, often):
    clock = iter([0.0, 3600.0, 3600.0, 3600.0]).__next__
    monkeypatch.setattr(progress, "monotonic", clock)
    with progress_bar(what="fold 1", unit="epoch", show=True, total=1010, initial=1000) as bar:
        bar.set_postfix(loss="0.1", macro_ap="0.9")
        bar.update(2)
    line = "fold 1: 1,002 of 1,010 epochs, 2.0 epochs/h, 4 h 00 min left, loss=0.1, macro_ap=0.9\n"
    assert capsys.readouterr().err == line


def test_progress_can_be_silenced_and_logged(capsys, often):
    lines = []
    with progress_output(show=False, log=lines.append):
        count(10, 0.5)
        count(10, 0.2, show=False)
    assert capsys.readouterr().err == ""
    assert lines and all(line.startswith("counting: ") for line in lines)
    n_lines = len(lines)
    count(10, 0.3)
    assert len(lines) == n_lines and capsys.readouterr().err


def test_a_log_gets_lines_where_the_terminal_has_a_bar(monkeypatch, often):
    terminal, lines = Terminal(), []
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_output(log=lines.append):
        count(10, 0.5, delay=0)
    assert "\r" in terminal.getvalue() and "left\n" not in terminal.getvalue()
    assert lines and not any("\r" in line for line in lines)
