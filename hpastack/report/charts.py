"""Charts shared by several sections."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from hpastack.errors import counted
from hpastack.metrics import ReliabilityBins, precision_recall, thinned_curve
from hpastack.report.svg import Chart, number

# Radius of the second largest bin; maximum radius of the largest, which often contains nearly all
# fields; and minimum radius.
_USUAL, _LARGEST, _SMALLEST = 7.0, 9.0, 2.6


def reliability_chart(
    bins: ReliabilityBins, label: str, unit: str = "field", units: str | None = None
) -> Markup:
    """Chart of observed frequency against predicted probability.

    Parameters
    ----------
    bins : ReliabilityBins
    label : str
        Title of the chart for screen readers.
    unit : str, default="field"
        What is counted in the bins, in the singular.
    units : str, optional
        The plural; default: `unit` and "s".

    Returns
    -------
    Markup
        Marker areas show the counts of the bins; vertical lines are intervals; the dashed line
        is perfect calibration.
    """
    chart = Chart(
        f"{label}: {_largest_gap(bins)}", x_title="predicted probability", y_title="observed"
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
            f"{counted(int(count), unit, units)}",
        )  # fmt: skip
    return chart.markup()


def precision_recall_chart(
    y: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, label: str
) -> Markup:
    """Chart of precision against recall of one label, with the point at its threshold.

    Parameters
    ----------
    y, labels : ndarray of {0, 1}, shape (n,)
        Whether the label is annotated (in at least one field) and predicted.
    probabilities : ndarray of float, shape (n,)
    label : str
        Title of the chart for screen readers.

    Returns
    -------
    Markup
        Diamond: the predicted labels. Dashed line: the precision of a random ranking.
    """
    recall, precision = thinned_curve(*precision_recall(y, probabilities))
    hits, n_predicted = int((y & labels).sum()), int(labels.sum())
    at_threshold = None
    summary = "the label is predicted for no field"
    if n_predicted:
        at_threshold = hits / y.sum(), hits / n_predicted
        summary = f"recall {at_threshold[0]:.2f}, precision {at_threshold[1]:.2f} at the threshold"
    chart = Chart(f"{label}: {summary}", x_title="recall", y_title="precision")
    chart.rule((0, float(y.mean())), (1, float(y.mean())))
    steps = "".join(
        f"H{number(chart.px(a))}V{number(chart.py(b))}" for a, b in zip(recall[1:], precision[1:])
    )
    start = f"M{number(chart.px(recall[0]))} {number(chart.py(precision[0]))}"
    chart.add(f'<path class="line" d="{start}{steps}"/>')
    if at_threshold is not None:
        chart.point(*at_threshold, radius=5, css="chosen", marker="diamond", title=summary)
    return chart.markup()


def _largest_gap(bins: ReliabilityBins) -> str:
    if not len(bins.count):
        return "no fields"
    gap = np.abs(bins.predicted - bins.observed)
    worst = int(np.argmax(np.where(bins.count >= min(10, bins.count.max()), gap, -1)))
    return (
        f"largest gap at predicted {bins.predicted[worst]:.2f}, observed {bins.observed[worst]:.2f}"
    )
