"""Shards: the share of fields for each of several processes or machines that fill one store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hpastack.errors import InputError

_REMEDY = "set the shard explicitly, as I/N"


@dataclass(frozen=True)
class Shard:
    """Every n-th field: shard `index` of `count`, counted from 0.

    Shards differ by at most one field; none is padded.

    Raises
    ------
    InputError
        If `index` is not one of 0 to `count` - 1.

    Examples
    --------
    >>> Shard(1, 3).rows(8).tolist()
    [1, 4, 7]
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise _invalid_shard(str(self))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def rows(self, n: int) -> np.ndarray:
        """Return the rows of this shard among n rows, in ascending order."""
        return np.arange(self.index, n, self.count)

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read a shard written as ``I/N``.

        Raises
        ------
        InputError
            If the text is not of this form, or I is not one of 0 to N - 1.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            raise _invalid_shard(text)
        return cls(int(match[1]), int(match[2]))


def _invalid_shard(text: str) -> InputError:
    return InputError(
        f"shard {text!r} is not I/N with I from 0 to N - 1, such as 0/4 for the first of 4",
        "shard",
    )


def environment_shard(environment: Mapping[str, str] = os.environ) -> tuple[Shard, str]:
    """Return the shard of this process, from variables set by a launcher or scheduler.

    Parameters
    ----------
    environment : mapping, optional
        Environment variables of the process: ``RANK`` and ``WORLD_SIZE`` of
        torchrun and similar launchers; ``SLURM_ARRAY_TASK_ID``, ``..._COUNT``,
        ``..._MIN`` and ``..._STEP`` of a job array. With both, each process of
        each task has its own shard.

    Returns
    -------
    shard : Shard
        0/1 if no such variable is set.
    source : str
        The variables it is derived from; empty if none is set.

    Raises
    ------
    InputError
        If a variable is not a number, or the tasks of a job array are not
        evenly spaced, so that the position of this task is unknown.
    """
    shard, sources = Shard(0, 1), []
    n_tasks = _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
    if n_tasks > 1:
        first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0)
        step = max(1, _number(environment, "SLURM_ARRAY_TASK_STEP", 1))
        index, remainder = divmod(_number(environment, "SLURM_ARRAY_TASK_ID", -1) - first, step)
        if remainder or not 0 <= index < n_tasks:
            raise InputError(
                "SLURM_ARRAY_TASK_ID, _MIN, _STEP and _COUNT do not determine the position of "
                f"this task; {_REMEDY}",
                "shard",
            )
        shard, sources = Shard(index, n_tasks), ["SLURM_ARRAY_TASK_ID"]
    n_processes = _number(environment, "WORLD_SIZE", 1)
    if n_processes > 1:
        rank = _number(environment, "RANK", -1)
        if not 0 <= rank < n_processes:
            raise InputError(
                f"WORLD_SIZE is {n_processes} and RANK {environment.get('RANK', 'not set')}; "
                f"{_REMEDY}",
                "shard",
            )
        shard = Shard(shard.index * n_processes + rank, shard.count * n_processes)
        sources.append("RANK")
    return shard, " and ".join(sources)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if text is None or text == "":
        return default
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name} is {text!r}, not a number; {_REMEDY}", "shard") from None
