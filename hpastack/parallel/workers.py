"""Work spread over processors, processes and machines: the one seam to joblib."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import BrokenExecutor
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import cv2
import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from hpastack.errors import InputError
from hpastack.parallel.cpu_budget import cpu_budget, one_thread_each
from hpastack.parallel.in_order import in_order

Result = TypeVar("Result")

_DIED = "a worker died (killed, or out of memory?); run it again to go on, with fewer workers"
_LOCAL = threading.local()


class ParentProcess(NamedTuple):
    """The process that hands out the work."""

    host: str
    pid: int


def spread(
    work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], jobs: int | None = None
) -> Generator[Result, None, None]:
    """Work on tasks with an active joblib backend, threads of this process by default.

    Parameters
    ----------
    work : callable
        Takes the parts of a task; known by its module, so that it can be sent
        to other processes. The libraries in it get one thread each.
    tasks : iterable of tuple
        Taken a few ahead.
    jobs : int, optional
        Workers. Left out: what `joblib.parallel_config` says, else
        `cpu_budget` on this machine and all of a cluster.

    Yields
    ------
    result
        In the order of the tasks. What a task raises ends the work.

    Raises
    ------
    InputError
        If a worker process dies.

    Notes
    -----
    Worker processes of this machine end with this process, however it ends.
    """
    active, configured = get_active_backend(prefer="threads")
    if jobs is None:
        is_local = type(active).__module__ == "joblib._parallel_backends"
        jobs = configured if configured is not None else cpu_budget() if is_local else -1
    parent, thread = _parent(), threading.get_ident()
    calls = (joblib.delayed(_at_work)(parent, thread, work, task) for task in tasks)
    with one_thread_each():
        try:
            yield from in_order(calls, jobs)
        except Exception as error:
            if not _is_death(error):
                raise
            raise InputError(_DIED) from error


def _is_death(error: Exception) -> bool:
    """Say whether an error is that of an executor or cluster, not one of the work."""
    kind = type(error)
    of_cluster = kind.__module__.partition(".")[0] in ("distributed", "ray")
    return isinstance(error, BrokenExecutor) or (of_cluster and "TaskError" not in kind.__name__)


def _at_work(
    parent: ParentProcess, thread: int, work: Callable[..., Result], task: tuple[Any, ...]
) -> Result:
    if parent.pid == os.getpid() and parent.host == socket.gethostname():
        if thread != threading.get_ident():
            _keep_to_one_thread()
        return work(*task)
    _initialise_worker(parent, os.getppid() == parent.pid and parent.host == socket.gethostname())
    try:
        return work(*task)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # it would not arrive, and look like the death of the worker
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise


def _keep_to_one_thread() -> None:
    """Make OpenMP keep to one thread in this thread too, for which it has a number of its own."""
    if not hasattr(_LOCAL, "limits"):
        _LOCAL.limits = threadpool_limits(1, user_api="openmp")


def _parent() -> ParentProcess:
    return ParentProcess(socket.gethostname(), os.getpid())


@lru_cache
def _initialise_worker(parent: ParentProcess, is_child: bool) -> None:
    """Make a worker process keep to one thread and, if its parent started it, end with it."""
    cv2.setNumThreads(1)
    threadpool_limits(1)
    if not is_child:  # those of a cluster have a master of their own
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to act on

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()
