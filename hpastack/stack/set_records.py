"""Conversion of one set of folds of a fitted stack to and from JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpastack.calibration import Calibration
from hpastack.stack.columns import FoldColumns, Reduction
from hpastack.stack.consensus import Consensus
from hpastack.stack.fitted import Fitted
from hpastack.stack.labelling import Labelling
from hpastack.stack.members import ALL_LABELS
from hpastack.stack.meta_learner import MetaLearner
from hpastack.stack.pairs import PairColumns


def set_record(fitted: Fitted) -> dict[str, Any]:
    """Return the JSON part of one set of folds, without models and reductions."""
    return {
        "consensus": [columns.consensus.coefficients.tolist() for columns in fitted.columns],
        "chosen": [[chosen.tolist() for chosen in columns.chosen] for columns in fitted.columns],
        "pairs": [columns.pairs.record() for columns in fitted.columns],
        "weights": fitted.meta_learner.weights.tolist(),
        "calibration": [calibration.record() for calibration in fitted.meta_learner.calibration],
        "thresholds": fitted.meta_learner.labelling.of_stack.tolist(),
        "consensus_thresholds": fitted.meta_learner.labelling.of_consensus.tolist(),
        "labels_by_consensus": bool(fitted.meta_learner.labelling.by_consensus),
        "learned": fitted.learned,
    }


def fitted_of_record(
    record: dict[str, Any],
    models: dict[tuple[str, int, int, int], bytes],
    parameters: dict[str, Any],
    n_labels: int,
    arrays: dict[str, np.ndarray],
    number: int,
) -> Fitted:
    """Return one set of folds from its JSON record, models and arrays."""
    columns = [
        FoldColumns(
            consensus=Consensus(np.array(coefficients)),
            reductions={
                name: Reduction(
                    arrays[f"set{number}_fold{fold}_{name}_mean"],
                    arrays[f"set{number}_fold{fold}_{name}_components"],
                )
                # Format 1 has none.
                for name in parameters.get("embeddings", ())
            },
            chosen=[np.array(of_label, dtype=np.int64) for of_label in chosen],
            pairs=PairColumns.from_record(pairs),
        )
        for fold, (coefficients, chosen, pairs) in enumerate(
            zip(record["consensus"], record["chosen"], record["pairs"])
        )
    ]
    meta_learner = MetaLearner(
        np.array(record["weights"]).reshape(len(parameters["boosters"]), n_labels),
        [Calibration.from_record(of_label) for of_label in record["calibration"]],
        Labelling(
            np.array(record["thresholds"]),
            np.array(record["consensus_thresholds"]),
            bool(record["labels_by_consensus"]),
        ),
    )
    learned = record.get("learned")
    if learned is None:
        learned = _learned(models, meta_learner.weights)
    return Fitted(columns, models, meta_learner, [int(label) for label in learned])


def _learned(models: dict[tuple[str, int, int, int], bytes], weights: np.ndarray) -> list[int]:
    """Return the labels with models or weights, for stacks that do not record them."""
    own = {label for _, _, label, _ in models} - {ALL_LABELS}
    return sorted(own | set(np.flatnonzero(weights.any(axis=0)).tolist()))
