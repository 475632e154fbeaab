"""Stacks of format 1, which are still read."""

from __future__ import annotations

from typing import Any


def from_version_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of a stack of format 1 as format 2 has it.

    It had one weight for both libraries, Platt calibration with a slope and
    an offset, one set of folds, and every column for every label.
    """
    boosters = manifest["parameters"]["boosters"]
    n_labels = len(manifest["labels"])
    n_cnns = len(manifest["parameters"]["cnns"])
    n_shared = len(manifest["columns"]) - n_cnns * n_labels + (n_labels if n_cnns else 0)
    of_set = {
        "consensus": manifest["consensus"],
        "chosen": [[list(range(n_shared))] * n_labels] * len(manifest["consensus"]),
        "weights": [[weight / len(boosters) for weight in manifest["weights"]]] * len(boosters),
        "calibration": [
            {"method": "platt", "parameters": pair} for pair in manifest["calibration"]
        ],
        "thresholds": manifest["thresholds"],
    }
    # Its number of trees was fixed, so there is none to choose.
    parameters = manifest["parameters"] | {"min_rounds": manifest["parameters"]["rounds"]}
    return manifest | {"sets": [of_set], "parameters": parameters}
