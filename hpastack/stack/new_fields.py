"""Apply a fitted stack to the stores of new fields."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from hpastack.calibration import MIN_POSITIVES, read_prevalences, saerens_priors, shift_priors
from hpastack.errors import InputError, counted, shorten
from hpastack.labels import Vocabulary
from hpastack.stack.classifier import StackClassifier
from hpastack.stack.label_like import PredictionWarning, kinds_warning
from hpastack.stack.stores import GatheredStores


@dataclass(frozen=True)
class NewFields:
    """Predictions of a stack for new fields.

    Parameters
    ----------
    probabilities : DataFrame, shape (n, n_labels)
    labels : DataFrame of {0, 1}, shape (n, n_labels)
    notes : list of str
        Caveats for the reader.
    """

    probabilities: pd.DataFrame
    labels: pd.DataFrame
    notes: list[str]


def label_fields(
    stack: StackClassifier,
    inputs: GatheredStores,
    image_ids: Sequence[str],
    prior_shift: str | np.ndarray = "none",
) -> NewFields:
    """Predict probabilities and labels of new fields.

    If stores keep the predictions of each fold model of the CNNs, the stack is
    applied to each, and the probabilities are averaged.

    Parameters
    ----------
    stack : StackClassifier
        Fitted.
    inputs : GatheredStores
    image_ids : sequence of str
        Fields of its table.
    prior_shift : str or ndarray of float, shape (n_labels,)
        From `read_prior_shift`.

    Returns
    -------
    NewFields
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictionWarning)
        return _label_fields(stack, inputs, image_ids, prior_shift)


def notes_on_kinds(
    stack: StackClassifier, inputs: GatheredStores, image_ids: Sequence[str]
) -> list[str]:
    """Return notes on predictions of new fields that differ in kind from those of training fields.

    Parameters
    ----------
    stack : StackClassifier
        Fitted.
    inputs : GatheredStores
    image_ids : sequence of str
        Fields of its table.

    Returns
    -------
    list of str
        One note, or an empty list.
    """
    table = inputs.member_table(0) if inputs.n_members else inputs.table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictionWarning)
        blocks = stack.sorted_inputs(table.loc[table.index.isin(image_ids)])
    note = kinds_warning(blocks, stack, stack.label_like_)
    return [note] if note else []


def _label_fields(
    stack: StackClassifier,
    inputs: GatheredStores,
    image_ids: Sequence[str],
    prior_shift: str | np.ndarray,
) -> NewFields:
    probabilities, notes = shifted_probabilities(
        stack, _mean_over_members(stack.predict_proba, inputs, image_ids), prior_shift
    )
    if not stack.labels_by_consensus_:
        return NewFields(probabilities, stack.label(probabilities), notes)
    consensus, _ = shifted_probabilities(
        stack, _mean_over_members(stack.predict_consensus, inputs, image_ids), prior_shift
    )
    return NewFields(probabilities, stack.label(consensus=consensus), notes)


def _mean_over_members(
    predict: Callable[[pd.DataFrame], pd.DataFrame],
    inputs: GatheredStores,
    image_ids: Sequence[str],
) -> pd.DataFrame:
    rows = pd.Index(image_ids)
    if not inputs.n_members:
        return predict(inputs.table.loc[rows])
    of_members, kept = [], rows[:0]
    for number in range(inputs.n_members):
        # One table at a time, as each has a copy of all features.
        table = inputs.member_table(number)
        kept = rows[rows.isin(table.index)]
        of_members.append(predict(table.loc[kept]))
    probabilities = sum(of_members[1:], of_members[0]) / len(of_members)
    without_members = rows.difference(kept, sort=False)
    if len(without_members):
        others = predict(inputs.table.loc[without_members])
        probabilities = pd.concat([probabilities, others])
    return probabilities.loc[rows]


