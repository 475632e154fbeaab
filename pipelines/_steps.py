"""Run several commands one after the other, each in a process of its own.

A process each, because torch and the boosting libraries bring OpenMP runtimes
that do not mix, and so that memory is given back between the steps.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hpastack.errors import InputError
from hpastack.recipes import TYPES


def kept_settings(record: Mapping[str, Any]) -> list[str]:
    """Return the options by which a command makes again what a store was made by.

    Parameters
    ----------
    record : mapping
        What a store or a stack keeps of a recipe: its type and settings.

    Returns
    -------
    list of str
        ``--set=KEY=VALUE`` for each setting.
    """
    known = {field.name for field in fields(TYPES[record["type"]])}
    return [f"--set={key}={json.dumps(record[key])}" for key in record if key in known]


def run_step(command: str, *arguments: object) -> float:
    """Run one command, showing it first.

    Parameters
    ----------
    command : str
        Module name in `pipelines`.
    *arguments : object
        Its arguments.

    Returns
    -------
    float
        Seconds it took.

    Raises
    ------
    InputError
        If it ends with an error; its own message stands above.
    """
    words = [str(argument) for argument in arguments]
    print(f"\n$ python -m pipelines.{command} {shlex.join(words)}", flush=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", f"pipelines.{command}", *words])
    if done.returncode:
        raise InputError(f"the step {command} ended with status {done.returncode}; see above")
    return time.perf_counter() - start
