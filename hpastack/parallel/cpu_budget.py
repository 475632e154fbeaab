"""The number of processors available to this process, and limits on library threads.

Work is distributed over workers, and libraries used by a worker (OpenCV, BLAS, OpenMP,
torch) get one thread each, so that workers times threads stay within the budget.
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
    """Return the number of workers that this process may use.

    Parameters
    ----------
    environment : mapping, optional
        Environment variables of the process.

    Returns
    -------
    int
        At least 1. The number of processors in its affinity mask, limited by
        the CPU quota of its control group (as in a container) and by
        ``LOKY_MAX_CPU_COUNT``, divided by the number of processes that a
        launcher such as torchrun has started on this machine
        (``LOCAL_WORLD_SIZE``).
    """
    try:
        n_processes = max(1, int(environment.get("LOCAL_WORLD_SIZE", 1)))
    except ValueError:
        n_processes = 1
    return max(1, joblib.cpu_count() // n_processes)


class _ThreadLimits:
    """Number of active `one_thread_each` blocks, and the callbacks that restore the threads."""

    lock = threading.Lock()
    count = 0
    torch = False
    undo = ExitStack()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Limit OpenCV, BLAS, OpenMP and torch to one thread per worker.

    The limit applies to the whole process (for OpenMP, to this thread) until the end of the
    block. If blocks overlap, it applies until the last one ends, in whatever order they end.
    """
    with _ThreadLimits.lock:
        torch = sys.modules.get("torch")
        if torch is not None and not _ThreadLimits.torch:
            # Before threadpool_limits, after which torch would not limit its other threads.
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
