"""One share of the fields for each of several processes or machines that fill one store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hpastack.errors import InputError


@dataclass(frozen=True)
class Shard:
    """Every n-th field: `index` of `count` shares, counted from 0.

    Shares differ by one field at most; none is filled up.

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
            raise _no_shard(str(self))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def rows(self, n: int) -> np.ndarray:
        """Return which of n rows are its own, ascending."""
        return np.arange(self.index, n, self.count)

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``.

        Raises
        ------
        InputError
            If it is not of this form, or I is not one of 0 to N - 1.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            raise _no_shard(text)
        return cls(int(match[1]), int(match[2]))


def _no_shard(text: str) -> InputError:
    return InputError(
        f"shard {text!r} is not I/N with I from 0 to N - 1, such as 0/4 for the first of 4"
    )


def environment_shard(environment: Mapping[str, str] = os.environ) -> tuple[Shard, str]:
    """Find out which share is this process's from what a launcher or scheduler says.

    Parameters
    ----------
    environment : mapping, optional
        Variables of the process: ``RANK`` and ``WORLD_SIZE`` of torchrun and
        the like, ``SLURM_ARRAY_TASK_ID``, ``..._COUNT``, ``..._MIN`` and
        ``..._STEP`` of a job array. With both, each process of each task has
        a share of its own.

    Returns
    -------
    shard : Shard
        0/1 where nothing is said.
    source : str
        The variables it comes from; empty where nothing is said.

    Raises
    ------
    InputError
        If a variable is not a number, or the tasks of a job array are not
        evenly numbered, so that it is not known which of them this one is.
    """
    shard, sources = Shard(0, 1), []
    n_tasks = _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
    if n_tasks > 1:
        first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0)
        step = max(1, _number(environment, "SLURM_ARRAY_TASK_STEP", 1))
        index, rest = divmod(_number(environment, "SLURM_ARRAY_TASK_ID", -1) - first, step)
        if rest or not 0 <= index < n_tasks:
            raise InputError(
                "SLURM_ARRAY_TASK_ID, _MIN, _STEP and _COUNT do not say which of the tasks this "
                "is; give --shard I/N"
            )
        shard, sources = Shard(index, n_tasks), ["SLURM_ARRAY_TASK_ID"]
    n_processes = _number(environment, "WORLD_SIZE", 1)
    if n_processes > 1:
        rank = _number(environment, "RANK", -1)
        if not 0 <= rank < n_processes:
            raise InputError(
                f"WORLD_SIZE is {n_processes} and RANK {environment.get('RANK', 'not set')}; give "
                "--shard I/N"
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
        raise InputError(f"{name} is {text!r}, which is no number; give --shard I/N") from None
