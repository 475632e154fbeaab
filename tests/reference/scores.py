"""Scores of one draw the slow obvious way: scikit-learn, one label at a time, with row weights."""

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss


def f1(y, labels, weights):
    return [
        f1_score(y[:, k], labels[:, k], sample_weight=weights, zero_division=0)
        for k in range(y.shape[1])
    ]


def average_precision(y, scores, weights):
    return [
        average_precision_score(y[:, k], scores[:, k], sample_weight=weights)
        if weights[y[:, k] == 1].any()
        else np.nan
        for k in range(y.shape[1])
    ]


def brier(y, probabilities, weights):
    return [
        brier_score_loss(y[:, k], probabilities[:, k], sample_weight=weights)
        for k in range(y.shape[1])
    ]


def log_losses(y, probabilities, weights):
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return [
        log_loss(y[:, k], p[:, k], sample_weight=weights, labels=[0, 1]) for k in range(y.shape[1])
    ]


def squared_calibration_error(y, probabilities, weights, clusters, folds, min_positives):
    """Fifteen bins of each fold, by rank; in each, all pairs of fields of different clusters."""
    errors = []
    for k in np.flatnonzero(y.sum(axis=0) >= min_positives):
        bins = {}
        for fold in np.unique(folds):
            of_fold = np.flatnonzero(folds == fold)
            ranked = of_fold[np.argsort(probabilities[of_fold, k], kind="stable")]
            n_bins = min(15, len(of_fold) // 2)
            for rank, field in enumerate(ranked):
                bins.setdefault((fold, rank * n_bins // len(of_fold)), []).append(field)
        products, sizes = [], []
        for rows in bins.values():
            pairs = [(i, j) for i in rows for j in rows if clusters[i] != clusters[j]]
            if pairs:
                gap = probabilities[:, k] - y[:, k]
                total = sum(weights[i] * gap[i] * weights[j] * gap[j] for i, j in pairs)
                products.append(total / len(pairs))
                sizes.append(len(rows))
        if sizes:
            errors.append(np.average(products, weights=sizes) / np.mean(weights) ** 2)
    return np.mean(errors) if errors else np.nan


def widened_interval(scores, draws, holders):
    """Interval of the mean of labels' scores, by the formula and one label at a time."""
    labels = [k for k in range(len(scores)) if not np.isnan(scores[k])]
    variance = {k: np.nanvar(draws[:, k]) for k in labels}
    several = [k for k in labels if holders[k] > 1]
    single = {k: variance[k] * holders[k] ** 2 / (holders[k] - 1) for k in several}
    counts = [min(holders[k] - 1, 4) for k in several]
    shared = sum(c * single[k] for c, k in zip(counts, several)) / sum(counts)
    extra = 0
    for k in labels:
        freedom = holders[k] - 1
        moderated = (4 * shared + freedom * single.get(k, 0)) / (4 + freedom)
        extra += max(0, moderated / holders[k] - variance[k])
    means = np.array([np.nanmean(draw[labels]) for draw in draws])
    factor = np.sqrt((np.var(means) + extra / len(labels) ** 2) / np.var(means))
    low, middle, high = np.percentile(means, [2.5, 50, 97.5])
    score = np.mean([scores[k] for k in labels])
    return score + factor * (low - middle), score + factor * (high - middle)
