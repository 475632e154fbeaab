"""Durations of fitting and prediction, in files of their own because they are not reproducible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hpastack.files import atomic_write

#: Wall-clock durations of ``fit`` and ``predict`` of each predictor, in seconds.
Seconds = Mapping[str, Mapping[str, float]]


def write_seconds(folder: Path, name: str, seconds: Seconds) -> Path:
    """Write the durations of a stack and its members.

    Parameters
    ----------
    folder : Path
        Folder of the reports.
    name : str
        Name of the stack.
    seconds : dict of str to dict of str to float

    Returns
    -------
    Path
        ``NAME_seconds.json``.
    """
    path = folder / f"{name}_seconds.json"
    rounded = {
        predictor: {what: round(value, 3) for what, value in of.items()}
        for predictor, of in seconds.items()
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    return path


def read_seconds(folder: Path, name: str) -> Seconds:
    """Read the durations of a stack; empty if there is no readable file.

    Parameters
    ----------
    folder : Path
    name : str

    Returns
    -------
    dict of str to dict of str to float
    """
    path = folder / f"{name}_seconds.json"
    try:
        seconds = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(predictor): {what: float(of[what]) for what in ("fit", "predict") if what in of}
            for predictor, of in seconds.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
