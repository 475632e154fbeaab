"""Logistic regression that starts from a margin: what trees take many steps for, in one.

Columns are standardised and bounded, coefficients are drawn to 0. The size of a
model is a number of `PENALTIES`, from the strongest to the weakest, as that of a
booster is its number of trees. It is kept as JSON: per column a mean, a scale
and a coefficient.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from hpastack.boosting.tree_settings import AtStage, TreeSettings, grown_enough
from hpastack.errors import InputError

#: Pulls of the coefficients to 0, of standardised columns, in units of information.
PENALTIES = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)

#: A standardised column is bounded by this, so that no single value decides.
BOUND = 5.0

# Of the offset, which only keeps it finite.
_OFFSET_PENALTY = 1e-3
_MAX_STEPS = 20
_TOLERANCE = 1e-2
# The information is that of other log-odds as long as none has changed by more.
_MAX_DRIFT = 0.5
# A step that raises the loss is halved; rises by less than this part of it are rounding.
_MAX_HALVINGS = 10
_ROUNDING = 1e-6
_KEYS = ("means", "scales", "coefficients", "offset")


class Linear:
    """Fit, apply and keep logistic regressions."""

    package = "numpy"
    suffix = ".json"
    ignores = tuple(one.name for one in fields(TreeSettings) if one.name != "monotone")

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return the numbers of penalties, whatever the numbers of trees."""
        return list(range(1, len(PENALTIES) + 1))

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> None:
        """Return nothing: columns are not binned."""

    @staticmethod
    def fit(
        x: np.ndarray,
        y: np.ndarray,
        margin: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: Sequence[int],
        at_stage: AtStage | None,
        n_monotone: int,
        bins: Any,
    ) -> dict[str, Any]:
        """Fit the penalties one after the other, each from the coefficients of the one before.

        Newton's method, which measures the information anew only where log-odds
        have moved. A model is a dict of ``means``, ``scales`` and, a row
        a penalty, ``coefficients`` and ``offset``.
        """
        known = ~np.isnan(x)
        counts = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, x, 0.0).astype(float)
        means = filled.sum(axis=0) / counts
        deviations = np.where(known, filled - means, 0.0)
        scales = np.sqrt((deviations**2).sum(axis=0) / counts)
        # A constant column tells nothing; the scale keeps it at 0.
        scales = np.where(scales > 1e-9 * np.maximum(1.0, np.abs(means)), scales, np.inf)
        model: dict[str, Any] = {"means": means, "scales": scales}
        z = np.column_stack([_standardised(model, x), np.ones(len(x), dtype=np.float32)])
        weights, path = np.zeros(z.shape[1]), []
        logits = margin = margin.astype(float)
        information, measured_at = _information(z, logits), logits
        for penalty in PENALTIES[: stages[-1]]:
            pull = np.append(np.full(z.shape[1] - 1, penalty), _OFFSET_PENALTY)
            factor = cho_factor(information + np.diag(pull))
            loss = _loss(y, logits, pull, weights)
            for _ in range(_MAX_STEPS):
                residual = (y - expit(logits)).astype(np.float32)
                step = cho_solve(factor, z.T @ residual - pull * weights)
                most = loss * (1 + _ROUNDING)
                for _ in range(_MAX_HALVINGS):
                    logits = margin + z @ (weights + step).astype(np.float32)
                    loss = _loss(y, logits, pull, weights + step)
                    if loss <= most:
                        break
                    step = step / 2
                weights = weights + step
                if np.abs(logits - measured_at).max() > _MAX_DRIFT:
                    information, measured_at = _information(z, logits), logits
                    factor = cho_factor(information + np.diag(pull))
                if np.abs(step).max() < _TOLERANCE:
                    break
            if n_monotone:
                weights[:n_monotone] = np.maximum(weights[:n_monotone], 0.0)
                logits = margin + z @ weights.astype(np.float32)
            path.append(weights)
            model["coefficients"] = np.stack(path)[:, :-1]
            model["offset"] = np.stack(path)[:, -1]
            if grown_enough(at_stage, model, len(path), stages):
                break
        return model

    @staticmethod
    def added(model: dict[str, Any], x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return what going from one penalty to another adds to the margin, shape (n,)."""
        last, first = (min(size, len(model["offset"])) - 1 for size in (stop, start))
        coefficients, offset = model["coefficients"][last], model["offset"][last]
        if first >= 0:
            coefficients = coefficients - model["coefficients"][first]
            offset = offset - model["offset"][first]
        return np.asarray(_standardised(model, x) @ coefficients + offset)

    @staticmethod
    def to_bytes(model: dict[str, Any]) -> bytes:
        """Return a model as JSON, with the last penalty alone."""
        scales = np.where(np.isfinite(model["scales"]), model["scales"], 0.0)
        record = {
            "means": model["means"].tolist(),
            "scales": scales.tolist(),
            "coefficients": model["coefficients"][-1].tolist(),
            "offset": float(model["offset"][-1]),
        }
        return json.dumps(record).encode()

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` unless this is the JSON of a model."""
        _read(content)

    @staticmethod
    def predict(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return what a kept model adds to the margin, shape (n,)."""
        model = _read(content)
        return Linear.added(model, x, 0, 1)

    @staticmethod
    def contributions(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return what each column adds, shape (n, n_columns + 1); the last one is the offset."""
        model = _read(content)
        parts = _standardised(model, x) * model["coefficients"][0]
        return np.column_stack([parts, np.full(len(x), model["offset"][0])])


def _loss(y: np.ndarray, logits: np.ndarray, pull: np.ndarray, weights: np.ndarray) -> float:
    losses = np.logaddexp(0.0, logits) - y * logits
    return float(losses.sum() + pull @ weights**2 / 2)


def _information(z: np.ndarray, logits: np.ndarray) -> np.ndarray:
    p = expit(logits)
    return ((z * (p * (1 - p)).astype(np.float32)[:, None]).T @ z).astype(float)


def _standardised(model: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Return bounded columns of mean 0, float32; what is unknown is 0."""
    if x.shape[1] != len(model["means"]):
        raise InputError(f"{x.shape[1]} columns given, {len(model['means'])} were fitted")
    z = x - model["means"].astype(np.float32)
    z /= model["scales"].astype(np.float32)
    np.clip(z, -BOUND, BOUND, out=z)
    np.copyto(z, 0.0, where=np.isnan(z))
    return z


def _read(content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
        if not isinstance(record, dict) or sorted(record) != sorted(_KEYS):
            raise ValueError(f"it holds something other than {', '.join(_KEYS)}")
        means, scales, coefficients = (np.array(record[name], dtype=float) for name in _KEYS[:-1])
        offset = np.array([record["offset"]], dtype=float)
        if not (means.ndim == 1 and means.shape == scales.shape == coefficients.shape):
            raise ValueError("its columns differ in number")
        if offset.shape != (1,):
            raise ValueError("its offset is more than one number")
        if not all(np.isfinite(part).all() for part in (means, scales, coefficients, offset)):
            raise ValueError("a number is not finite")
        if (scales < 0).any():
            raise ValueError("a scale is negative")
    except (ValueError, TypeError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise InputError(f"not a booster of linear: {error}") from None
    return {
        "means": means,
        "scales": np.where(scales > 0, scales, np.inf),
        "coefficients": coefficients[None],
        "offset": offset,
    }
