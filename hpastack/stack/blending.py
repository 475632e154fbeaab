"""Blending: the weight of each member in the stack.

Every member adds log-odds to the consensus. The weights are the same for all
labels, because the losses of a single label determine them poorly, the more so
the rarer the label. Which labels use the members at all, and how far the weights
are shrunk, is decided for all labels jointly, from the gain of the blend on
held-out clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.special import expit

from hpastack.calibration import log_losses, weighted
from hpastack.stack.field_values import weights_of

#: A model of one label is used only if it lowers the log loss by this many standard errors.
STANDARD_ERRORS = 1.0

#: Largest weight of a member. Trees and penalties are chosen to undershoot rather than overshoot,
#: so weights above 1 are common where there is much to learn; a much larger weight means that
#: little was learned.
MAX_WEIGHT = 3.0

#: A label keeps the consensus if the posterior mean of its gain is below 0 by this many posterior
#: standard deviations; few labels have enough data for that on their own.
DOUBT = 1.64

#: Part of a squared gain, in squared standard errors, that is attributed to chance.
LUCK = 2.0

_MAX_STEPS = 50
_TOLERANCE = 1e-4
# L2 penalty of the weights, added to the mean loss: it determines those of members that are alike.
_RIDGE = 1e-5
# Grid of variances between labels, as squares of relative gains.
_VARIANCES = np.concatenate([[0.0], np.geomspace(1e-8, 1.0, 60)])


def blend_weights(
    y: np.ndarray,
    consensus: np.ndarray,
    added: Sequence[np.ndarray] | np.ndarray,
    clusters: np.ndarray,
    fold: np.ndarray,
    learnable: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return the weight of each member for every label.

    One non-negative weight per member minimises the mean over labels of the
    log loss relative to that of the consensus. For each label the weights are
    multiplied by the factor that `trust` returns for its gain with weights that
    were fitted on the other folds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    consensus : ndarray of float, shape (n, n_labels)
        Out-of-fold log-odds.
    added : sequence of ndarray of float, shape (n, n_labels)
        Log-odds that each member adds to them.
    clusters, fold : ndarray of int, shape (n,)
    learnable : ndarray of bool, shape (n_labels,)
        Other labels get weight 0.
    sample_weight : ndarray of float, shape (n,), optional
        Weight of the loss of each row.

    Returns
    -------
    ndarray of float, shape (n_members, n_labels)
        At least 0.
    """
    weights = np.zeros((len(added), y.shape[1]))
    labels = np.flatnonzero(learnable)
    if not len(added) or not len(labels):
        return weights
    y, consensus = y[:, labels], consensus[:, labels].astype(float)
    added = [part[:, labels].astype(float) for part in added]
    common = common_weights(y, consensus, added, sample_weight=sample_weight)
    blended = np.empty_like(consensus)
    for number in np.unique(fold):
        others = fold != number
        of_others = common_weights(
            y[others],
            consensus[others],
            [part[others] for part in added],
            start=common,
            sample_weight=weights_of(sample_weight, others),
        )
        rows = ~others
        blended[rows] = blend(consensus[rows], [part[rows] for part in added], of_others)
    gains = relative_gains(y, consensus, blended, clusters, sample_weight)
    weights[:, labels] = common[:, None] * trust(gains)
    return weights


