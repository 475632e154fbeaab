"""Work spread over processors, processes and machines: the one seam to joblib."""

from __future__ import annotations

import os
import pickle
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import cv2
import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from hpastack.cpu_budget import cpu_budget, one_thread_each
from hpastack.errors import InputError

Result = TypeVar("Result")

#: Where work can be spread; anything else that joblib knows can be set up with `parallel_config`.
BACKENDS = ("threads", "loky", "dask", "ray")

_DIED = "a worker died (killed, or out of memory?); run it again to go on, with fewer workers"
# Tasks for each worker that are handed to a backend together that only gives all results at once.
_WINDOW = 16

# Seconds that a scheduler has to answer, and to have workers.
_PATIENCE = 10
_LOCAL = threading.local()


class Home(NamedTuple):
    """The process that hands out the work."""

    host: str
    pid: int


@contextmanager
def backend(
    name: str | None, address: str | None = None, jobs: int | None = None
) -> Iterator[None]:
    """Set up where the work within the block is spread.

    Parameters
    ----------
    name : {"threads", "loky", "dask", "ray"} or None
        Threads of this process, processes of this machine, or a cluster. None
        leaves a backend that is active as it is.
    address : str, optional
        Of a cluster that runs: ``tcp://host:8786`` of a Dask scheduler,
        ``auto`` or ``ray://host:10001`` for Ray. Left out: one is started on
        this machine, and stopped at the end.
    jobs : int, optional
        Workers of a cluster that is started here; `cpu_budget` if left out.

    Raises
    ------
    InputError
        If the name is unknown, the package is not installed, or the cluster
        cannot be reached.
    """
    if name is not None and name not in BACKENDS:
        raise InputError(f"unknown backend {name!r}; it is one of {', '.join(BACKENDS)}")
    if address is not None and name not in ("dask", "ray"):
        raise InputError(f"address {address} is of no use without the backend dask or ray")
    if name is None:
        yield
    elif name == "threads":
        with joblib.parallel_config("threading"):
            yield
    elif name == "loky":
        with joblib.parallel_config("loky", initializer=_settle, initargs=(_home(), True)):
            yield
    elif name == "dask":
        with _dask(address, jobs or cpu_budget()):
            yield
    else:
        with _ray(address, jobs or cpu_budget()):
            yield


def spread(
    work: Callable[..., Result], tasks: Iterable[tuple], jobs: int | None = None
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
    home, thread = _home(), threading.get_ident()
    calls = (joblib.delayed(_at_work)(home, thread, work, task) for task in tasks)
    with one_thread_each():
        try:
            if active.supports_return_generator:
                yield from _streamed(calls, jobs)
            else:
                yield from _in_windows(calls, jobs)
        except Exception as error:
            if not _is_death(error):
                raise
            raise InputError(_DIED) from error


def _is_death(error: Exception) -> bool:
    """Say whether an error is that of an executor or cluster, not one of the work."""
    kind = type(error)
    of_cluster = kind.__module__.partition(".")[0] in ("distributed", "ray")
    return isinstance(error, BrokenExecutor) or (of_cluster and "TaskError" not in kind.__name__)


def _streamed(calls: Iterable, jobs: int) -> Generator[Any, None, None]:
    workers = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    results = workers(calls)
    try:
        for result in results:  # noqa: UP028 - `yield from` would close it, and warn
            yield result
    finally:
        with warnings.catch_warnings():
            # Stopping at a bad field is meant, and what is under way is of no use.
            warnings.filterwarnings("ignore", ".*still being processed by the workers")
            results.close()


def _in_windows(calls: Iterable, jobs: int) -> Generator[Any, None, None]:
    calls = iter(calls)
    n_tasks = _WINDOW * joblib.effective_n_jobs(jobs)
    with joblib.Parallel(n_jobs=jobs, prefer="threads") as workers:
        while window := list(islice(calls, n_tasks)):
            yield from workers(window)


def _at_work(home: Home, thread: int, work: Callable[..., Result], task: tuple) -> Result:
    if home.pid == os.getpid() and home.host == socket.gethostname():
        if thread != threading.get_ident():
            _keep_to_one_thread()
        return work(*task)
    _settle(home, os.getppid() == home.pid and home.host == socket.gethostname())
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


def _home() -> Home:
    return Home(socket.gethostname(), os.getpid())


@lru_cache
def _settle(home: Home, is_child: bool) -> None:
    """Make a worker process keep to one thread and, if home has started it, end with it."""
    cv2.setNumThreads(1)
    threadpool_limits(1)
    if not is_child:  # those of a cluster have a master of their own
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for home to act on

    def watch() -> None:
        while os.getppid() == home.pid:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="watch home", daemon=True).start()


@contextmanager
def _dask(address: str | None, jobs: int) -> Iterator[None]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError("the backend dask needs: pip install 'hpastack[dask]'") from None
    if address is None:
        with (
            LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster),
            joblib.parallel_config(_dask_backend()),
        ):
            yield
        return
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError:
            raise InputError(f"the Dask scheduler at {address} has no workers") from None
        with joblib.parallel_config(_dask_backend()):
            yield


def _dask_backend():
    """Return joblib's backend for Dask, which would wait for ever for workers that died."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def submit(self, func, callback=None):
            future = super().submit(func, callback)

            def pass_on(done):
                if done.exception() is not None:
                    callback(done.exception())

            future.add_done_callback(pass_on)
            return future

        def retrieve_result_callback(self, out):
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    return Backend()


@contextmanager
def _ray(address: str | None, jobs: int) -> Iterator[None]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise InputError("the backend ray needs: pip install 'hpastack[ray]'") from None
    place: dict[str, Any] = {"address": address} if address else {"num_cpus": jobs}
    try:
        if address:
            _knock(address)
        ray.init(**place, log_to_driver=False, include_dashboard=None if address else False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from None
    register_ray()
    try:
        with joblib.parallel_config("ray"):
            yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Find out at once whether anything listens: Ray tries for minutes, then ends the process."""
    match = re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d{1,5})", address)
    if match is not None:
        socket.create_connection((match[1], int(match[2])), timeout=_PATIENCE).close()
