"""Input columns of the boosters of a label, learned from training rows only.

The label's own columns come first: the log-odds of each CNN, then other scores
of the label. They are followed by the columns that all labels share, or the most
informative of them: the consensus of every label, the features, and embeddings
reduced to a few principal components.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import expit

from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.consensus import Consensus
from hpastack.stack.field_values import weights_of
from hpastack.stack.pairs import MAX_SHARED, PairColumns

#: Number of bins of a column when columns are screened; NaN has a further bin.
_SCREENING_BINS = 8
#: L2 regularisation of a bin when columns are screened, in units of information.
_SCREENING_L2 = 20.0


@dataclass(frozen=True)
class Reduction:
    """Principal components of an embedding.

    Parameters
    ----------
    mean : ndarray of float, shape (n_dimensions,)
    components : ndarray of float, shape (n_dimensions, n_components)
        Orthonormal columns in descending order of variance; the entry of
        largest magnitude of each is positive.
    """

    mean: np.ndarray
    components: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the projected values, float32, shape (n, n_components)."""
        return ((values - self.mean) @ self.components).astype(np.float32)


class Moments:
    """Sums and cross-products of an embedding by fold, for the components of any set of folds.

    Parameters
    ----------
    values : ndarray of float32, shape (n, n_dimensions)
    fold : ndarray of int, shape (n,)
    """

    def __init__(self, values: np.ndarray, fold: np.ndarray) -> None:
        self._counts = np.bincount(fold)
        # Centred at the overall mean, so that small variances are not lost to rounding.
        self._centre = values.mean(axis=0, dtype=np.float64)
        self._sums, self._squares = [], []
        for number in range(len(self._counts)):
            part = values[fold == number] - self._centre
            self._sums.append(part.sum(axis=0))
            self._squares.append(part.T @ part)

    def reduction(self, without: Collection[int], n_components: int) -> Reduction:
        """Return the components of all rows except those of some folds.

        Parameters
        ----------
        without : collection of int
            Held-out folds.
        n_components : int

        Returns
        -------
        Reduction
            With fewer components if there are fewer dimensions or rows.
        """
        taken = [number for number in range(len(self._counts)) if number not in without]
        n = self._counts[taken].sum()
        mean = sum(self._sums[number] for number in taken) / n
        covariance = sum(self._squares[number] for number in taken) / n - np.outer(mean, mean)
        kept = min(n_components, len(mean), n - 1)
        _, vectors = np.linalg.eigh(covariance)
        components = vectors[:, ::-1][:, :kept]
        largest = np.abs(components).argmax(axis=0)
        components = components * np.sign(components[largest, np.arange(kept)])
        return Reduction(mean + self._centre, components)


@dataclass(frozen=True)
class LearnedColumns:
    """Transforms and choices behind the columns of members, learned from one training part.

    Parameters
    ----------
    reductions : dict of str to Reduction
        By name of the embedding.
    chosen : list of ndarray of int
        For each label the shared columns it uses, ascending.
    pairs : PairColumns
        Statistics of the labels for the pooled booster.
    """

    reductions: dict[str, Reduction]
    chosen: list[np.ndarray]
    pairs: PairColumns

    def arrays(self) -> list[np.ndarray]:
        """Return all arrays, for a digest."""
        reduced = [
            part
            for reduction in self.reductions.values()
            for part in (reduction.mean, reduction.components)
        ]
        return [*self.chosen, *self.pairs.arrays(), *reduced]

    def shared(self, inputs: ColumnBlocks, margin: np.ndarray) -> np.ndarray:
        """Return the columns that labels share.

        Parameters
        ----------
        inputs : ColumnBlocks
        margin : ndarray of float, shape (n, n_labels)
            The consensus. Omitted if there are no CNNs, as it is a constant.

        Returns
        -------
        ndarray of float32, shape (n, n_shared)
            The consensus of each label, the features, the components of each
            embedding.
        """
        return shared_columns(inputs, margin, self.reductions)


@dataclass(frozen=True)
class FoldColumns(LearnedColumns):
    """The columns of models with one fold held out, and the consensus with it held out.

    Parameters
    ----------
    consensus : Consensus
    """

    consensus: Consensus

    def arrays(self) -> list[np.ndarray]:
        """Return all arrays, for a digest."""
        return [self.consensus.coefficients, *super().arrays()]

    def problem(self, n_columns: int, n_labels: int, n_cnns: int, n_scores: int) -> str:
        """Return what does not match the columns of a stack.

        Parameters
        ----------
        n_columns : int
            Number of columns of X.
        n_labels, n_cnns, n_scores : int

        Returns
        -------
        str
            Empty if everything matches.
        """
        reductions, pairs = self.reductions.values(), self.pairs
        n_seen = n_columns - (n_cnns + n_scores) * n_labels
        n_seen += sum(of.components.shape[1] - len(of.mean) for of in reductions)
        for name, shape in (("prevalence", (n_labels,)), ("lift", (n_labels, n_labels))):
            values = getattr(pairs, name)
            if values.shape != shape:
                return f"{name} has shape {values.shape}, not {shape}"
            if not np.isfinite(values).all():
                return f"{name} is not finite"
        n_shared = n_seen + (n_labels if n_cnns else 0)
        of_labels = [(f"label {label}", of, n_shared) for label, of in enumerate(self.chosen)]
        for name, chosen, n in (("the pairs", pairs.chosen, n_seen), *of_labels):
            if chosen.ndim != 1 or ((chosen < 0) | (chosen >= n)).any():
                return f"chosen of {name} is not among the {n} shared columns"
        return ""