def common_weights(
    y: np.ndarray,
    consensus: np.ndarray,
    added: Sequence[np.ndarray],
    *,
    start: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Fit one weight per member for all labels.

    Newton's method with weights bounded to [0, `MAX_WEIGHT`]; the mean loss is
    convex in them.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    consensus : ndarray of float, shape (n, n_labels)
    added : sequence of ndarray of float, shape (n, n_labels)
    start : ndarray of float, shape (n_members,), optional
        Initial weights.
    sample_weight : ndarray of float, shape (n,), optional
        Weight of the loss of each row.

    Returns
    -------
    ndarray of float, shape (n_members,)
    """
    before = weighted(log_losses(y, consensus), sample_weight).sum(axis=0)
    # A label without any loss cannot improve.
    share = np.divide(1.0, before, out=np.zeros_like(before), where=before > 0) / len(before)
    members = np.stack([part.ravel() for part in added])

    def loss_of(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = consensus + (weights @ members).reshape(consensus.shape)
        penalty = _RIDGE * float(weights @ weights)
        losses = weighted(log_losses(y, logits), sample_weight)
        return float(losses.sum(axis=0) @ share) + penalty, logits

    weights = np.full(len(members), 0.5 / len(members)) if start is None else start
    loss, logits = loss_of(weights)
    for _ in range(_MAX_STEPS):
        p = expit(logits)
        residual = weighted((p - y) * share, sample_weight)
        information = weighted(p * (1 - p) * share, sample_weight)
        slope = members @ residual.ravel() + 2 * _RIDGE * weights
        curvature = (members * information.ravel()) @ members.T
        curvature[np.diag_indices_from(curvature)] += 2 * _RIDGE
        root = np.linalg.cholesky(curvature).T
        target = np.linalg.solve(root.T, curvature @ weights - slope)
        wanted = np.minimum(nnls(root, target)[0], MAX_WEIGHT)
        step = wanted - weights
        while np.abs(step).max() > _TOLERANCE:
            tried, tried_logits = loss_of(weights + step)
            if tried <= loss:
                break
            step = step / 2
        else:
            break
        weights, loss, logits = weights + step, tried, tried_logits
    return weights


@dataclass(frozen=True)
class Gains:
    """Gains of each label from a change of log-odds.

    Parameters
    ----------
    gain : ndarray of float, shape (n_labels,)
        Decrease of the log loss, relative to the loss before.
    error : ndarray of float, shape (n_labels,)
        Its standard error over clusters.
    """

    gain: np.ndarray
    error: np.ndarray


def relative_gains(
    y: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    clusters: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> Gains:
    """Return the gain in log loss from a change of log-odds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    before, after : ndarray of float, shape (n, n_labels)
        Log-odds; the change was fitted on other rows.
    clusters : ndarray of int, shape (n,)
    sample_weight : ndarray of float, shape (n,), optional
        Weight of the loss of each row.

    Returns
    -------
    Gains
    """
    loss = weighted(log_losses(y, before), sample_weight)
    saved = loss - weighted(log_losses(y, after), sample_weight)
    by_cluster = np.stack([np.bincount(clusters, column) for column in saved.T], axis=1)
    total = np.maximum(loss.sum(axis=0), np.finfo(float).tiny)
    return Gains(by_cluster.sum(axis=0) / total, np.sqrt((by_cluster**2).sum(axis=0)) / total)


def trust(gains: Gains) -> np.ndarray:
    """Return the factor by which each label shrinks a change, judged for all labels jointly.

    The true gains of the labels are modelled as draws from one normal
    distribution, whose mean and variance are estimated (random-effects
    model, restricted maximum likelihood). So a label with few positives
    follows the others: it takes the change unless its posterior mean is below
    0 by more than `DOUBT` posterior standard deviations. A label whose own
    posterior mean is above 0 by as much takes it whatever the gain of the
    others.

    Part of a small apparent gain is chance. So if a mean, the common one or
    that of the label, is r standard errors above 0, the factor is
    1 - `LUCK` / r^2, as in the James-Stein estimator [1]_.

    Parameters
    ----------
    gains : Gains

    Returns
    -------
    ndarray of float in [0, 1], shape (n_labels,)

    References
    ----------
    .. [1] B. Efron and C. Morris, "Stein's estimation rule and its competitors
       - an empirical Bayes approach", J. Am. Stat. Assoc. 68, 1973, 117-130.
    """
    trusted = np.zeros(len(gains.gain))
    judged = np.flatnonzero(gains.error > 0)
    if not len(judged):
        return trusted
    gain, noise = gains.gain[judged], gains.error[judged] ** 2
    precision = 1 / (noise + _VARIANCES[:, None])
    total = precision.sum(axis=1)
    mean = precision @ gain / total
    likelihood = (
        np.log(precision).sum(axis=1)
        - (precision * (gain - mean[:, None]) ** 2).sum(axis=1)
        - np.log(total)
    )
    best = int(likelihood.argmax())
    variance, common = _VARIANCES[best], mean[best]
    posterior = (variance * gain + noise * common) / (variance + noise)
    spread = variance * noise / (variance + noise)
    together = _without_luck(common * np.sqrt(total[best]))
    together = together * (posterior > -DOUBT * np.sqrt(spread))
    # The common mean towards which a label is shrunk is itself uncertain.
    spread = spread + (noise / (variance + noise)) ** 2 / total[best]
    own = posterior / np.sqrt(spread)
    trusted[judged] = np.maximum(together, _without_luck(own) * (own > DOUBT))
    return trusted


def _without_luck(certainty: np.ndarray | float) -> np.ndarray:
    # A mean below 0 is no gain; the floor only avoids division by 0.
    return np.maximum(0.0, 1 - LUCK / np.maximum(certainty, 1e-9) ** 2)


def improves_log_loss(
    y: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    clusters: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> bool:
    """Return whether a change lowers the log loss by more than its standard error.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n,)
    before, after : ndarray of float, shape (n,)
        Log-odds; the change was fitted on other rows.
    clusters : ndarray of int, shape (n,)
    sample_weight : ndarray of float, shape (n,), optional
        Weight of the loss of each row.

    Returns
    -------
    bool
        Whether the gain, summed by cluster, is more than one standard error.
    """
    gains = relative_gains(y[:, None], before[:, None], after[:, None], clusters, sample_weight)
    return bool(gains.gain[0] > STANDARD_ERRORS * gains.error[0])


def blend(
    consensus: np.ndarray,
    added: Sequence[np.ndarray] | np.ndarray,
    weights: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """Return the log-odds of the consensus plus weighted log-odds of the members.

    Parameters
    ----------
    consensus : ndarray of float, shape (n, n_labels)
    added : ndarray of float, shape (n_members, n, n_labels)
    weights : sequence of float or ndarray, length n_members
        One weight per member, or one per member and label.

    Returns
    -------
    ndarray of float, shape (n, n_labels)
    """
    logits = consensus.astype(float)
    for part, weight in zip(added, weights):
        logits = logits + weight * part
    return logits
