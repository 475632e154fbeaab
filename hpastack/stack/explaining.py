"""Explanations of predictions: the contribution of each column to the log-odds of a label.

SHAP values of the trees, as their libraries compute them, and the terms of
logistic regressions, weighted as in the blend and averaged over folds. Together
with the consensus they add up to the blended log-odds of the stack.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hpastack.errors import InputError, shorten
from hpastack.files import atomic_write
from hpastack.parallel import Workers
from hpastack.stack.column_blocks import ColumnBlocks, sets_of_columns
from hpastack.stack.columns import FoldColumns
from hpastack.stack.fitted import Fitted
from hpastack.stack.inputs import checked_table
from hpastack.stack.members import FOREST, POOLED
from hpastack.stack.pairs import AMONG_LABELS, SPREAD, pair_names
from hpastack.stack.seen_columns import Seen, SeenColumns

CONSENSUS = "consensus"
#: What the trees add on average, independent of the columns.
TREES = "trees"


class FittedStack(Protocol):
    """The part of a fitted `hpastack.StackClassifier` that explanations use."""

    cnns: Sequence[str]
    logits: Sequence[str]
    scores: Sequence[str]
    embeddings: Sequence[str]
    members_: Sequence[str]
    bags: int
    n_jobs: int | None
    labels_: list[str]
    thresholds_: np.ndarray
    fitted_: list[Fitted]

    def sorted_inputs(self, X: Any) -> ColumnBlocks: ...  # noqa: D102

    def predict_proba(self, X: Any) -> Any: ...  # noqa: D102

    def predict(self, X: Any) -> Any: ...  # noqa: D102


def explain(
    stack: FittedStack, X: Any, labels: Sequence[str | int] | None = None
) -> dict[str, pd.DataFrame]:
    """Split the log-odds of labels into the contributions of columns.

    Parameters
    ----------
    stack : hpastack.StackClassifier
        Fitted.
    X : DataFrame or array-like, shape (n, n_columns)
        As in `StackClassifier.predict_proba`.
    labels : sequence of str or int, optional
        Names or numbers of the labels. Default: all.

    Returns
    -------
    dict of str to DataFrame, shape (n, n_parts)
        By name of the label, indexed as X. First ``consensus``: its log-odds,
        averaged over folds. Then the contribution of each column through the
        members: the label's own columns (``<cnn>__<label id>``), ``consensus
        of <label name>``, features by their names, embeddings by theirs (the
        sum over their components). Last ``trees``: what the members add on
        average. Columns that no booster used are omitted. The parts of a row
        add up to the blended log-odds, before calibration, averaged over sets
        of folds.

    Raises
    ------
    InputError
        If a label is unknown, X does not match the stack, or a column of X has
        the name of another part.

    Notes
    -----
    Calibration maps the log-odds of each label by a monotonic curve, which
    keeps their order; it is not split up.

    References
    ----------
    .. [1] S. M. Lundberg et al., "From local explanations to global
       understanding with explainable AI for trees", Nat. Mach. Intell. 2,
       56-67, 2020. :doi:`10.1038/s42256-019-0138-9`
    """
    chosen = _label_numbers(stack, labels)
    table = checked_table(X)
    inputs = stack.sorted_inputs(X)
    names = _shared_names(stack, table)
    parts_of_others = {CONSENSUS, TREES, *stack.embeddings, *SPREAD, *AMONG_LABELS}
    clashing = [name for name in names if name in parts_of_others]
    if clashing:
        raise InputError(
            f"columns of X have names of parts of an explanation: {shorten(clashing)}; rename "
            "them and fit again"
        )
    parts: dict[int, list[pd.DataFrame]] = {label: [] for label in chosen}
    with threadpool_limits(limits=1, user_api="blas"):
        for fitted in stack.fitted_:
            for label, of_label in _explained(stack, fitted, inputs, names, chosen):
                parts[label].append(of_label.set_axis(table.index))
    explained: dict[str, pd.DataFrame] = {}
    for label, of_sets in parts.items():
        total = of_sets[0]
        for of_set in of_sets[1:]:
            total = total.add(of_set, fill_value=0.0)
        middle = [name for name in total.columns if name not in (CONSENSUS, TREES)]
        explained[stack.labels_[label]] = total[[CONSENSUS, *middle, TREES]] / len(of_sets)
    return explained


def column_importance(explained: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rank the columns of each label by how much they change its log-odds.

    Parameters
    ----------
    explained : dict of str to DataFrame
        From `explain`.

    Returns
    -------
    DataFrame
        ``label``, ``column``, ``mean_absolute`` and ``mean`` of the
        contribution of the column (log-odds), in descending order for each
        label. The consensus and the mean of the trees are not listed.

    Examples
    --------
    >>> parts = pd.DataFrame({"consensus": [1, 1], "a": [0.5, -0.5], "b": [1, 2], "trees": [0, 0]})
    >>> column_importance({"Nucleus": parts})
         label column  mean_absolute  mean
    0  Nucleus      b            1.5   1.5
    1  Nucleus      a            0.5   0.0
    """
    rows = []
    for label, parts in explained.items():
        columns = parts.drop(columns=[CONSENSUS, TREES])
        ranked = columns.abs().mean().sort_values(ascending=False, kind="stable")
        for name, size in ranked.items():
            rows.append((label, name, float(size), float(columns[name].mean())))
    return pd.DataFrame(rows, columns=["label", "column", "mean_absolute", "mean"])


