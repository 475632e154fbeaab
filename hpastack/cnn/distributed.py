"""Several processes, one a GPU, that train and predict together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpastack.backbones import choose_device
from hpastack.backbones._torch import torch
from hpastack.errors import InputError


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is; made by `process_group`.

    Attributes
    ----------
    rank : int
        0 for the one that writes what all have in common.
    n_processes : int
    device : torch.device
        Of this process.
    """

    rank: int
    n_processes: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes what all have in common."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which of many things are this process's: every n-th."""
        return slice(self.rank, None, self.n_processes)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.n_processes > 1:
            torch.distributed.barrier()

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Put together what each process has of an array.

        Parameters
        ----------
        values : ndarray, shape (own of n, ...)
            Of the rows that are this process's `share`.

        Returns
        -------
        ndarray, shape (n, ...)
            All of them in their order, in every process.
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
    """Join the processes that a launcher such as ``torchrun`` has started.

    Parameters
    ----------
    device : str, default="auto"
        As `hpastack.backbones.choose_device`; with several processes ``auto`` and ``cuda``
        are a GPU for each.

    Yields
    ------
    Processes
        This one alone where there is no launcher.

    Raises
    ------
    InputError
        If there are more processes than GPUs, or one GPU is named for all.
    """
    n_processes = int(os.environ.get("WORLD_SIZE", 1))
    if n_processes == 1:
        yield Processes(0, 1, choose_device(device))
        return
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if device in ("auto", "cuda") and torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise InputError(
                f"process {local_rank} of this machine, which has "
                f"{torch.cuda.device_count()} GPUs; start one process a GPU"
            )
        device = f"cuda:{local_rank}"
    elif device not in ("auto", "cpu"):
        raise InputError(f"--device {device} for {n_processes} processes; use auto or cpu")
    place = choose_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(torch.distributed.get_rank(), n_processes, place)
    finally:
        torch.distributed.destroy_process_group()


def worker_count(processes: Processes, jobs: int, n_tasks: int) -> int:
    """Return how many tasks a process runs side by side."""
    # A GPU is shared badly by processes; tasks take their turns on it. Those of a launcher
    # have to keep step with each other.
    alone_on_cpu = processes.n_processes == 1 and processes.device.type == "cpu"
    return max(1, min(jobs, n_tasks)) if alone_on_cpu else 1
