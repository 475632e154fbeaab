"""Everything the stack is made of, and other stacks, by the same scores."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from hpastack.report.facts import Facts
from hpastack.report.sections.verdict import SCORE_NAMES
from hpastack.report.svg import interval_strip

_DIGITS = {"macro_f1": 3, "macro_ap": 3, "ece": 4, "brier": 4, "log_loss": 4}


def context(facts: Facts) -> dict[str, Any]:
    """Return one row per predictor."""
    comparison = facts.stack.comparison_
    stores = facts.record.get("stores", {})
    rows = [_row(facts, comparison, str(name), stores) for name in comparison.index]
    return {
        "scores": [SCORE_NAMES[name][0] for name in SCORE_NAMES if name in comparison],
        "rows": rows,
        "label_sets": any(
            stores.get(cnn, {}).get("content") == "label_sets" for cnn in facts.stack.cnns
        ),
    }


def _row(
    facts: Facts, comparison: pd.DataFrame, name: str, stores: dict[str, Any]
) -> dict[str, Any]:
    cells = []
    for score, (_, more) in SCORE_NAMES.items():
        if score not in comparison:
            continue
        value, column = float(comparison[score][name]), comparison[score]
        best = column.max() if more else column.min()
        interval = facts.stack.cv_results_.get(f"{score}_interval") if name == "stack" else None
        low, high = interval or (math.nan, math.nan)
        end = 1.0 if more else 1.1 * max(float(column.max()), high if high == high else 0.0)
        cells.append(
            {
                "value": value,
                "digits": _DIGITS[score],
                "best": value == best,
                "low": low,
                "high": high,
                "strip": interval_strip(value, low, high, ends=(0, end or 1)),
            }
        )
    made = stores.get(name, {})
    return {"name": name, "kind": _kind(facts, name), "cells": cells,
            "content": made.get("content", "").replace("_", " ")}  # fmt: skip


def _kind(facts: Facts, name: str) -> str:
    if name in facts.stack.cnns:
        return "CNN"
    if name in facts.stack.members_:
        return f"{facts.start} + member"
    return {"stack": "stack", "prior": "prevalence"}.get(name, "mean")
