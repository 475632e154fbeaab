"""One self-contained HTML page that says what a fitted stack is and what it is worth."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.files import atomic_write, refuse_existing, take_rows
from hpastack.metrics import cluster_bootstrap, f1_scores
from hpastack.parallel import progress_bar
from hpastack.stack import StackClassifier, StackSettings, load_stack, read_manifest

if TYPE_CHECKING:
    from hpastack.report.figures import ScoredFields

# Title, digits and meaning of each score; whether more is better.
_SCORES = {
    "macro_f1": ("Macro F1", 3, "over labels with positives; 1 is best", True),
    "macro_ap": ("Macro average precision", 3, "over labels with positives; 1 is best", True),
    "ece": (
        "Calibration error",
        4,
        "root mean square gap of probability and frequency, noise of bins subtracted; 0 is best",
        False,
    ),
}
# What they meant in stacks that do not say how many labels were scored.
_EARLIER_MEANINGS = {
    "macro_f1": "mean of all labels' F1; 1 is best",
    "ece": "mean gap of probability and frequency; 0 is best",
}
# Labels of each sort that get a curve of precision and recall.
_N_CURVES = 6
# At which figures are shown: their text is then as large as that of the page.
_PIXELS_PER_INCH = 106
# A change of F1 that gets the full tint.
_FULL_TINT = 0.05


_Rows = TypeVar("_Rows", pd.DataFrame, pd.Series)


def write_report(
    stack_folder: str | os.PathLike[str],
    targets: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    clusters: pd.Series | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write the report of a stack.

    Parameters
    ----------
    stack_folder : path-like
        A stack as `hpastack.StackClassifier.save` keeps it.
    targets : DataFrame of {0, 1}
        True labels of its training fields, indexed by image id (other fields
        are passed over), a column a label, named and ordered as in the stack.
    path : path-like
        The HTML file to write, in one rename; it needs no other file and no
        network.
    clusters : Series, optional
        Cluster of each training field, indexed by image id, for the interval
        of each label's F1. Left out where not known: no such intervals.
    overwrite : bool, default=False
        Whether an earlier file may be replaced.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    Path
        The report. The same stack and versions give the same bytes.

    Raises
    ------
    InputError
        If the file exists and `overwrite` is false, the folder is no stack, a
        training field of it has no label or cluster, labels or clusters are
        not those it was fitted on, or matplotlib or jinja2 is not installed.
    """
    # Here, so that the name can be imported without the extra.
    from hpastack.report._extra import jinja2
    from hpastack.report.figures import ScoredFields

    stack_folder, path = Path(stack_folder), Path(path)
    refuse_existing(path, overwrite)
    manifest, stack = read_manifest(stack_folder), load_stack(stack_folder)
    y = _true_labels(stack_folder, stack, targets)
    cluster = None if clusters is None else _true_clusters(stack_folder, stack, y, clusters)
    labels = stack.oof_labels_.to_numpy()
    found = ScoredFields(stack.labels_, y, labels, stack.oof_probabilities_.to_numpy(dtype=float))
    interval = None
    if cluster is not None and stack.n_bootstrap:
        interval = np.clip(
            cluster_bootstrap(
                lambda weights: f1_scores(y, labels, weights),
                cluster,
                n_draws=stack.n_bootstrap,
                seed=stack.seed_,
            ),
            0,
            1,
        )

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hpastack.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(score=_score, signed=_signed, count="{:,}".format)
    text = environment.get_template("stack.html").render(
        name=stack_folder.resolve().name,
        images=_images(found, stack, interval, progress),
        has_intervals=interval is not None,
        has_threshold_intervals="threshold_low" in stack.label_table_ and bool(stack.n_bootstrap),
        nested=manifest["version"] > 1,
        labels=_label_rows(stack.label_table_, interval),
        **_page(manifest, stack, cluster),
    )
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _true_labels(folder: Path, stack: StackClassifier, targets: pd.DataFrame) -> np.ndarray:
    y = _of_stack(folder, stack, targets, "labels")
    if list(targets.columns) != stack.labels_:
        raise InputError(f"{folder} names other labels than this workspace's vocabulary")
    # Figures of today's labels beside scores of other ones would contradict each other.
    table = stack.label_table_
    f1 = f1_scores(y, stack.oof_labels_.to_numpy())
    same = np.isclose(f1, table["stack_f1"]) & (y.sum(axis=0) == table["positives"].to_numpy())
    if not same.all():
        raise InputError(
            f"{folder} was fitted on other labels of these fields than this workspace has "
            f"(differing in {shorten(table.index[~same])}); fit the stack again"
        )
    return y


