"""Joblib backends: threads, processes on this machine, Dask and Ray clusters."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import joblib

from hpastack.errors import InputError
from hpastack.parallel.cpu_budget import cpu_budget
from hpastack.parallel.workers import _initialise_worker, _parent

#: Available backends; any other backend of joblib can be set up with `joblib.parallel_config`.
BACKENDS = ("threads", "loky", "dask", "ray")

# Seconds to wait for a scheduler to respond, and for it to have workers.
_PATIENCE = 10


@contextmanager
def backend(
    name: str | None, address: str | None = None, jobs: int | None = None
) -> Iterator[None]:
    """Set the backend for parallel work in the block.

    Parameters
    ----------
    name : {"threads", "loky", "dask", "ray"} or None
        Threads of this process, processes on this machine, or a cluster. None
        keeps the active backend.
    address : str, optional
        Address of a running cluster: ``tcp://host:8786`` of a Dask scheduler,
        ``auto`` or ``ray://host:10001`` for Ray. Default: a cluster is started
        on this machine, and stopped at the end.
    jobs : int, optional
        Number of workers of a cluster that is started here. Default: `cpu_budget`.

    Raises
    ------
    InputError
        If the name is unknown, the package is not installed, or the cluster
        cannot be reached.
    """
    if name is not None and name not in BACKENDS:
        raise InputError(
            f"unknown backend {name!r}; it must be one of {', '.join(BACKENDS)}", "backend"
        )
    if address is not None and name not in ("dask", "ray"):
        raise InputError(f"address {address} needs the backend dask or ray", "backend")
    if name is None:
        yield
    elif name == "threads":
        with joblib.parallel_config("threading"):
            yield
    elif name == "loky":
        with joblib.parallel_config(
            "loky", initializer=_initialise_worker, initargs=(_parent(), True)
        ):
            yield
    elif name == "dask":
        with _dask(address, jobs or cpu_budget()):
            yield
    else:
        with _ray(address, jobs or cpu_budget()):
            yield


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
        raise InputError(f"no Dask scheduler responds at {address}: {error}", "address") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError:
            raise InputError(f"the Dask scheduler at {address} has no workers") from None
        with joblib.parallel_config(_dask_backend()):
            yield


def _dask_backend() -> Any:
    """Return joblib's backend for Dask, changed not to wait forever for dead workers."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)

            def report_failure(done: Any) -> None:
                if done.exception() is not None:
                    callback(done.exception())

            future.add_done_callback(report_failure)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
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
    cluster: dict[str, Any] = {"address": address} if address else {"num_cpus": jobs}
    try:
        if address:
            _check_reachable(address)
        ray.init(**cluster, log_to_driver=False, include_dashboard=None if address else False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster responds at {address}: {error}", "address") from None
    register_ray()
    try:
        with joblib.parallel_config("ray"):
            yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Check that an address accepts connections; Ray would try for minutes, then exit."""
    match = re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d{1,5})", address)
    if match is not None:
        socket.create_connection((match[1], int(match[2])), timeout=_PATIENCE).close()
