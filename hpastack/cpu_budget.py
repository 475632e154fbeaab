"""How many processors this process may use, and keeping to it.

Work is spread over workers; the libraries inside a worker (OpenCV, BLAS, OpenMP, torch)
then get one thread each, so that workers times threads stay within the budget.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV, BLAS, OpenMP and torch from taking threads of their own beside the workers.

    It holds for the whole process, until the end of the block.
    """
    before = cv2.getNumThreads()
    torch = sys.modules.get("torch")
    torch_before = None if torch is None else torch.get_num_threads()
    cv2.setNumThreads(1)
    if torch is not None:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
        if torch is not None:
            torch.set_num_threads(torch_before)
