"""Distribution of labels over folds, and over training and test fields."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from markupsafe import Markup

from hpastack.report.facts import Facts
from hpastack.report.svg import drawing, mark, number
from hpastack.report.symbols import legend, symbol

_WIDTH, _HEIGHT, _EDGE = 170.0, 18.0, 8.0
# Upper limit of the axis of relative prevalence.
_MOST = 2.0


def fold_balance(facts: Facts) -> dict[str, Any]:
    """Prevalence of each label in each fold, relative to its prevalence in all training fields.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    dict
        One row per label: number of positives in each fold, and the relative prevalences as marks
        on an axis from 0 to 2.
    """
    fold = facts.stack.fold_
    n_folds = int(fold.max()) + 1
    sizes = np.bincount(fold, minlength=n_folds)
    counts = np.array([facts.y[fold == k].sum(axis=0) for k in range(n_folds)], dtype=int)
    share_of_all = facts.y.mean(axis=0)
    rows = []
    for k, name in enumerate(facts.names):
        ratios = np.full(n_folds, math.nan)
        if share_of_all[k]:
            ratios = counts[:, k] / np.maximum(sizes, 1) / share_of_all[k]
        rows.append(
            {
                "name": name,
                "positives": int(facts.y[:, k].sum()),
                "counts": counts[:, k].tolist(),
                "strip": _ratios(ratios),
                "largest": float(ratios[np.argmax(np.abs(ratios - 1))]) if share_of_all[k]
                else math.nan,
            }
        )  # fmt: skip
    return {
        "sizes": sizes.tolist(),
        "rows": rows,
        "legend": legend([f"fold {k}" for k in range(n_folds)]),
    }


def _ratios(ratios: np.ndarray) -> Markup:
    """Chart of relative prevalences, with a vertical line at 1."""

    def place(ratio: float) -> float:
        return _EDGE + min(ratio, _MOST) / _MOST * (_WIDTH - 2 * _EDGE)

    marks = [_track(), f'<path class="zero" d="M{number(place(1))} 1V17"/>']
    for k, ratio in enumerate(ratios.tolist()):
        if not math.isnan(ratio):
            css, shape = symbol(k)
            marks.append(mark(place(ratio), _HEIGHT / 2, 4, css=css, shape=shape,
                              title=f"fold {k}: {ratio:.2f} times"))  # fmt: skip
    return drawing("".join(marks), _WIDTH, _HEIGHT, "", "strip")


def prevalence(facts: Facts) -> dict[str, Any]:
    """Prevalence of each label, annotated and predicted.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    dict
        One row per label. Predictions for test fields are from the submission, if there is one.
    """
    groups = ["training, annotated", "training, predicted"]
    columns = [facts.y.mean(axis=0), facts.labels.mean(axis=0)]
    n_test = 0
    if facts.submitted is not None and len(facts.submitted):
        n_test = len(facts.submitted)
        groups.append("test, predicted")
        columns.append(facts.submitted.to_numpy().mean(axis=0))
    shares = np.column_stack(columns)
    positive = shares[shares > 0]
    ends = (float(positive.min()), float(positive.max())) if positive.size else (0.1, 1.0)
    # A power of ten, which is a short label of the axis.
    ends = 10.0 ** math.floor(math.log10(ends[0])), 1.0
    order = np.argsort(-shares[:, 0], kind="stable").tolist()
    return {
        "groups": groups,
        "legend": legend(groups),
        "n_test": n_test,
        "least": 100 * ends[0],
        "rows": [
            {
                "number": k,
                "name": facts.names[k],
                "percents": (100 * shares[k]).tolist(),
                "strip": _shares(shares[k], ends, groups),
                "ratio": float(shares[k, -1] / shares[k, 1])
                if len(groups) == 3 and shares[k, 1] else math.nan,
            }
            for k in order
        ],
    }  # fmt: skip


def _shares(shares: np.ndarray, ends: tuple[float, float], groups: list[str]) -> Markup:
    low, high = (math.log10(end) for end in ends)
    marks = [_track()]
    for k, share in enumerate(shares.tolist()):
        if share > 0:
            at = _EDGE + (math.log10(share) - low) / ((high - low) or 1) * (_WIDTH - 2 * _EDGE)
            css, shape = symbol(k)
            marks.append(mark(at, _HEIGHT / 2, 4, css=css, shape=shape,
                              title=f"{groups[k]}: {100 * share:.2f} %"))  # fmt: skip
    return drawing("".join(marks), _WIDTH, _HEIGHT, "", "strip")


def _track() -> str:
    return f'<path class="track" d="M{number(_EDGE)} {number(_HEIGHT / 2)}H{_WIDTH - _EDGE:.0f}"/>'
