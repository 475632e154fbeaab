"""How many processors this process may use, and keeping to it.

Work is spread over workers; the libraries inside a worker (OpenCV, BLAS, OpenMP, torch)
then get one thread each, so that workers times threads stay within the budget.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import cv2
import joblib
from threadpoolctl import threadpool_limits


def cpu_budget(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many workers this process may keep busy.

    Parameters
    ----------
    environment : mapping, optional
        Variables of the process.

    Returns
    -------
    int
        At least 1. The processors it may run on (affinity), no more than
        the quota of its control group (as in a container) and
        ``LOKY_MAX_CPU_COUNT``; divided among the processes that a launcher
        such as torchrun has started on this machine (``LOCAL_WORLD_SIZE``).
    """
    try:
        n_processes = max(1, int(environment.get("LOCAL_WORLD_SIZE", 1)))
    except ValueError:
        n_processes = 1
    return max(1, joblib.cpu_count() // n_processes)


class _ThreadLimits:
    """How many blocks of `one_thread_each` there are, and what undoes the first."""

    lock = threading.Lock()
    count = 0
    torch = False
    undo = ExitStack()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV, BLAS, OpenMP and torch from taking threads of their own beside the workers.

    It holds for the whole process (of OpenMP: for this thread), until the end of the block; of
    blocks that overlap, in whatever order they end, until the end of the last.
    """
    with _ThreadLimits.lock:
        torch = sys.modules.get("torch")
        if torch is not None and not _ThreadLimits.torch:
            # Before the limits, which hide from torch that other threads have not got them.
            _ThreadLimits.undo.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
            _ThreadLimits.torch = True
        if _ThreadLimits.count == 0:
            _ThreadLimits.undo.callback(cv2.setNumThreads, cv2.getNumThreads())
            cv2.setNumThreads(1)
            _ThreadLimits.undo.enter_context(threadpool_limits(1))
        _ThreadLimits.count += 1
    try:
        yield
    finally:
        with _ThreadLimits.lock:
            _ThreadLimits.count -= 1
            if _ThreadLimits.count == 0:
                _ThreadLimits.torch = False
                _ThreadLimits.undo.close()
