"""Figures of the report, drawn with matplotlib's object interface and returned as SVG."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from hpastack.errors import InputError

try:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
except ImportError:
    raise InputError(
        "the report needs matplotlib and jinja2; pip install 'hpastack[report]'"
    ) from None

# Two colours that people with any colour vision can tell apart (Okabe and Ito).
_START, _STACK = "#E69F00", "#0072B2"


def label_figure(table: pd.DataFrame, start: str) -> str:
    """Draw the F1 of every label before and after stacking, commonest label on top.

    Parameters
    ----------
    table : DataFrame
        `StackClassifier.label_table_`.
    start : {"consensus", "prior"}
        What the boosters started from.

    Returns
    -------
    str
        SVG.
    """
    table = table.sort_values("positives")
    rows = np.arange(len(table))
    figure = Figure(figsize=(7.5, 0.26 * len(table) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.hlines(rows, table[f"{start}_f1"], table["stack_f1"], color="0.7")
    axes.plot(table[f"{start}_f1"], rows, "o", color=_START, label=start)
    axes.plot(table["stack_f1"], rows, "o", color=_STACK, label="stack")
    names = [f"{name} ({n:,})" for name, n in zip(table.index, table["positives"])]
    axes.set_yticks(rows, names)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.7, len(table) - 0.3))
    axes.set_xlabel("F1, out of fold (in brackets: positives)")
    axes.grid(axis="x", color="0.9")
    axes.legend(loc="lower right")
    return _svg(figure)


def reliability_figure(y: np.ndarray, probabilities: np.ndarray) -> str:
    """Draw how often a label is there against how probable the stack calls it.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    probabilities : ndarray of float, shape (n, n_labels)
        Out of fold; all labels are pooled.

    Returns
    -------
    str
        SVG.
    """
    edges = np.linspace(0, 1, 11)
    bins = np.clip(np.digitize(probabilities.ravel(), edges) - 1, 0, 9)
    counts = np.bincount(bins, minlength=10)
    filled = counts > 0
    said = np.bincount(bins, probabilities.ravel(), minlength=10)[filled] / counts[filled]
    found = np.bincount(bins, y.ravel(), minlength=10)[filled] / counts[filled]
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", label="perfect")
    axes.plot(said, found, "o-", color=_STACK, label="stack, all labels")
    axes.set(xlabel="probability given", ylabel="share of fields with the label", aspect="equal")
    axes.legend(loc="upper left")
    return _svg(figure)


def prevalence_figure(table: pd.DataFrame) -> str:
    """Draw how many fields get a label against how many carry it.

    Parameters
    ----------
    table : DataFrame
        `StackClassifier.label_table_`.

    Returns
    -------
    str
        SVG.
    """
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    top = 2 * max(table["positives"].max(), table["predicted"].max(), 1)
    axes.plot([0.5, top], [0.5, top], color="0.7")
    # Half a field stands for none on the logarithmic scale.
    axes.plot(
        table["positives"].clip(lower=0.5), table["predicted"].clip(lower=0.5), "o", color=_STACK
    )
    axes.set(xscale="log", yscale="log", xlim=(0.4, top), ylim=(0.4, top), aspect="equal")
    axes.set(xlabel="fields that carry the label", ylabel="fields that get it")
    return _svg(figure)


def confusion_figure(y: np.ndarray, labels: np.ndarray, names: list[str]) -> str:
    """Draw which label is given instead of a missed one.

    Parameters
    ----------
    y, labels : ndarray of {0, 1}, shape (n, n_labels)
        True and given labels.
    names : list of str

    Returns
    -------
    str
        SVG; a row a missed label, a column a label given though not there, as
        a share of the fields where the row's label was missed.
    """
    missed = ((y == 1) & (labels == 0)).astype(float)
    extra = ((y == 0) & (labels == 1)).astype(float)
    n_missed = missed.sum(axis=0)[:, None]
    share = np.divide(missed.T @ extra, n_missed, out=np.zeros((len(names),) * 2),
                      where=n_missed > 0)  # fmt: skip
    figure = Figure(figsize=(8.5, 7.5), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="viridis", vmin=0, vmax=max(0.3, share.max()))
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="given though not there", ylabel="missed")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the fields where it was missed")
    return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # Without a date and with a fixed salt, the same stack gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "hpastack", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
