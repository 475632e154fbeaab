"""How long fitting and predicting took: beside the reports, as no two runs take the same time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hpastack.files import atomic_write

#: Of each predictor what ``fit`` and ``predict`` took, in seconds on the clock.
Seconds = Mapping[str, Mapping[str, float]]


def write_seconds(folder: Path, name: str, seconds: Seconds) -> Path:
    """Write how long the parts of a stack took.

    Parameters
    ----------
    folder : Path
        Where the reports lie.
    name : str
        Of the stack.
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
    """Read what `write_seconds` wrote; nothing where there is none that can be read.

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
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(predictor): {what: float(of[what]) for what in ("fit", "predict") if what in of}
            for predictor, of in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