def field_reasons(stack: FittedStack, X: Any, *, n_reasons: int = 5) -> pd.DataFrame:
    """Return the largest contributions of columns to each predicted label of each field.

    Parameters
    ----------
    stack : hpastack.StackClassifier
        Fitted.
    X : DataFrame, shape (n, n_columns)
        As in `explain`.
    n_reasons : int, default=5
        Number of columns per field and label.

    Returns
    -------
    DataFrame
        ``image_id``, ``label``, ``probability``, ``threshold``, ``rank``
        (from 1), ``column``, ``adds`` (log-odds) and ``value`` (of the column
        in X; NaN if it is not a column of X). The consensus is one of the
        columns.
    """
    table = checked_table(X)
    probabilities, predicted = stack.predict_proba(table), stack.predict(table)
    rows = []
    for number, name in enumerate(stack.labels_):
        image_ids = table.index[predicted[name].to_numpy() == 1]
        if not len(image_ids):
            continue
        parts = explain(stack, table.loc[image_ids], [number])[name].drop(columns=TREES)
        sizes = parts.to_numpy()
        order = np.argsort(-np.abs(sizes), axis=1, kind="stable")[:, :n_reasons]
        for row, image_id in enumerate(image_ids):
            for rank, column in enumerate(order[row], start=1):
                part = parts.columns[column]
                value = table.at[image_id, part] if part in table.columns else np.nan
                rows.append(
                    (image_id, name, probabilities.at[image_id, name], stack.thresholds_[number],
                     rank, part, sizes[row, column], value)
                )  # fmt: skip
    columns = ["image_id", "label", "probability", "threshold", "rank", "column", "adds", "value"]
    return pd.DataFrame(rows, columns=columns)


