"""Spline calibration: Platt with a non-negative slope that may change at a few logits."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from hpastack.calibration.logistic import STRENGTH, fields_per_cluster, weighted
from hpastack.errors import InputError

# Knots: these quantiles of the logits, with positives and negatives weighted equally.
_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)


class Spline:
    """A non-decreasing linear spline; parameters: offset, slopes of m + 1 segments, m knots.

    A logistic regression with shrinkage as in Platt: the offset towards 0, the mean slope towards
    1, and the slopes towards their mean, so that with little evidence the map is nearly linear.
    """

    n_parameters = None

    @staticmethod
    def fit(
        logits: np.ndarray,
        y: np.ndarray,
        clusters: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> tuple[float, ...]:
        """Fit the offset and slopes; the knots are quantiles."""
        of_fields = np.ones(len(y)) if sample_weight is None else sample_weight
        order = np.argsort(logits, kind="stable")
        weights = np.where(y == 1, 0.5 / (of_fields @ y), 0.5 / (of_fields @ (1 - y)))
        weights = weighted(weights, sample_weight)[order]
        places = np.searchsorted(weights.cumsum(), _QUANTILES)
        knots = np.unique(logits[order][places])
        # A segment without fields would have no slope to learn.
        knots = knots[(knots > logits.min()) & (knots < logits.max())]
        segments = _segments(knots, logits)
        strength = STRENGTH * fields_per_cluster(y, clusters, sample_weight)

        positives = weighted(y, sample_weight)

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            offset, slopes = parameters[0], parameters[1:]
            z, mean = offset + segments @ slopes, slopes.mean()
            residual, losses = expit(z) - y, np.logaddexp(0, z)
            residual, losses = weighted(residual, sample_weight), weighted(losses, sample_weight)
            penalty = offset**2 + (mean - 1) ** 2 + ((slopes - mean) ** 2).sum()
            of_slopes = segments.T @ residual
            of_slopes += strength * ((mean - 1) / len(slopes) + slopes - mean)
            gradient = np.r_[residual.sum() + strength * offset, of_slopes]
            return losses.sum() - positives @ z + strength * penalty / 2, gradient

        identity = np.r_[0.0, np.ones(len(knots) + 1)]
        bounds = [(None, None), *[(0, None)] * (len(knots) + 1)]
        options = {"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-6}
        fitted = minimize(
            loss, identity, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        ).x
        # If the label becomes rarer with increasing logits, the map is the identity.
        return tuple(np.r_[fitted if fitted[1:].any() else identity, knots].tolist())

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return the log-odds: the offset plus the contributions of all segments."""
        n_knots = len(parameters) // 2 - 1
        slopes, knots = parameters[1 : n_knots + 2], parameters[n_knots + 2 :]
        return parameters[0] + _segments(knots, logits) @ slopes

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Raise `InputError` if a slope is negative or the knots are not in ascending order."""
        n_knots = len(parameters) // 2 - 1
        if n_knots < 0 or len(parameters) % 2:
            raise InputError(
                "a spline calibration must have an offset and one more slope than it has knots"
            )
        if (parameters[1 : n_knots + 2] < 0).any():
            raise InputError("the slopes of a spline calibration must be at least 0")
        if (np.diff(parameters[n_knots + 2 :]) <= 0).any():
            raise InputError("the knots of a spline calibration must be in ascending order")


def _segments(knots: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the piecewise linear basis of the logits, shape (..., n_knots + 1)."""
    if not len(knots):
        return logits[..., None]
    between = np.clip(logits[..., None], knots[:-1], knots[1:]) - knots[:-1]
    first, last = np.minimum(logits, knots[0]), np.maximum(logits, knots[-1]) - knots[-1]
    return np.concatenate([first[..., None], between, last[..., None]], axis=-1)
