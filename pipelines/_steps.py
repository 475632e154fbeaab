"""Run several commands one after the other, each in a process of its own.

The OpenMP runtimes of torch and of the boosting libraries conflict within one process, and
a process returns its memory at the end of a step.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hpastack.errors import InputError, counted, shorten
from hpastack.folds import FoldPlan
from hpastack.recipes import TYPES
from pipelines._output import current, report, show


def kept_settings(record: Mapping[str, Any]) -> list[str]:
    """Return the options with which a command reproduces a store.

    Parameters
    ----------
    record : mapping
        Recipe that a store or a stack keeps: its type and settings.

    Returns
    -------
    list of str
        ``--set=KEY=VALUE`` for each setting.
    """
    known = {field.name for field in fields(TYPES[record["type"]])}
    return [f"--set={key}={json.dumps(record[key])}" for key in record if key in known]


def accepted_splits(plan: FoldPlan, place: Path) -> str:
    """Return a caveat for scores on folds that split clusters.

    Parameters
    ----------
    plan : FoldPlan
    place : Path
        Its file.

    Returns
    -------
    str
        Empty if the folds split no cluster.

    Raises
    ------
    InputError
        If they split clusters and were not made with ``cluster --accept-split-clusters``.
    """
    split = plan.split_clusters
    if split.empty:
        return ""
    if plan.record.get("n_split_clusters") != len(split):
        raise InputError(
            f"{place} splits {counted(len(split), 'cluster')}: {shorten(split['cluster'])}; run: "
            "hpastack cluster --overwrite; or, to use these folds all the same: hpastack "
            f"cluster --folds {place} --accept-split-clusters --overwrite"
        )
    return (
        f"the folds split {counted(len(split), 'cluster')} "
        f"({counted(int(split['n_fields'].sum()), 'field')}), accepted by --accept-split-clusters; "
        "scores may be too good"
    )


def run_step(command: str, *arguments: object) -> float:
    """Print and run one command.

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
        If it ends with an error; its own message is printed above.
    """
    words = [str(argument) for argument in arguments]
    output = current()
    show(f"\n$ hpastack {command} {shlex.join(words)}")
    words += ["--quiet"] if output.quiet else []
    words += ["--log", str(output.log)] if output.log is not None else []
    words += ["--json"] if output.as_json else []
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{command}", *words],
        stdout=subprocess.PIPE if output.as_json else None, encoding="utf-8", errors="replace",
    )  # fmt: skip
    if output.as_json:
        _take_over(done.stdout)
    if done.returncode:
        raise InputError(f"the step {command} ended with status {done.returncode}; see above")
    return time.perf_counter() - start


def _take_over(stdout: str) -> None:
    """Add the JSON object that a step has printed to that of the command."""
    try:
        step = json.loads(stdout.splitlines()[-1])
    except (IndexError, ValueError):  # it was killed
        return
    output = current()
    output.written += step["written"]
    output.warnings += [text for text in step["warnings"] if text not in output.warnings]
    output.notes += step["notes"]
    report(steps=[*output.results.get("steps", []), step])
