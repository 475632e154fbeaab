"""Prior shift: labels that are more or less frequent among new fields than in training.

A calibrated probability holds for the prevalence it was calibrated at. Where
only the prevalence differs, and not how a label looks, the new prevalence can
be estimated from the predictions alone and the probabilities corrected.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted, shorten
from hpastack.files import read_text_table
from hpastack.labels import Vocabulary


def saerens_priors(
    probabilities: ArrayLike,
    train_prevalence: ArrayLike,
    *,
    max_steps: int = 1000,
    tolerance: float = 1e-6,
) -> np.ndarray:
    """Estimate how frequent each label is among the fields that were predicted.

    Expectation maximisation, label by label: the probabilities are shifted to
    the prevalence so far, their mean is the next prevalence. It climbs to the
    prevalence under which the predictions are most likely.

    Parameters
    ----------
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
        Calibrated at `train_prevalence`. Of fields that were not used to
        calibrate them.
    train_prevalence : array-like of float in (0, 1), shape (n_labels,)
        Share of the training fields that carry the label.
    max_steps : int, default=1000
    tolerance : float, default=1e-6
        The estimate of a label stands when a step changes it by at most this
        share of itself (and of its distance to 1).

    Returns
    -------
    ndarray of float, shape (n_labels,)
        At least ``1 / (10 n)`` from 0 and 1, unless the training prevalence
        was closer already.

    Raises
    ------
    InputError
        If the shapes do not fit, there is no field, or a value is out of
        range.

    Warns
    -----
    ConvergenceWarning
        Names the labels, by number, that keep their training prevalence for
        want of an estimate: those that did not settle within `max_steps`,
        because their predictions hardly tell present from absent, and those
        that every field would carry, because their probabilities do not match
        the training prevalence.

    Notes
    -----
    A label whose mean probability equals its training prevalence keeps it.
    Otherwise the estimate lies further out than the mean probability, the
    further the less the predictions tell. Its standard error near the
    training prevalence q is about ``q * (1 - q) / (s * sqrt(n))``, with s the
    standard deviation of the probabilities: large for rare labels and for
    those seen badly. Probabilities that are too high or too low pass for a
    shift, so calibrate first, and do not trust the estimate of a label that
    was too rare to be calibrated.

    References
    ----------
    .. [1] M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs
       of a classifier to new a priori probabilities: a simple procedure",
       Neural Comput. 14(1), 21-41, 2002. :doi:`10.1162/089976602753284446`

    Examples
    --------
    Half the training fields had the label; 80 % of those with it were given
    0.8, and 20 % of those without. Now 60 % get 0.8. As 0.8 * 2/3 + 0.2 * 1/3
    = 0.6, two thirds must carry it.

    >>> saerens_priors([[0.8], [0.8], [0.8], [0.2], [0.2]], [0.5]).round(4)
    array([0.6667])
    """
    p, train = _checked(probabilities, train_prevalence)
    if max_steps < 1 or not tolerance > 0:
        raise InputError("max_steps must be at least 1 and tolerance above 0")
    if len(p) == 0:
        raise InputError("the prevalence among no fields cannot be estimated")
    edge = 1 / (10 * len(p))
    lowest, highest = np.minimum(edge, train), np.maximum(1 - edge, train)
    columns = np.ascontiguousarray(p.T)  # a label's fields side by side
    prior, moving = train.copy(), np.arange(len(train))
    for _ in range(max_steps):
        odds_ratio = _odds(prior[moving]) / _odds(train[moving])
        step = _shifted(columns[moving], odds_ratio[:, None]).mean(axis=1)
        step = np.clip(step, lowest[moving], highest[moving])
        change = np.abs(step - prior[moving])
        prior[moving] = step
        moving = moving[change > tolerance * np.minimum(step, 1 - step)]
        if not len(moving):
            break
    everywhere = np.flatnonzero((prior >= 1 - edge) & (prior > train))
    lost = np.union1d(moving, everywhere)
    if len(lost):
        from sklearn.exceptions import ConvergenceWarning

        prior[lost] = train[lost]
        warnings.warn(
            f"no prevalence found for labels {shorten(lost)}: not settled in {max_steps} steps, "
            "or every field would carry them; they keep that of training",
            ConvergenceWarning,
            stacklevel=2,
        )
    return prior


def shift_priors(
    probabilities: ArrayLike,
    train_prevalence: ArrayLike,
    target_prevalence: ArrayLike,
) -> np.ndarray:
    """Correct probabilities for labels that are more or less frequent than in training.

    Bayes: the odds of a label are multiplied by the ratio of its odds at the
    target prevalence to those at the training prevalence.

    Parameters
    ----------
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
        Calibrated at `train_prevalence`.
    train_prevalence : array-like of float in (0, 1), shape (n_labels,)
    target_prevalence : array-like of float in (0, 1), shape (n_labels,)
        Known, or from `saerens_priors`.

    Returns
    -------
    ndarray of float, shape (n, n_labels)

    Raises
    ------
    InputError
        If the shapes do not fit, or a value is out of range.

    Notes
    -----
    Fields keep their order within a label; 0 and 1 stay.

    Examples
    --------
    From one half to two thirds the odds double: 4 becomes 8, 1/4 becomes 1/2.

    >>> shift_priors([[0.8], [0.2]], [0.5], [2 / 3]).round(4).tolist()
    [[0.8889], [0.3333]]
    """
    p, train = _checked(probabilities, train_prevalence)
    target = _checked_prevalence(target_prevalence, p.shape[1], "target")
    return _shifted(p, _odds(target) / _odds(train))


def read_prevalences(path: str | os.PathLike[str], vocabulary: Vocabulary) -> np.ndarray:
    """Read how frequent each label is expected to be.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``label`` (an id or a name) and ``prevalence``
        (a share, above 0 and below 1), one row a label in any order. Other
        columns are passed over.
    vocabulary : Vocabulary

    Returns
    -------
    ndarray of float, shape (n_labels,)
        In the order of the vocabulary.

    Raises
    ------
    InputError
        If a column is missing, a label is unknown, stands twice or is left
        out, a label is the name of one and the id of another, or a prevalence
        is no number above 0 and below 1.
    FileNotFoundError
        If there is no such file.
    """
    table = read_text_table(path)
    if not {"label", "prevalence"} <= set(table.columns):
        raise InputError(f"{path}: the columns label and prevalence are needed")
    prevalences: dict[int, float] = {}
    for text, share in zip(table["label"], table["prevalence"]):
        label = _label_id(text.strip(), vocabulary, path)
        if label in prevalences:
            raise InputError(f"{path}: label {label} ({vocabulary.names[label]}) stands twice")
        prevalences[label] = _share(share, f"{path}: label {text.strip()}")
    missing = [name for label, name in enumerate(vocabulary) if label not in prevalences]
    if missing:
        raise InputError(
            f"{path}: no prevalence for {counted(len(missing), 'label')}: {shorten(missing)}"
        )
    return np.array([prevalences[label] for label in range(len(vocabulary))])


def _label_id(text: str, vocabulary: Vocabulary, path: str | os.PathLike[str]) -> int:
    meant = {number for number, name in enumerate(vocabulary) if text in (str(number), name)}
    if not meant:
        raise InputError(
            f"{path}: unknown label {text!r}; labels are the ids 0 to {len(vocabulary) - 1}, "
            "or names of the vocabulary"
        )
    if len(meant) > 1:
        raise InputError(
            f"{path}: label {text!r} is the name of one label and the id of another; "
            "give ids and rename that label"
        )
    return meant.pop()


def _share(text: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise InputError(f"{where}: prevalence {text!r} is no number") from None
    if not 0 < share < 1:
        raise InputError(f"{where}: prevalence {text} is not above 0 and below 1 (give a share)")
    return share


def _odds(prevalence: np.ndarray) -> np.ndarray:
    return prevalence / (1 - prevalence)


def _shifted(p: np.ndarray, odds_ratio: np.ndarray) -> np.ndarray:
    # On p, not its odds: a probability of 1 has none.
    present = p * odds_ratio
    return present / (present + (1 - p))


def _checked(
    probabilities: ArrayLike, train_prevalence: np.typing.ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 2:
        raise InputError(f"probabilities have a row a field and a column a label, not {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("probabilities must be within 0 and 1")
    return p, _checked_prevalence(train_prevalence, p.shape[1], "training")


def _checked_prevalence(prevalence: ArrayLike, n_labels: int, what: str) -> np.ndarray:
    prevalence = np.asarray(prevalence, dtype=float)
    if prevalence.shape != (n_labels,):
        raise InputError(
            f"{what} prevalences {prevalence.shape} do not match probabilities of "
            f"{counted(n_labels, 'label')}"
        )
    wrong = np.flatnonzero(~((prevalence > 0) & (prevalence < 1)))
    if len(wrong):
        raise InputError(
            f"the {what} prevalence of labels {shorten(wrong)} is not above 0 and below 1"
        )
    return prevalence
