"""Scores of the stack, its components and other stacks."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from hpastack.report.facts import Facts
from hpastack.report.numbers import score_text, signed_text
from hpastack.report.sections.verdict import SCORE_NAMES
from hpastack.report.svg import interval_strip, known
from hpastack.stack.score_tables import (
    SCORES,
    OutOfFold,
    comparison_intervals,
    probability_scores,
    score_rows,
)

_DIGITS = {"macro_f1": 3, "macro_ap": 3, "ece": 4, "brier": 4, "log_loss": 4}


def context(facts: Facts) -> dict[str, Any]:
    """Return one row per predictor, highest macro F1 first."""
    scores, intervals = _table(facts)
    shown = [name for name in SCORES if name in scores]
    ends = {name: _ends(name, scores, intervals) for name in shown}
    seconds = dict(facts.seconds)
    seconds |= {name: rival.seconds["stack"] for name, rival in _rivals(facts).items()
                if "stack" in rival.seconds}  # fmt: skip
    stores = facts.record.get("stores", {})
    order = scores["macro_f1"].sort_values(ascending=False, kind="stable").index
    rows = [
        {
            "name": name,
            "kind": _kind(facts, name),
            "content": stores.get(name, {}).get("content", "").replace("_", " "),
            "cells": [_cell(name, score, scores, intervals, ends[score]) for score in shown],
            "fit": seconds.get(name, {}).get("fit"),
            "predict": seconds.get(name, {}).get("predict"),
        }
        for name in map(str, order)
    ]
    return {
        "scores": [SCORE_NAMES[name][0] for name in shown],
        "rows": rows,
        "has_seconds": bool(seconds),
        "has_intervals": len(intervals.columns) > 0,
        "needs_refit": not len(intervals.columns) and bool(facts.stack.n_bootstrap),
        "label_sets": any(
            stores.get(cnn, {}).get("content") == "label_sets" for cnn in facts.stack.cnns
        ),
    }


def _table(facts: Facts) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and intervals of all predictors, including other stacks."""
    scores = facts.stack.comparison_
    intervals = getattr(facts.stack, "comparison_intervals_", None)
    if intervals is None:
        intervals = pd.DataFrame(index=scores.index)
    if not facts.rivals:
        return scores, intervals
    systems = {"stack": OutOfFold(facts.probabilities, facts.labels)}
    systems |= {name: rival.system(facts.image_ids) for name, rival in _rivals(facts).items()}
    clusters = facts.image_ids.to_numpy() if facts.clusters is None else facts.clusters
    scored = {
        name: probability_scores(
            facts.y, of.probabilities, clusters, facts.stack.fold_, facts.draws
        )
        for name, of in systems.items()
    }
    others = pd.DataFrame(score_rows(facts.y, systems, scored)).T.drop(index="stack")
    scores = pd.concat([scores, others])
    if facts.draws is not None:
        of_others = comparison_intervals(facts.y, clusters, systems, scored, facts.draws)
        intervals = pd.concat([intervals, of_others.drop(index="stack")])
    return scores, intervals


def _rivals(facts: Facts) -> dict[str, Facts]:
    """Return the other stacks by unique names."""
    taken = {str(name) for name in facts.stack.comparison_.index}
    rivals: dict[str, Facts] = {}
    for rival in facts.rivals:
        name = f"stack {rival.name}" if rival.name in taken else rival.name
        rivals[str(rival.folder) if name in rivals else name] = rival
    return rivals


def _ends(name: str, scores: pd.DataFrame, intervals: pd.DataFrame) -> tuple[float, float]:
    """Return the limits of the axis of a score: all intervals with a margin."""
    reach = [scores[name]]
    reach += [intervals[f"{name}_{end}"] for end in ("low", "high") if f"{name}_{end}" in intervals]
    values = pd.concat(reach).dropna()
    if values.empty:
        return 0.0, 1.0
    margin = 0.06 * float(values.max() - values.min())
    return float(values.min()) - margin, float(values.max()) + (margin or 1.0)


def _cell(
    name: str,
    score: str,
    scores: pd.DataFrame,
    intervals: pd.DataFrame,
    ends: tuple[float, float],
) -> dict[str, Any]:
    column, more = scores[score], SCORE_NAMES[score][1]
    value, digits = float(column[name]), _DIGITS[score]

    def end(which: str) -> float:
        place = f"{score}_{which}"
        return (
            float(intervals[place][name])
            if place in intervals and name in intervals.index
            else math.nan
        )

    low, high, gain_low, gain_high = map(end, ("low", "high", "gain_low", "gain_high"))
    # Predictor minus stack: positive if the value of the predictor is higher.
    difference = value - float(column["stack"])
    cell = {
        "value": value,
        "digits": digits,
        "best": value == (column.max() if more else column.min()),
        "strip": interval_strip(
            value, low, high, ends=ends, zero=float(column["stack"]), width=110
        ),
        "interval": f"{score_text(low, digits)}–{score_text(high, digits)}" if known(low) else "",
        "difference": "",
        "difference_interval": "",
        "against_stack": "",
    }
    if name != "stack":
        cell["difference"] = signed_text(difference, digits)
        if known(gain_low):
            cell["difference_interval"] = (
                f"{signed_text(-gain_high, digits)} to {signed_text(-gain_low, digits)}"
            )
            if gain_low > 0 or gain_high < 0:
                ahead = (gain_high < 0) == more
                cell["against_stack"] = "better" if ahead else "worse"
    return cell


def _kind(facts: Facts, name: str) -> str:
    if name in facts.stack.cnns:
        return "CNN"
    if name in facts.stack.members_:
        return f"member, from {facts.start}"
    kinds = {"stack": "this stack", "prior": "prevalence", "consensus": "weighted mean"}
    if name in kinds:
        return kinds[name]
    return "mean" if name in facts.stack.comparison_.index else "other stack"
