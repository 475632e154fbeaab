"""Learning curves of the fine-tuned CNNs of the stack, one per fold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from hpastack.errors import InputError
from hpastack.files import read_text_table
from hpastack.report.facts import Facts
from hpastack.report.svg import Chart, ticks
from hpastack.report.symbols import legend, symbol

# Table of epochs in the folder of a CNN, and its columns that are plotted.
_HISTORY = "history.csv"
_CURVES = {
    "loss": ("Training loss", "loss on training fields"),
    "watched_macro_ap": ("Score of validation fields", "macro average precision"),
    "macro_ap": ("Score of held-out fields", "macro average precision"),
}


def context(facts: Facts) -> dict[str, Any] | None:
    """Return the curves of each CNN with a table of epochs."""
    if "models" not in facts.places:
        return None
    trained = []
    for name in facts.stack.cnns:
        path = facts.places["models"] / name / _HISTORY
        if path.is_file():
            trained.append(_of_cnn(name, read_history(path)))
    return {"cnns": trained} if trained else None


def read_history(path: Path) -> pd.DataFrame:
    """Read the table of epochs of a CNN.

    Parameters
    ----------
    path : Path
        ``history.csv`` of a CNN.

    Returns
    -------
    DataFrame
        ``fold``, ``epoch``, loss and scores as numbers, sorted by fold and epoch.

    Raises
    ------
    InputError
        If the file is not a table of epochs.
    """
    table = read_text_table(path)
    missing = [name for name in ("fold", "epoch") if name not in table]
    if missing:
        raise InputError(f"{path}: no column {missing[0]}; it is not a table of epochs")
    try:
        table = table.replace("", "nan").astype(float)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return table.astype({"fold": int, "epoch": int}).sort_values(["fold", "epoch"])


def _of_cnn(name: str, history: pd.DataFrame) -> dict[str, Any]:
    folds = history["fold"].unique().tolist()
    last = history.groupby("fold").last()
    rows = [
        {
            "fold": fold,
            "epochs": int(last.loc[fold, "epoch"]) + 1,
            "values": [float(last.loc[fold, column]) for column in _CURVES if column in history],
        }
        for fold in folds
    ]
    return {
        "name": name,
        "charts": [
            {"title": title, "chart": _chart(name, history, column, title, y_title)}
            for column, (title, y_title) in _CURVES.items()
            if column in history
        ],
        "legend": legend([f"fold {fold}" for fold in folds], lines=True),
        "columns": [_CURVES[column][0].lower() for column in _CURVES if column in history],
        "rows": rows,
    }


def _chart(name: str, history: pd.DataFrame, column: str, title: str, y_title: str) -> Markup:
    known = history.dropna(subset=[column])
    last_epoch = max(int(history["epoch"].max()), 1)
    highest = float(known[column].max()) if len(known) else 1.0
    top = highest * 1.05 or 1.0
    ends = known.groupby("fold")[column].last()
    at_end = f", {ends.min():.3f} to {ends.max():.3f} in the last epoch" if len(ends) else ""
    chart = Chart(
        f"{title} of {name} by epoch, one line per fold{at_end}",
        x=(1, last_epoch + 1),
        y=(0, top),
        x_title="epoch",
        y_title=y_title,
        x_ticks=[tick for tick in ticks(1, last_epoch + 1) if tick == math.floor(tick)],
    )
    for number, (fold, rows) in enumerate(known.groupby("fold")):
        css, marker = symbol(number)
        epochs, values = rows["epoch"] + 1, rows[column]
        chart.line(epochs, values, css=css.replace("s", "l"))
        tip = f"fold {fold}, epoch {epochs.iloc[-1]}: {values.iloc[-1]:.3f}"
        chart.point(epochs.iloc[-1], values.iloc[-1], css=css, marker=marker, title=tip)
    return chart.markup()
