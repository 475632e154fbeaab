"""Spline calibration: Platt whose slope may change at a few logits, and never falls below 0."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from hpastack.calibration.logistic import STRENGTH, fields_per_cluster
from hpastack.errors import InputError

# Where the slope may change: at these quantiles of the logits, positives and negatives weighing
# the same.
_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)


class Spline:
    """A rising linear spline: offset, the slope of each of m + 1 segments, the m knots between.

    A logistic regression, shrunk as Platt: offset and mean slope towards 0 and 1, the slopes
    towards their mean, so that little evidence bends little.
    """

    n_parameters = None

    @staticmethod
    def fit(logits: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> tuple[float, ...]:
        """Fit offset and slopes; the knots are quantiles."""
        order = np.argsort(logits, kind="stable")
        weights = np.where(y == 1, 0.5 / y.sum(), 0.5 / (len(y) - y.sum()))[order]
        places = np.searchsorted(weights.cumsum(), _QUANTILES)
        knots = np.unique(logits[order][places])
        # Beyond the last field no slope can be learned.
        knots = knots[(knots > logits.min()) & (knots < logits.max())]
        segments, pull = _segments(knots, logits), STRENGTH * fields_per_cluster(y, clusters)

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            offset, slopes = parameters[0], parameters[1:]
            z, mean = offset + segments @ slopes, slopes.mean()
            residual = expit(z) - y
            penalty = offset**2 + (mean - 1) ** 2 + ((slopes - mean) ** 2).sum()
            of_slopes = segments.T @ residual
            of_slopes += pull * ((mean - 1) / len(slopes) + slopes - mean)
            gradient = np.r_[residual.sum() + pull * offset, of_slopes]
            return np.logaddexp(0, z).sum() - y @ z + pull * penalty / 2, gradient

        identity = np.r_[0.0, np.ones(len(knots) + 1)]
        bounds = [(None, None), *[(0, None)] * (len(knots) + 1)]
        options = {"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-6}
        found = minimize(
            loss, identity, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        ).x
        # Where the label gets rarer as the logits grow, they stay as they are.
        return tuple(np.r_[found if found[1:].any() else identity, knots].tolist())

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Add up what each segment adds."""
        n_knots = len(parameters) // 2 - 1
        slopes, knots = parameters[1 : n_knots + 2], parameters[n_knots + 2 :]
        return parameters[0] + _segments(knots, logits) @ slopes

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Raise `InputError` unless the slopes are not negative and the knots rise."""
        n_knots = len(parameters) // 2 - 1
        if n_knots < 0 or len(parameters) % 2:
            raise InputError(
                "a spline calibration has an offset, and one slope more than it has knots"
            )
        if (parameters[1 : n_knots + 2] < 0).any():
            raise InputError("the slopes of a calibration of method spline are at least 0")
        if (np.diff(parameters[n_knots + 2 :]) <= 0).any():
            raise InputError("the knots of a spline calibration must rise")


def _segments(knots: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the part of each logit within each segment, shape (..., n_knots + 1)."""
    if not len(knots):
        return logits[..., None]
    between = np.clip(logits[..., None], knots[:-1], knots[1:]) - knots[:-1]
    first, last = np.minimum(logits, knots[0]), np.maximum(logits, knots[-1]) - knots[-1]
    return np.concatenate([first[..., None], between, last[..., None]], axis=-1)
