"""Distributed training and prediction with one process per GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpastack.backbones import choose_device
from hpastack.backbones._torch import torch
from hpastack.errors import InputError, counted


@dataclass(frozen=True)
class Processes:
    """The rank and device of this process among all processes; created by `process_group`.

    Attributes
    ----------
    rank : int
        0 for the process that writes shared files.
    n_processes : int
    device : torch.device
        Device of this process.
    """

    rank: int
    n_processes: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes shared files."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """The items that this process handles: every n-th, from its rank."""
        return slice(self.rank, None, self.n_processes)

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.n_processes > 1:
            torch.distributed.barrier()

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Return an array gathered from the shares of all processes.

        Parameters
        ----------
        values : ndarray, shape (own of n, ...)
            Rows of this process's `share`.

        Returns
        -------
        ndarray, shape (n, ...)
            All rows in their order, in every process.
        """
        if self.n_processes == 1:
            return values
        parts: list[Any] = [None] * self.n_processes
        torch.distributed.all_gather_object(parts, values)
        joined = np.empty((sum(map(len, parts)), *values.shape[1:]), dtype=values.dtype)
        for rank, part in enumerate(parts):
            joined[rank :: self.n_processes] = part
        return joined


@contextmanager
def process_group(device: str = "auto") -> Iterator[Processes]:
    """Join the process group that a launcher such as ``torchrun`` has started.

    Parameters
    ----------
    device : str, default="auto"
        As in `hpastack.backbones.choose_device`; with several processes ``auto`` and ``cuda``
        mean one GPU for each.

    Yields
    ------
    Processes
        A single process if there is no launcher.

    Raises
    ------
    InputError
        If there are more processes than GPUs, or `device` is a single GPU for several
        processes.
    """
    n_processes = int(os.environ.get("WORLD_SIZE", 1))
    if n_processes == 1:
        yield Processes(0, 1, choose_device(device))
        return
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if device in ("auto", "cuda") and torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"no GPU for process {local_rank} of this machine, which has "
                f"{counted(torch.cuda.device_count(), 'GPU')}; start one process per GPU"
            )
        device = f"cuda:{local_rank}"
    elif device not in ("auto", "cpu"):
        raise InputError(
            f"device {device} cannot be shared by {n_processes} processes; use auto or cpu",
            "device",
        )
    place = choose_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(torch.distributed.get_rank(), n_processes, place)
    finally:
        torch.distributed.destroy_process_group()


def worker_count(processes: Processes, jobs: int, n_tasks: int) -> int:
    """Return the number of tasks that a process runs in parallel."""
    # Processes share a GPU inefficiently, so tasks run on it one after another. Processes of a
    # launcher must stay synchronised.
    alone_on_cpu = processes.n_processes == 1 and processes.device.type == "cpu"
    return max(1, min(jobs, n_tasks)) if alone_on_cpu else 1
