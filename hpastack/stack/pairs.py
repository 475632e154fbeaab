"""Input columns of the pooled booster for a pair of field and label.

One booster is fitted to all labels, so a label with few positives learns from
the others. Its columns must therefore have the same meaning for every label: the
log-odds of the CNNs for the pair, their rank among the other labels of the field,
the prevalence of the label and the labels with which it occurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from hpastack.stack.column_blocks import ColumnBlocks

#: Maximum number of shared columns (features, components of embeddings) of a pair.
MAX_SHARED = 32

#: Columns that only the pooled booster has: how the CNNs differ,
SPREAD = ["spread of the CNNs", "lowest of the CNNs", "highest of the CNNs"]
#: and how the label compares with the other labels.
AMONG_LABELS = [
    "rank among the labels",
    "labels expected",
    "other labels expected",
    "best other label",
    "distance to the best other label",
    "support by other labels",
    "prevalence",
]

#: Fields at which observed and expected co-occurrence of two labels have equal weight.
_CO_OCCURRENCE_PULL = 10.0


@dataclass(frozen=True)
class PairColumns:
    """Statistics of the labels in one training part.

    Parameters
    ----------
    prevalence : ndarray of float, shape (n_labels,)
        Log-odds of the share of fields with the label.
    lift : ndarray of float, shape (n_labels, n_labels)
        ``lift[j, l]``: logarithm of the frequency of label l among fields with
        label j, relative to its frequency in all fields; 0 on the diagonal.
    chosen : ndarray of int
        Shared columns of every pair, not counting the consensus of each label.
    """

    prevalence: np.ndarray
    lift: np.ndarray
    chosen: np.ndarray

    @classmethod
    def fit(
        cls, y: np.ndarray, gains: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> PairColumns:
        """Count labels, and choose the shared columns with the largest gain over all labels.

        Parameters
        ----------
        y : ndarray of {0, 1}, shape (n, n_labels)
            Targets of the training part.
        gains : ndarray of float, shape (n_columns, n_labels)
            From `column_gains`, for the shared columns without the consensus.
        sample_weight : ndarray of float, shape (n,), optional
            Number of fields that each counts for.

        Returns
        -------
        PairColumns
        """
        present = y.astype(float)
        n_fields, counted = len(y), present
        if sample_weight is not None:
            n_fields, counted = sample_weight.sum(), present * sample_weight[:, None]
        positives = counted.sum(axis=0)
        # A sum of fractions may exceed the total by rounding.
        share = (np.minimum(positives, n_fields) + 0.5) / (n_fields + 1)
        together = counted.T @ present + _CO_OCCURRENCE_PULL * share
        lift = np.log(together / (positives + _CO_OCCURRENCE_PULL)[:, None] / share)
        np.fill_diagonal(lift, 0.0)
        ranked = np.argsort(-gains.sum(axis=1), kind="stable")[:MAX_SHARED]
        return cls(logit(share), lift, np.sort(ranked))

    def arrays(self) -> list[np.ndarray]:
        """Return all arrays, for a digest."""
        return [self.prevalence, self.lift, self.chosen]

    def record(self) -> dict[str, Any]:
        """Return its values as JSON types."""
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PairColumns:
        """Return the object that `record` was called on."""
        return cls(
            np.array(record["prevalence"], dtype=float),
            np.array(record["lift"], dtype=float),
            np.array(record["chosen"], dtype=np.int64),
        )


class Pairs:
    """The columns of all pairs of some fields.

    Parameters
    ----------
    columns : PairColumns
    inputs : ColumnBlocks
    margin : ndarray of float, shape (n, n_labels)
        The consensus.
    shared : ndarray of float32, shape (n, n_shared)
        Shared columns; if there are CNNs, the consensus of each label comes
        first.
    """

    def __init__(
        self, columns: PairColumns, inputs: ColumnBlocks, margin: np.ndarray, shared: np.ndarray
    ) -> None:
        self._columns, self._inputs = columns, inputs
        self._margin = margin = np.asarray(margin, dtype=np.float32)
        n_labels = margin.shape[1]
        probability = expit(margin)
        two_largest = np.sort(margin, axis=1)[:, -2:]
        is_largest = margin >= two_largest[:, -1:]
        # With only one label in the vocabulary there is no other.
        self._best_other = np.where(is_largest, two_largest[:, :1], two_largest[:, -1:])
        self._rank = np.argsort(np.argsort(-margin, axis=1, kind="stable"), axis=1)
        self._total = probability.sum(axis=1)
        self._probability = probability
        self._support = probability @ columns.lift
        n_margins = n_labels if len(inputs.logits) else 0
        self._shared = shared[:, n_margins + columns.chosen]

    @property
    def n_logits(self) -> int:
        """Number of the first columns that are log-odds of CNNs."""
        return len(self._inputs.logits)

    def of_label(self, label: int, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the columns of one label, float32, shape (n, n_columns); see `pair_names`."""
        margin, logits = self._margin[rows, label], self._inputs.logits[:, rows, label]
        spread = []
        if len(logits) > 1:
            spread = [logits.std(axis=0), logits.min(axis=0), logits.max(axis=0)]
        parts = [
            *self._inputs.own(label)[rows].T,
            *spread,
            margin,
            self._rank[rows, label],
            self._total[rows],
            self._total[rows] - self._probability[rows, label],
            self._best_other[rows, label],
            margin - self._best_other[rows, label],
            self._support[rows, label],
            np.full(len(margin), self._columns.prevalence[label]),
        ]
        own = np.stack(parts, axis=1).astype(np.float32)
        return np.concatenate([own, self._shared[rows]], axis=1)


def pair_names(own: list[str], consensus: str, n_cnns: int, shared: list[str]) -> list[str]:
    """Return the names of the columns of `Pairs.of_label`.

    Parameters
    ----------
    own : list of str
        Names of the label's own columns.
    consensus : str
        Name of the label's consensus.
    n_cnns : int
    shared : list of str
        Names of the chosen shared columns.

    Returns
    -------
    list of str
    """
    return [*own, *(SPREAD if n_cnns > 1 else []), consensus, *AMONG_LABELS, *shared]