def write_explanations(
    stack: FittedStack,
    train: pd.DataFrame,
    test: pd.DataFrame,
    prefix: str | os.PathLike[str],
    *,
    n_fields: int = 2000,
    seed: int = 0,
) -> list[Path]:
    """Write the importance of columns for each label, and the reasons for predicted labels.

    Parameters
    ----------
    stack : hpastack.StackClassifier
        Fitted.
    train : DataFrame
        Columns of the training fields. The importance is computed on a random
        sample of `n_fields` of them.
    test : DataFrame
        Columns of new fields; may have no rows.
    prefix : path-like
        ``<prefix>_importance.csv`` and, if there are new fields,
        ``<prefix>_reasons.csv`` are written, each atomically.
    n_fields : int, default=2000
    seed : int, default=0

    Returns
    -------
    list of Path
        The files written.
    """
    rows = np.random.default_rng(seed).permutation(len(train))[:n_fields]
    tables = {"importance": column_importance(explain(stack, train.iloc[np.sort(rows)]))}
    if len(test):
        tables["reasons"] = field_reasons(stack, test)
    written = []
    for name, table in tables.items():
        path = Path(f"{prefix}_{name}.csv")
        with atomic_write(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
        written.append(path)
    return written


def _label_numbers(stack: FittedStack, labels: Sequence[str | int] | None) -> list[int]:
    if labels is None:
        return list(range(len(stack.labels_)))
    numbers, unknown = [], []
    for label in labels:
        if isinstance(label, str) and label in stack.labels_:
            numbers.append(stack.labels_.index(label))
        elif not isinstance(label, str) and 0 <= int(label) < len(stack.labels_):
            numbers.append(int(label))
        else:
            unknown.append(repr(label))
    if unknown:
        raise InputError(
            f"the stack has no label {shorten(unknown)}; it has {shorten(stack.labels_, 30)}"
        )
    return numbers


def _shared_names(stack: FittedStack, table: pd.DataFrame) -> list[str]:
    """Return the names of the columns that labels share, without the embeddings."""
    names = [str(name) for name in getattr(stack, "feature_names_in_", table.columns)]
    of_sets = sets_of_columns(names, len(stack.labels_), stack)
    features = [name for name, of_set in zip(names, of_sets) if of_set is None]
    margins = [f"consensus of {label}" for label in stack.labels_] if stack.cnns else []
    return [*margins, *features]


def _explained(
    stack: FittedStack,
    fitted: Fitted,
    inputs: ColumnBlocks,
    names: list[str],
    labels: list[int],
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each label with the parts of its log-odds, for one set of folds."""
    n, n_folds = len(inputs.features), len(fitted.columns)
    margins = [columns.consensus.margin(inputs.logits) for columns in fitted.columns]
    totals: dict[int, dict[str, Any]] = {
        label: {CONSENSUS: np.mean([m[:, label] for m in margins], axis=0), TREES: np.zeros(n)}
        for label in labels
    }

    def tasks() -> Iterator[tuple[Any, ...]]:
        n_margins = len(stack.labels_) if stack.cnns else 0
        for fold, columns in enumerate(fitted.columns):
            seen = SeenColumns(columns, inputs, margins[fold], stack.members_)
            every = _names_with_components(names, columns)
            of_pairs = [every[n_margins + k] for k in columns.pairs.chosen]
            for number, name in enumerate(stack.members_):
                weights = fitted.meta_learner.weights[number] / n_folds
                for label in labels:
                    models = fitted.models_of(name, fold, label)
                    if not models or not weights[label]:
                        continue
                    own = [f"{of}__{label}" for of in (*stack.cnns, *stack.scores)]
                    consensus = f"consensus of {stack.labels_[label]}"
                    if name == FOREST:
                        # It does not start from the margin, which is therefore subtracted.
                        called = [consensus if stack.cnns else TREES, *every]
                    elif name == POOLED:
                        called = pair_names(own, consensus, len(stack.cnns), of_pairs)
                    else:
                        called = own + [every[k] for k in columns.chosen[label]]
                    weight = weights[label] / len(models)
                    yield label, models, seen.of(name, [label]), weight, called

    n_tasks = n_folds * sum(
        int(np.count_nonzero(fitted.meta_learner.weights[:, k])) for k in labels
    )
    for label, called, values in Workers(stack.n_jobs).map(
        _contributions, tasks(), n_tasks, "explain"
    ):
        for name, column in zip([*called, TREES], values.T):
            totals[label][name] = totals[label].get(name, 0.0) + column
    for label in labels:
        yield label, pd.DataFrame(totals[label])


def _names_with_components(names: list[str], columns: FoldColumns) -> list[str]:
    # Components of different folds are different axes, so contributions are summed by embedding.
    components = [
        name
        for name, reduction in columns.reductions.items()
        for _ in range(reduction.components.shape[1])
    ]
    return [*names, *components]


def _contributions(
    label: int, models: list[bytes], seen: Seen, weight: float, called: list[str]
) -> tuple[int, list[str], np.ndarray]:
    total: Any = sum(seen.contributions(model) for model in models)
    return label, called, weight * total
