"""Devices and precision of networks, and errors when a GPU is out of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hpastack.backbones._torch import torch
from hpastack.errors import InputError, counted


def choose_device(device: str = "auto") -> torch.device:
    """Return the torch device of this name, after checking that it is available.

    Parameters
    ----------
    device : str, default="auto"
        ``auto`` is a GPU, or the CPU if there is none; otherwise a torch
        device name: ``cpu``, ``cuda``, ``cuda:1``, ``mps``. With ``auto``,
        processes started by a launcher (``LOCAL_RANK``) use the GPUs in turn.

    Returns
    -------
    torch.device

    Raises
    ------
    InputError
        If there is no such device on this machine, or ``LOCAL_RANK`` is not a number.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if "LOCAL_RANK" not in os.environ:
            return torch.device("cuda")
        rank = os.environ["LOCAL_RANK"]
        if not rank.isdecimal():
            raise InputError(
                f"the environment variable LOCAL_RANK is {rank!r}, which is not a number; set "
                "device explicitly",
                "device",
            )
        return torch.device("cuda", int(rank) % torch.cuda.device_count())
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(
            f"device {device!r} is not on this machine; use 'auto' or 'cpu'", "device"
        ) from None
    return chosen


def to_device(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move a batch of fields to a device, asynchronously if it is a GPU.

    Parameters
    ----------
    batch : Tensor, shape (n, 4, h, w)
    device : torch.device

    Returns
    -------
    Tensor
    """
    if device.type != "cuda":
        return batch.to(device)
    return batch.pin_memory().to(device, non_blocking=True)


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Return the autocast context for running a model.

    Parameters
    ----------
    device : torch.device
    precision : {"auto", "bfloat16", "float32"}, default="auto"
        As `network_precision`.

    Returns
    -------
    context manager
    """
    is_half = network_precision(device, precision) == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_half)


def network_precision(device: torch.device, precision: str) -> str:
    """Return the precision on a device; for ``auto`` bfloat16 on a GPU, float32 elsewhere."""
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cuda" else "float32"


@contextmanager
def gpu_memory_guard(batch_size: int) -> Iterator[None]:
    """Raise an InputError with a remedy when the GPU is out of memory."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        remedy = (
            f"set batch_size to {batch_size // 2}"
            if batch_size > 1
            else "set a smaller size, or use a smaller backbone"
        )
        raise InputError(
            f"the GPU is out of memory with {counted(batch_size, 'field')} per batch; {remedy}"
        ) from None