def learn_columns(
    inputs: ColumnBlocks,
    margin: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    *,
    reductions: dict[str, Reduction],
    n_screened: int | None,
    sample_weight: np.ndarray | None = None,
) -> LearnedColumns:
    """Choose the columns of every label, and of the pooled booster, on a training part.

    Parameters
    ----------
    inputs : ColumnBlocks
        All rows.
    margin : ndarray of float32, shape (n, n_labels)
        Consensus of all rows, fitted on the training rows.
    y : ndarray of {0, 1}, shape (n, n_labels)
    train : ndarray of int
        Training rows.
    reductions : dict of str to Reduction
        Reductions of the embeddings, fitted on the training rows.
    n_screened : int or None
        Maximum number of shared columns of a label; None for all.
    sample_weight : ndarray of float, shape (n,), optional
        Of all rows; above 0 for the training rows.

    Returns
    -------
    LearnedColumns
    """
    weights = weights_of(sample_weight, train)
    shared = shared_columns(inputs, margin, reductions)
    n_shared, n_labels = shared.shape[1], y.shape[1]
    n_margins = n_labels if len(inputs.logits) else 0
    is_screened = n_screened is not None and n_shared > n_screened
    if is_screened or n_shared - n_margins > MAX_SHARED:
        gains = column_gains(shared[train], y[train], margin[train], weights)
    else:
        gains = np.zeros((n_shared, n_labels))
    if is_screened:
        ranked = np.argsort(-gains, axis=0, kind="stable")[:n_screened]
        chosen = [np.sort(ranked[:, label]) for label in range(n_labels)]
    else:
        chosen = [np.arange(n_shared)] * n_labels
    pairs = PairColumns.fit(y[train], gains[n_margins:], weights)
    return LearnedColumns(reductions, chosen, pairs)


def column_gains(
    columns: np.ndarray,
    y: np.ndarray,
    margin: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return how much each column could improve on a margin, for every label.

    The gain in log loss (to second order) from splitting the column into eight
    bins of equal size, and one for NaN: the sum over bins of G^2 / (H + 20),
    with G the sum of residuals y - p and H the information p (1 - p) of a bin.

    Parameters
    ----------
    columns : ndarray of float, shape (n, d)
    y : ndarray of {0, 1}, shape (n, n_labels)
    margin : ndarray of float, shape (n, n_labels)
        Log-odds.
    sample_weight : ndarray of float, shape (n,), optional
        Weight of residuals and information.

    Returns
    -------
    ndarray of float, shape (d, n_labels)
    """
    n, d = columns.shape
    p = expit(margin)
    codes = np.empty((n, d), dtype=np.int64)
    levels = np.linspace(0, 1, _SCREENING_BINS + 1)[1:-1]
    for column in range(d):
        values = columns[:, column]
        known = ~np.isnan(values)
        if not known.any():
            codes[:, column] = _SCREENING_BINS
            continue
        cuts = np.quantile(values[known], levels)
        codes[:, column] = np.where(known, np.searchsorted(cuts, values), _SCREENING_BINS)
    width = _SCREENING_BINS + 1
    places = (codes + width * np.arange(d)).ravel()
    values = np.ones(n * d) if sample_weight is None else np.repeat(sample_weight, d)
    is_in = sparse.csr_matrix((values, places, np.arange(0, n * d + 1, d)), shape=(n, width * d))
    residual, information = is_in.T @ (y - p), is_in.T @ (p * (1 - p))
    gains = residual**2 / (information + _SCREENING_L2)
    return gains.reshape(d, width, -1).sum(axis=1)


def shared_columns(
    inputs: ColumnBlocks, margin: np.ndarray, reductions: dict[str, Reduction]
) -> np.ndarray:
    """Return the columns that labels share; see `LearnedColumns.shared`."""
    parts = [margin] if len(inputs.logits) else []
    parts.append(inputs.features)
    parts += [reductions[name](values) for name, values in inputs.embeddings.items()]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts], axis=1)