def _true_clusters(
    folder: Path, stack: StackClassifier, y: np.ndarray, clusters: pd.Series
) -> np.ndarray:
    cluster = _of_stack(folder, stack, clusters, "clusters")
    holders = [len(np.unique(cluster[y[:, k] == 1])) for k in range(y.shape[1])]
    if holders != stack.label_table_["clusters"].tolist():
        raise InputError(
            f"{folder} was fitted on other clusters than this workspace has; fit the stack again"
        )
    return cluster


def _of_stack(folder: Path, stack: StackClassifier, table: _Rows, what: str) -> np.ndarray:
    """Return what this workspace has for the training fields of a stack, in their order."""
    name = f"{folder}: the {what} of this workspace"
    rows = take_rows(table, stack.oof_labels_.index, name, "report it where it was fitted")
    return rows.to_numpy()


def _start(table: pd.DataFrame) -> str:
    return "consensus" if "consensus_f1" in table else "prior"


def _images(
    found: ScoredFields, stack: StackClassifier, interval: np.ndarray | None, progress: bool
) -> dict[str, dict[str, Any]]:
    from hpastack.report import figures

    table = stack.label_table_
    drawings: dict[str, Callable[[], Any]] = {
        "f1": partial(figures.f1_figure, table, _start(table), interval),
        "reliability": partial(figures.reliability_figure, found),
        "prevalence": partial(figures.prevalence_figure, table, len(found.y)),
        "confusions": partial(figures.confusion_figure, found),
    }
    chosen = _curves(stack)
    if chosen:
        drawings["precision_recall"] = partial(figures.precision_recall_figure, found, chosen)
    images = {}
    with figures.style():
        for name in progress_bar(drawings, what="figures", unit="figure", show=progress):
            figure = drawings[name]()
            images[name] = {
                "base64": base64.b64encode(figures.png(figure)).decode("ascii"),
                "width": round(_PIXELS_PER_INCH * figure.get_figwidth()),
            }
    return images


def _curves(stack: StackClassifier) -> list[int]:
    """Return the commonest labels, then the rarest that have boosters, the rarest last."""
    positives = stack.label_table_["positives"].to_numpy()
    ranked = [int(k) for k in np.argsort(-positives, kind="stable") if positives[k]]
    boosted = stack.boosted_labels()
    rest = [k for k in ranked[_N_CURVES:] if k in boosted]
    return ranked[:_N_CURVES] + rest[-_N_CURVES:]


def _page(
    manifest: dict[str, Any], stack: StackClassifier, cluster: np.ndarray | None
) -> dict[str, Any]:
    record, table, scores = manifest["record"], stack.label_table_, stack.cv_results_
    stores = record.get("stores", {})
    fold_sizes = np.bincount(stack.fold_)
    labels_are_counted = "n_labels_scored" in scores
    in_clusters = "" if cluster is None else f" in {len(np.unique(cluster)):,} clusters"
    n_features = len(stack.feature_names_in_) - len(stack.cnns) * len(stack.labels_)
    return {
        "summary": (
            f"{len(stack.fold_):,} training fields{in_clusters}, {len(stack.labels_)} labels, "
            f"{len(fold_sizes)} folds; CNNs: {len(stack.cnns)}, columns of features: "
            f"{n_features:,}; fitted with hpastack {manifest['hpastack']}."
        ),
        "notes": record.get("notes", []),
        "cards": [
            {
                "title": title,
                "digits": digits,
                "meaning": meaning if labels_are_counted else _EARLIER_MEANINGS.get(name, meaning),
                "score": scores[name],
                "interval": scores.get(f"{name}_interval"),
                "naive": scores[f"naive_{name}"],
            }
            for name, (title, digits, meaning, _) in _SCORES.items()
        ],
        "pools_rare_labels": labels_are_counted,
        "remarks": _remarks(stack),
        "verdict": _verdict(stack.comparison_, _start(table), scores),
        "comparison": _comparison_rows(stack.comparison_, stores),
        "label_sets": any(stores.get(cnn, {}).get("content") == "label_sets" for cnn in stack.cnns),
        "start": _start(table),
        "rarest_shown": len(_curves(stack)) > _N_CURVES,
        "stores": [
            {
                "name": name,
                "kind": made.get("kind", ""),
                "content": made.get("content", ""),
                "fold_plan": made.get("fold_plan", "")[:12],
                "made_from": made.get("made_from", "")[:12],
                "recipe": ", ".join(
                    f"{key}: {_text(value)}" for key, value in made.get("recipe", {}).items()
                ),
            }
            for name, made in stores.items()
        ],
        "fold_plan": manifest["fold_plan"],
        "fold_sizes": ", ".join(f"{size:,}" for size in fold_sizes),
        "settings": {
            "Recipe" if "recipe" in record else "Parameters": {
                key: _text(value)
                for key, value in record.get("recipe", manifest["parameters"]).items()
            },
            "Versions": {"hpastack": manifest["hpastack"], **manifest["made_with"]},
        },
    }


