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


def calibration_error(y, probabilities, weights, min_positives):
    """Fifteen bins of as many fields each, by rank; weights come in after that."""
    positives = y.sum(axis=0)
    chosen = positives >= min_positives if (positives >= min_positives).any() else positives > 0
    errors = []
    for k in np.flatnonzero(chosen):
        bins = [[] for _ in range(15)]
        for rank, field in enumerate(np.argsort(probabilities[:, k], kind="stable")):
            bins[rank * 15 // len(y)].append(field)
        gaps = [weights[rows] @ (probabilities[rows, k] - y[rows, k]) for rows in bins]
        errors.append(np.abs(gaps).sum() / weights.sum())
    return np.mean(errors) if errors else np.nan
