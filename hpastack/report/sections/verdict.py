"""Performance of the stack in one sentence, three scores and one reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hpastack.errors import listed
from hpastack.metrics import reliability_bins
from hpastack.report.charts import reliability_chart
from hpastack.report.facts import Facts
from hpastack.report.numbers import score_text, signed_text
from hpastack.report.sections.warnings import remarks, warnings
from hpastack.report.svg import interval_strip, known

#: Title, decimals and meaning of each score on a card.
CARDS = {
    "macro_f1": ("Macro F1", 3, "mean over labels with positives; 1 is best"),
    "macro_ap": ("Macro average precision", 3, "mean over labels with positives; 1 is best"),
    "ece": (
        "Calibration error",
        4,
        "root mean squared gap between predicted probability and observed frequency, sampling "
        "noise subtracted; 0 is best",
    ),
}
# Their meaning in stacks of earlier versions, without the number of scored labels.
_EARLIER_MEANINGS = {
    "macro_f1": "mean F1 of all labels; 1 is best",
    "ece": "mean gap between predicted probability and observed frequency; 0 is best",
}
#: Name of each score of a comparison in a sentence, and whether higher is better.
SCORE_NAMES = {
    "macro_f1": ("macro F1", True),
    "macro_ap": ("macro average precision", True),
    "ece": ("calibration error", False),
    "brier": ("Brier score", False),
    "log_loss": ("log loss", False),
}


def context(facts: Facts) -> dict[str, Any]:
    """Return the verdict, warnings, score cards and the reliability diagram of all labels."""
    scores = facts.stack.cv_results_
    table = facts.stack.comparison_
    intervals = getattr(facts.stack, "comparison_intervals_", None)
    return {
        "sentence": verdict_sentence(table, facts.stack.members_, scores, intervals),
        "gain": _gain(table, facts.start, scores),
        "warnings": warnings(facts),
        "remarks": remarks(facts),
        "nested": facts.manifest["version"] > 1,
        "pools_rare_labels": facts.counts_labels,
        "cards": [_card(facts, name) for name in CARDS],
        "reliability": reliability_chart(
            reliability_bins(facts.y.ravel(), facts.probabilities.ravel(), n_bins=20),
            "Reliability, all labels pooled",
            unit="pair of field and label",
            units="pairs of field and label",
        ),
    }


def verdict_sentence(
    comparison: pd.DataFrame,
    members: Sequence[str],
    scores: dict[str, Any],
    intervals: pd.DataFrame | None = None,
) -> str:
    """Name the best predictor and, if it is not the stack, explain why.

    Parameters
    ----------
    comparison : DataFrame
        `hpastack.StackClassifier.comparison_`.
    members : list of str
        Members of the stack.
    scores : dict
        `hpastack.StackClassifier.cv_results_`.
    intervals : DataFrame, optional
        `hpastack.StackClassifier.comparison_intervals_`.

    Returns
    -------
    str
    """
    f1 = comparison["macro_f1"]
    if f1.isna().all():
        return "No label has positives, so predictors cannot be compared."
    stack, best = float(f1["stack"]), str(f1.idxmax())
    if stack >= f1.max():
        interval = scores.get("macro_f1_interval")
        range_text = ""
        if interval:
            range_text = f" (95 % interval {score_text(interval[0])} to {score_text(interval[1])})"
        return f"The stack is the best predictor, with macro F1 {score_text(stack)}{range_text}."
    name = f"the {best}" if best in ("consensus", "prior") else best
    if best in members:
        name = f"{best} alone"
    lead = signed_text(float(f1[best]) - stack)
    why = (
        "The stack weights its members by log loss on other folds, not by macro F1; and the score "
        "of the best of several predictors is optimistic, because it was selected by this score."
    )
    if intervals is not None and best in intervals.index:
        gain_low, gain_high = (
            float(intervals[f"macro_f1_gain_{end}"][best]) for end in ("low", "high")
        )
        lead += f", 95 % interval {signed_text(-gain_high)} to {signed_text(-gain_low)}"
        if gain_low <= 0 <= gain_high:
            why = f"The difference is within sampling variation: its interval includes 0. {why}"
    ahead = [score for score, (_, more) in SCORE_NAMES.items()
             if _better(comparison[score][best], comparison[score]["stack"], more)]  # fmt: skip
    behind = [text for score, (text, more) in SCORE_NAMES.items()
              if _better(comparison[score]["stack"], comparison[score][best], more)]  # fmt: skip
    sentence = (
        f"The best predictor is {name}, with macro F1 {score_text(float(f1[best]))} against "
        f"{score_text(stack)} for the stack ({lead}); it is better on {len(ahead)} of "
        f"{len(SCORE_NAMES)} scores"
    )
    if behind:
        sentence += f", the stack on {listed(behind)}"
    return f"{sentence}. {why}"


def _better(a: float, b: float, more_is_better: bool) -> bool:
    return a > b if more_is_better else a < b


def _gain(comparison: pd.DataFrame, start: str, scores: dict[str, Any]) -> str:
    parts = []
    for name in CARDS:
        change = float(comparison[name]["stack"] - comparison[name][start])
        part = f"{SCORE_NAMES[name][0]} {signed_text(change, 4)}"
        interval = scores.get(f"gain_{name}_interval")
        if interval:
            part += (
                f" (95 % interval {signed_text(interval[0], 4)} to {signed_text(interval[1], 4)})"
            )
        parts.append(part)
    return f"Change from the {start} to the stack: {', '.join(parts)}."


def _card(facts: Facts, name: str) -> dict[str, Any]:
    scores = facts.stack.cv_results_
    title, digits, meaning = CARDS[name]
    interval = scores.get(f"{name}_interval") or (None, None)
    # The axis covers only these values: on one from 0 to 1 the two scores would coincide.
    values = [v for v in (scores[name], scores[f"naive_{name}"], *interval) if known(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.4 * (high - low) or 0.1
    return {
        "title": title,
        "digits": digits,
        "meaning": meaning if facts.counts_labels else _EARLIER_MEANINGS.get(name, meaning),
        "score": scores[name],
        "interval": scores.get(f"{name}_interval"),
        "naive": scores[f"naive_{name}"],
        "strip": interval_strip(
            scores[name], *interval, other=scores[f"naive_{name}"],
            ends=(max(0.0, low - margin), high + margin), width=240, css="strip wide",
        ),
    }  # fmt: skip
