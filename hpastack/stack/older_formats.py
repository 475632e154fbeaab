"""Conversion of stacks of formats 1 to 3, which can still be read."""

from __future__ import annotations

from typing import Any


def as_current(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of a stack of any format in the current format."""
    if manifest["version"] == 1:
        manifest = _from_version_1(manifest)
    if manifest["version"] == 2:
        manifest = _from_version_2(manifest)
    if manifest["version"] == 3:
        manifest = _from_version_3(manifest)
    return manifest


def _from_version_3(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of format 3 in format 4.

    In format 3, labels were always predicted from the stack's own probabilities.
    """
    sets = [
        of_set | {"consensus_thresholds": of_set["thresholds"], "labels_by_consensus": False}
        for of_set in manifest["sets"]
    ]
    return manifest | {"version": 4, "sets": sets}


def _from_version_2(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of format 2 in format 3.

    Format 2 had no pooled booster, so it has no statistics of pairs of field and label.
    """
    n_labels = len(manifest["labels"])
    nothing = {
        "prevalence": [0.0] * n_labels,
        "lift": [[0.0] * n_labels] * n_labels,
        "chosen": [],
    }
    sets = [of_set | {"pairs": [nothing] * len(of_set["consensus"])} for of_set in manifest["sets"]]
    return manifest | {"version": 3, "sets": sets}


def _from_version_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of format 1 in format 2.

    Format 1 had one weight for both libraries, Platt calibration with a slope
    and an offset, one set of folds, and every column for every label.
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
    # The number of trees was fixed.
    parameters = manifest["parameters"] | {"min_rounds": manifest["parameters"]["rounds"]}
    return manifest | {"version": 2, "sets": [of_set], "parameters": parameters}
