"""Parallel work over threads, processes and machines: the interface to joblib."""

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
from joblib._parallel_backends import LokyBackend
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from hpastack.errors import InputError
from hpastack.parallel.cpu_budget import cpu_budget, one_thread_each
from hpastack.parallel.in_order import in_order

Result = TypeVar("Result")

_DIED = "a worker died (killed, or out of memory?); run it again with fewer workers to resume"
_LOCAL = threading.local()


class ParentProcess(NamedTuple):
    """The process that distributes the work."""

    host: str
    pid: int


def spread(
    work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]], jobs: int | None = None
) -> Generator[Result, None, None]:
    """Run tasks with the active joblib backend, by default in threads of this process.

    Parameters
    ----------
    work : callable
        Called with the elements of a task as arguments. Must be importable
        from its module, so that it can be sent to other processes. Libraries
        used by it get one thread each.
    tasks : iterable of tuple
        Consumed a few ahead.
    jobs : int, optional
        Number of workers. Default: that of `joblib.parallel_config`, otherwise
        `cpu_budget` on this machine and all workers of a cluster.

    Yields
    ------
    result
        In the order of the tasks. An exception in a task ends the work.

    Raises
    ------
    InputError
        If a worker process dies.

    Notes
    -----
    Worker processes on this machine end with this process, however it ends.
    """
    active, configured = get_active_backend(prefer="threads")
    if jobs is None:
        is_local = type(active).__module__ == "joblib._parallel_backends"
        jobs = configured if configured is not None else cpu_budget() if is_local else -1
    parent, thread, is_loky = _parent(), threading.get_ident(), isinstance(active, LokyBackend)
    calls = (joblib.delayed(_at_work)(parent, thread, is_loky, work, task) for task in tasks)
    with one_thread_each():
        try:
            yield from in_order(calls, jobs)
        except Exception as error:
            if not _is_death(error):
                raise
            raise InputError(_DIED) from error


def worker_processes(jobs: int, **options: Any) -> joblib.Parallel:
    """Return a pool of worker processes that end with this process, however it ends.

    For a few long tasks that use several threads each; for others, see `spread`.

    Parameters
    ----------
    jobs : int
        Number of workers; with 1, tasks run in this process.
    **options
        Passed to `joblib.Parallel`.

    Returns
    -------
    joblib.Parallel
        Of the active joblib backend, by default loky. Workers of other backends are
        managed by these.
    """
    active, _ = get_active_backend(prefer="processes")
    if isinstance(active, LokyBackend):
        options |= {"initializer": _end_with, "initargs": (os.getpid(),)}
    return joblib.Parallel(n_jobs=jobs, prefer="processes", **options)


def _is_death(error: Exception) -> bool:
    """Return whether an error comes from an executor or cluster rather than from the work."""
    kind = type(error)
    of_cluster = kind.__module__.partition(".")[0] in ("distributed", "ray")
    # A broken pipe: the process was killed by which loky keeps track of its workers' resources.
    return isinstance(error, BrokenExecutor | BrokenPipeError) or (
        of_cluster and "TaskError" not in kind.__name__
    )


def _at_work(
    parent: ParentProcess, thread: int, is_loky: bool, work: Callable[..., Result],
    task: tuple[Any, ...],
) -> Result:  # fmt: skip
    if parent.pid == os.getpid() and parent.host == socket.gethostname():
        if thread != threading.get_ident():
            _keep_to_one_thread()
        return work(*task)
    # The parent of a worker of loky may have ended before the first task.
    is_child = os.getppid() == parent.pid and parent.host == socket.gethostname()
    _initialise_worker(parent, is_loky or is_child)
    try:
        return work(*task)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # could not be sent back, and would look like the death of the worker
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise


def _keep_to_one_thread() -> None:
    """Limit OpenMP to one thread in this thread too, because its limit is set per thread."""
    if not hasattr(_LOCAL, "limits"):
        _LOCAL.limits = threadpool_limits(1, user_api="openmp")


def _parent() -> ParentProcess:
    return ParentProcess(socket.gethostname(), os.getpid())


@lru_cache
def _initialise_worker(parent: ParentProcess, is_child: bool) -> None:
    """Limit a worker process to one thread, and end it with its parent if that started it."""
    cv2.setNumThreads(1)
    threadpool_limits(1)
    if not is_child:  # workers of a cluster are managed by the cluster
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    _end_with(parent.pid)


def _end_with(parent: int) -> None:
    """End this worker process when its parent process ends, even if that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()
