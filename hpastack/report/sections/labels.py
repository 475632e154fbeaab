"""One row per label: number of positives, scores and their intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hpastack.metrics import squared_calibration_error
from hpastack.report.facts import Facts
from hpastack.report.svg import interval_strip


def context(facts: Facts) -> dict[str, Any]:
    """Return the rows of the table."""
    table, interval = facts.table, facts.f1_interval
    errors = label_calibration_errors(facts)
    systems = [facts.start, *facts.stack.members_]
    rows = []
    for k, row in enumerate(table.to_dict(orient="records")):
        low, high = (math.nan, math.nan) if interval is None else (interval[0][k], interval[1][k])
        before, after = row[f"{facts.start}_f1"], row["stack_f1"]
        positives, predicted = int(row["positives"]), int(row["predicted"])
        rows.append(
            {
                "number": k,
                "name": facts.names[k],
                "positives": positives,
                "clusters": int(row["clusters"]),
                "ap": row["stack_ap"],
                "f1_of": [row.get(f"{name}_f1", math.nan) for name in systems],
                "f1": after,
                "low": low,
                "high": high,
                "strip": interval_strip(after, low, high, other=before, width=80),
                "change": after - before,
                "threshold": row["threshold"],
                "threshold_low": row.get("threshold_low", math.nan),
                "threshold_high": row.get("threshold_high", math.nan),
                "ece": errors[k],
                "predicted": predicted,
                "excess": (predicted - positives) / positives if positives else math.nan,
            }
        )
    return {
        "rows": rows,
        "start": facts.start,
        "systems": systems,
        "has_intervals": interval is not None,
        "has_threshold_intervals": "threshold_low" in table and bool(facts.stack.n_bootstrap),
    }


def label_calibration_errors(facts: Facts) -> list[float]:
    """Calibration error of each label; NaN for a label without positives."""
    errors = []
    for k in range(len(facts.names)):
        squared = math.nan
        if facts.y[:, k].any():
            squared = squared_calibration_error(
                facts.y[:, [k]],
                facts.probabilities[:, [k]],
                clusters=facts.clusters,
                folds=facts.stack.fold_,
            )
        errors.append(float(np.sqrt(max(squared, 0))) if squared == squared else math.nan)
    return errors