def _remarks(stack: StackClassifier) -> list[str]:
    table = stack.label_table_
    remarks = []
    absent = table.index[table["positives"] == 0]
    scores = stack.cv_results_
    if len(absent) and "n_labels_scored" in scores:
        remarks.append(
            f"{scores['n_labels_scored']} of {len(table)} labels had positives; macro F1, macro "
            f"average precision and calibration error are over these. No field has "
            f"{shorten(absent)}: with F1 0 for these, as in the competition, macro F1 is "
            f"{scores['macro_f1_all_labels']:.3f}."
        )
    elif len(absent):
        remarks.append(f"No field carries {shorten(absent)}: F1 is 0, which counts in macro F1.")
    boosted = stack.boosted_labels()
    left = [name for k, name in enumerate(table.index)
            if table["positives"].iloc[k] and k not in boosted]  # fmt: skip
    if left and stack.members_:
        least = StackSettings.of(stack).least_positives
        remarks.append(
            f"Too rare for boosters of their own, so that the {_start(table)} stands "
            f"(fewer than {least} positives or {stack.min_clusters} clusters in "
            f"the smallest training part): {shorten(left)}."
        )
    return remarks


def _verdict(comparison: pd.DataFrame, start: str, scores: dict[str, Any]) -> str:
    before, after = (comparison[list(_SCORES)].loc[name].to_numpy() for name in (start, "stack"))
    parts = []
    for (name, (title, *_)), change in zip(_SCORES.items(), after - before):
        part = f"{title[0].lower() + title[1:]} {_signed(change, 4)}"
        interval = scores.get(f"gain_{name}_interval")
        if interval:
            part += f" (95 % interval {_signed(interval[0], 4)} to {_signed(interval[1], 4)})"
        parts.append(part)
    return f"From {start} to stack: {', '.join(parts)}."


def _comparison_rows(comparison: pd.DataFrame, stores: dict[str, Any]) -> list[dict[str, Any]]:
    cells: dict[str, list[dict[str, Any]]] = {str(name): [] for name in comparison.index}
    for score, (*_, more_is_better) in _SCORES.items():
        values = comparison[score]
        best = values.max() if more_is_better else values.min()
        full = 1.0 if more_is_better else max(values.max(), np.finfo(float).tiny)
        for name, value in values.items():
            share = 0.0 if math.isnan(value) else value / full
            cells[str(name)].append({"value": value, "share": share, "best": value == best})
    return [
        {
            "name": name,
            "content": stores.get(name, {}).get("content", "").replace("_", " "),
            "cells": row,
        }
        for name, row in cells.items()
    ]


def _label_rows(table: pd.DataFrame, interval: np.ndarray | None) -> list[dict[Hashable, Any]]:
    start = _start(table)
    rows = []
    for k, (name, row) in enumerate(table.to_dict(orient="index").items()):
        change = row["stack_f1"] - row[f"{start}_f1"]
        rows.append(
            row
            | {
                "name": name,
                "start_f1": row[f"{start}_f1"],
                "start_ap": row[f"{start}_ap"],
                "change": change,
                "tint": _tint(change),
                "low": math.nan if interval is None else interval[0][k],
                "high": math.nan if interval is None else interval[1][k],
            }
        )
    return rows


def _tint(change: float) -> str:
    colour = "0 114 178" if change > 0 else "230 159 0"
    return f"rgb({colour} / {0.45 * min(1.0, abs(change) / _FULL_TINT):.2f})"


def _score(value: float | None, digits: int = 3) -> str:
    # A score that is not defined is NaN, and None when it comes from a manifest.
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _signed(value: float, digits: int = 3) -> str:
    text = f"{value:+.{digits}f}".replace("-", "−")  # a true minus sign is as wide as a plus
    return "–" if math.isnan(value) else text if text.strip("+−0.") else text[1:]


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
