"""L2-regularised logistic regression that starts from a margin.

It fits linear effects, which trees approximate by many steps. Columns are
standardised and clipped. A stage of the model is one of `PENALTIES`, from the
strongest to the weakest, as the stage of a booster is its number of trees. The
model is saved as JSON: a mean, a scale and a coefficient per column.
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
from hpastack.errors import InputError, counted

#: L2 penalties on the coefficients of standardised columns, in units of Fisher information.
PENALTIES = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)

#: Standardised columns are clipped at plus and minus this, to limit the effect of outliers.
BOUND = 5.0

# Penalty on the offset, only to keep it finite.
_OFFSET_PENALTY = 1e-3
_MAX_STEPS = 20
_TOLERANCE = 1e-2
# The information matrix is recomputed once any log-odds have changed by more than this.
_MAX_DRIFT = 0.5
# A step that raises the loss is halved; a smaller relative rise is a rounding error.
_MAX_HALVINGS = 10
_ROUNDING = 1e-6
_KEYS = ("means", "scales", "coefficients", "offset")


class Linear:
    """Fit, apply and save logistic regressions."""

    package = "numpy"
    suffix = ".json"
    ignores = tuple(field.name for field in fields(TreeSettings) if field.name != "monotone")

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return the numbers of the penalties from 1; the numbers of trees are ignored."""
        return list(range(1, len(PENALTIES) + 1))

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> None:
        """Return None: columns are not binned."""

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
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Fit the path of penalties, each starting from the previous coefficients.

        Newton's method; the information matrix is recomputed only once the
        log-odds have changed enough. A model is a dict of ``means``, ``scales``
        and, with one row per penalty, ``coefficients`` and ``offset``.
        """
        known = ~np.isnan(x)
        filled = np.where(known, x, 0.0).astype(float)
        if sample_weight is None:
            counts = np.maximum(known.sum(axis=0), 1)
            means = filled.sum(axis=0) / counts
            deviations = np.where(known, filled - means, 0.0)
            scales = np.sqrt((deviations**2).sum(axis=0) / counts)
        else:
            counts = np.maximum(sample_weight @ known, np.finfo(float).tiny)
            means = sample_weight @ filled / counts
            deviations = np.where(known, filled - means, 0.0)
            scales = np.sqrt(sample_weight @ deviations**2 / counts)
        # A constant column is uninformative; an infinite scale sets it to 0.
        scales = np.where(scales > 1e-9 * np.maximum(1.0, np.abs(means)), scales, np.inf)
        model: dict[str, Any] = {"means": means, "scales": scales}
        z = np.column_stack([_standardised(model, x), np.ones(len(x), dtype=np.float32)])
        weights, path = np.zeros(z.shape[1]), []
        logits = margin = margin.astype(float)
        information, computed_at = _information(z, logits, sample_weight), logits
        for penalty in PENALTIES[: stages[-1]]:
            penalties = np.append(np.full(z.shape[1] - 1, penalty), _OFFSET_PENALTY)
            factor = cho_factor(information + np.diag(penalties))
            loss = _loss(y, logits, penalties, weights, sample_weight)
            for _ in range(_MAX_STEPS):
                residual = y - expit(logits)
                if sample_weight is not None:
                    residual = residual * sample_weight
                residual = residual.astype(np.float32)
                step = cho_solve(factor, z.T @ residual - penalties * weights)
                most = loss * (1 + _ROUNDING)
                for _ in range(_MAX_HALVINGS):
                    logits = margin + z @ (weights + step).astype(np.float32)
                    loss = _loss(y, logits, penalties, weights + step, sample_weight)
                    if loss <= most:
                        break
                    step = step / 2
                weights = weights + step
                if np.abs(logits - computed_at).max() > _MAX_DRIFT:
                    information, computed_at = _information(z, logits, sample_weight), logits
                    factor = cho_factor(information + np.diag(penalties))
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
        """Return the change of the log-odds from stage `start` to stage `stop`, shape (n,)."""
        last, first = (min(size, len(model["offset"])) - 1 for size in (stop, start))
        coefficients, offset = model["coefficients"][last], model["offset"][last]
        if first >= 0:
            coefficients = coefficients - model["coefficients"][first]
            offset = offset - model["offset"][first]
        return np.asarray(_standardised(model, x) @ coefficients + offset)

    @staticmethod
    def to_bytes(model: dict[str, Any]) -> bytes:
        """Return a model as JSON, with the last penalty only."""
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
        """Raise `InputError` if this is not the JSON of a model."""
        _read(content)

    @staticmethod
    def predict(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return what a saved model adds to the margin (log-odds), shape (n,)."""
        model = _read(content)
        return Linear.added(model, x, 0, 1)

    @staticmethod
    def contributions(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return the terms of all columns, shape (n, n_columns + 1); the last is the offset."""
        model = _read(content)
        parts = _standardised(model, x) * model["coefficients"][0]
        return np.column_stack([parts, np.full(len(x), model["offset"][0])])


def _loss(
    y: np.ndarray,
    logits: np.ndarray,
    penalties: np.ndarray,
    weights: np.ndarray,
    sample_weight: np.ndarray | None,
) -> float:
    losses = np.logaddexp(0.0, logits) - y * logits
    if sample_weight is not None:
        losses = losses * sample_weight
    return float(losses.sum() + penalties @ weights**2 / 2)


def _information(z: np.ndarray, logits: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    p = expit(logits)
    of_rows = p * (1 - p)
    if sample_weight is not None:
        of_rows = of_rows * sample_weight
    return ((z * of_rows.astype(np.float32)[:, None]).T @ z).astype(float)


def _standardised(model: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Return standardised and clipped columns, float32; NaN becomes 0."""
    if x.shape[1] != len(model["means"]):
        fitted = len(model["means"])
        raise InputError(f"x has {counted(x.shape[1], 'column')}; the model was fitted on {fitted}")
    z = x - model["means"].astype(np.float32)
    z /= model["scales"].astype(np.float32)
    np.clip(z, -BOUND, BOUND, out=z)
    np.copyto(z, 0.0, where=np.isnan(z))
    return z


def _read(content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content)
        if not isinstance(record, dict) or sorted(record) != sorted(_KEYS):
            raise ValueError(f"the keys are not {', '.join(_KEYS)}")
        means, scales, coefficients = (np.array(record[name], dtype=float) for name in _KEYS[:-1])
        offset = np.array([record["offset"]], dtype=float)
        if not (means.ndim == 1 and means.shape == scales.shape == coefficients.shape):
            raise ValueError("means, scales and coefficients differ in length")
        if offset.shape != (1,):
            raise ValueError("offset is not a single number")
        if not all(np.isfinite(part).all() for part in (means, scales, coefficients, offset)):
            raise ValueError("a number is not finite")
        if (scales < 0).any():
            raise ValueError("a scale is negative")
    except (ValueError, TypeError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise InputError(f"not a linear booster: {error}") from None
    return {
        "means": means,
        "scales": np.where(scales > 0, scales, np.inf),
        "coefficients": coefficients[None],
        "offset": offset,
    }
