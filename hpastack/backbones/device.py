"""Where a network runs, and how: devices, precision, and memory that does not suffice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hpastack.backbones._torch import torch
from hpastack.errors import InputError, counted


def choose_device(device: str = "auto") -> torch.device:
    """Turn the name of a device into a torch device that is there.

    Parameters
    ----------
    device : str, default="auto"
        ``auto`` is a GPU, or the CPU where there is none; or a name of
        torch's: ``cpu``, ``cuda``, ``cuda:1``, ``mps``. Processes that a
        launcher has started (``LOCAL_RANK``) take the GPUs in turn.

    Returns
    -------
    torch.device

    Raises
    ------
    InputError
        If there is no such device on this machine, or ``LOCAL_RANK`` is no number.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if "LOCAL_RANK" not in os.environ:
            return torch.device("cuda")
        rank = os.environ["LOCAL_RANK"]
        if not rank.isdecimal():
            raise InputError(f"LOCAL_RANK is {rank!r}, which is no number; name a device")
        return torch.device("cuda", int(rank) % torch.cuda.device_count())
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"device {device!r} is not on this machine; use auto or cpu") from None
    return chosen


def to_device(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move a batch of fields to a device, without waiting on a GPU.

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
    """Return the context in which a model runs.

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
    """Return what ``auto`` means on a device: bfloat16 on a GPU, float32 elsewhere."""
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cuda" else "float32"


@contextmanager
def gpu_memory_guard(batch_size: int) -> Iterator[None]:
    """Turn a GPU that is out of memory into a mistake with a remedy."""
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