def notes_on_labels(stack: StackClassifier) -> list[str]:
    """Return notes on labels that are not predicted from the stack's own probabilities.

    Parameters
    ----------
    stack : StackClassifier
        Fitted.

    Returns
    -------
    list of str
        One note, or an empty list.
    """
    if not stack.labels_by_consensus_:
        return []
    return [
        "labels are predicted from the probabilities of the consensus: on folds on which "
        "thresholds were not chosen, these had a higher macro F1 than those of the stack"
    ]


def notes_on_means(inputs: GatheredStores) -> list[str]:
    """Return notes on CNNs with only the mean of their fold models for test fields.

    Parameters
    ----------
    inputs : GatheredStores

    Returns
    -------
    list of str
        One note, or an empty list.
    """
    means = [
        name
        for name in inputs.cnns
        if inputs.stores[name]["kind"] == "out_of_fold" and not inputs.stores[name]["n_members"]
    ]
    if not means:
        return []
    return [
        f"{', '.join(means)}: only the mean of the fold models is stored for test fields, but the "
        "stack was fitted on outputs of single models, which vary more; ingest the predictions of "
        "each model (ingest --members)"
    ]


def read_prior_shift(
    how: str, vocabulary: Vocabulary, root: str | os.PathLike[str]
) -> str | np.ndarray:
    """Read the correction for prevalences of new fields.

    Parameters
    ----------
    how : str
        ``none``; ``em``; or the path of a table of prevalences.
    vocabulary : Vocabulary
    root : path-like
        Folder that a relative path starts from.

    Returns
    -------
    "none", "em", or ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        If the table does not exist, or is not a table of prevalences.
    """
    if how in ("none", "em"):
        return how
    path = Path(root) / how
    if not path.is_file():
        raise InputError(
            f"prior_shift {how!r} is neither none nor em, and {path} is not a file", "prior_shift"
        )
    return read_prevalences(path, vocabulary)


def shifted_probabilities(
    stack: StackClassifier, probabilities: pd.DataFrame, how: str | np.ndarray
) -> tuple[pd.DataFrame, list[str]]:
    """Correct probabilities for labels that are rarer or commoner among new fields.

    Parameters
    ----------
    stack : StackClassifier
        Fitted; has the prevalence of each label among its training fields.
    probabilities : DataFrame, shape (n, n_labels)
        Calibrated, of all new fields.
    how : str or ndarray of float, shape (n_labels,)
        From `read_prior_shift`. With ``em`` the prevalences are estimated from the
        probabilities themselves.

    Returns
    -------
    probabilities : DataFrame
    notes : list of str
        Description of the changes.

    Notes
    -----
    With ``em``, labels too rare to be calibrated keep their probabilities, as
    the estimate assumes calibrated probabilities. The prevalences of the training
    fields are unweighted, so this is not for stacks fitted with `sample_weight`.
    """
    if isinstance(how, str) and how == "none":
        return probabilities, []
    values = probabilities.to_numpy()
    train = stack.label_table_["positives"].to_numpy() / len(stack.fold_)
    # A label without positive training fields has no odds to change.
    known = (train > 0) & (train < 1)
    target = train.copy()
    notes = []
    if isinstance(how, str):
        known &= stack.label_table_["positives"].to_numpy() >= MIN_POSITIVES
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the note below names the labels
            target[known] = saerens_priors(values[:, known], train[known])
        unsettled = [stack.labels_[k] for k in np.flatnonzero(known & (target == train))]
        if unsettled:
            notes.append(
                f"prior shift: no estimate for {shorten(unsettled)}; their probabilities are not "
                "changed"
            )
    else:
        target[known] = how[known]
    values = values.copy()
    values[:, known] = shift_priors(values[:, known], train[known], target[known])
    ratio = np.divide(target, train, out=np.ones_like(train), where=known)
    most = np.argsort(-np.abs(np.log(ratio)), kind="stable")[:3]
    changes = ", ".join(f"{stack.labels_[k]} {train[k]:.4f} -> {target[k]:.4f}" for k in most)
    notes.append(
        f"prior shift: prevalences of {counted(int(known.sum()), 'label')}; largest changes: "
        f"{changes}. The cross-validated scores do not include this."
    )
    return pd.DataFrame(values, index=probabilities.index, columns=probabilities.columns), notes
