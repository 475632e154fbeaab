"""The charts that several sections show."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from hpastack.metrics import ReliabilityBins, precision_recall, thinned_curve
from hpastack.report.svg import Chart, number

# Radius of the fullest bin but one; of the fullest at most, as it often holds nearly all fields;
# and of any at least.
_USUAL, _LARGEST, _SMALLEST = 7.0, 9.0, 2.6


def reliability_chart(bins: ReliabilityBins, label: str, unit: str = "fields") -> Markup:
    """Return observed frequency against predicted probability.

    Parameters
    ----------
    bins : ReliabilityBins
    label : str
        What the chart is of.
    unit : str, default="fields"
        What the bins hold.

    Returns
    -------
    Markup
        Area of a mark by what its bin holds; vertical lines are intervals; dashed: what
        perfect probabilities would give.
    """
    chart = Chart(
        f"{label}: " + _sentence(bins), x_title="predicted probability", y_title="observed"
    )
    chart.rule((0, 0), (1, 1))
    usual = np.sort(bins.count)[-2:].min(initial=bins.count.max(initial=1))
    rows = list(zip(bins.predicted, bins.observed, bins.low, bins.high, bins.count))
    for x, _, low, high, _ in rows:
        chart.line((x, x), (low, high), css="interval")
    for x, observed, low, high, count in rows:
        chart.point(
            x, observed,
            radius=float(np.clip(_USUAL * np.sqrt(count / usual), _SMALLEST, _LARGEST)),
            title=f"predicted {x:.2f}, observed {observed:.2f} ({low:.2f} to {high:.2f}) among "
            f"{count:,} {unit}",
        )  # fmt: skip
    return chart.markup()


def precision_recall_chart(
    y: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, label: str
) -> Markup:
    """Return precision against recall of one label, with the point of its threshold.

    Parameters
    ----------
    y, labels : ndarray of {0, 1}, shape (n,)
        Annotated, with a positive, and predicted.
    probabilities : ndarray of float, shape (n,)
    label : str
        What the chart is of.

    Returns
    -------
    Markup
        Diamond: the predicted labels. Dashed: the precision of guessing.
    """
    recall, precision = thinned_curve(*precision_recall(y, probabilities))
    hits, n_predicted = int((y & labels).sum()), int(labels.sum())
    at = None
    said = "no field is predicted to have it"
    if n_predicted:
        at = hits / y.sum(), hits / n_predicted
        said = f"the threshold gives recall {at[0]:.2f} and precision {at[1]:.2f}"
    chart = Chart(f"{label}: {said}", x_title="recall", y_title="precision")
    chart.rule((0, float(y.mean())), (1, float(y.mean())))
    steps = "".join(
        f"H{number(chart.px(a))}V{number(chart.py(b))}" for a, b in zip(recall[1:], precision[1:])
    )
    start = f"M{number(chart.px(recall[0]))} {number(chart.py(precision[0]))}"
    chart.add(f'<path class="line" d="{start}{steps}"/>')
    if at is not None:
        chart.point(*at, radius=5, css="chosen", marker="diamond", title=said)
    return chart.markup()


def _sentence(bins: ReliabilityBins) -> str:
    if not len(bins.count):
        return "no fields"
    gap = np.abs(bins.predicted - bins.observed)
    worst = int(np.argmax(np.where(bins.count >= min(10, bins.count.max()), gap, -1)))
    return (
        f"largest gap at predicted {bins.predicted[worst]:.2f}, observed {bins.observed[worst]:.2f}"
    )
