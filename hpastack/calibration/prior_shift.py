"""Prior shift: labels that are more or less frequent among new fields than in training.

A calibrated probability is valid for the prevalence it was calibrated at. If
only the prevalence changes, and not the appearance of a label, the new
prevalence can be estimated from the predictions alone and the probabilities
corrected.
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
    """Estimate the prevalence of each label among the predicted fields.

    Expectation maximisation, separately for each label: the probabilities are
    shifted to the current prevalence, and their mean is the next prevalence. It
    converges to the maximum-likelihood prevalence.

    Parameters
    ----------
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
        Calibrated at `train_prevalence`, on other fields than these.
    train_prevalence : array-like of float in (0, 1), shape (n_labels,)
        Share of the training fields with the label.
    max_steps : int, default=1000
    tolerance : float, default=1e-6
        A label has converged when a step changes its estimate by at most this
        share of the estimate and of its distance to 1.

    Returns
    -------
    ndarray of float, shape (n_labels,)
        At least ``1 / (10 n)`` away from 0 and 1, unless the training prevalence
        is closer.

    Raises
    ------
    InputError
        If the shapes do not match, there are no fields, or a value is out of
        range.

    Warns
    -----
    ConvergenceWarning
        Lists the numbers of the labels without an estimate, which keep their
        training prevalence: those that did not converge within `max_steps`,
        because their predictions hardly separate positive from negative fields,
        and those with an estimated prevalence of 1, because their probabilities
        do not match the training prevalence.

    Notes
    -----
    A label whose mean probability equals its training prevalence keeps it.
    Otherwise the estimate is further from the training prevalence than the mean
    probability is, the more so the less informative the predictions are. Its
    standard error near the training prevalence q is about
    ``q * (1 - q) / (s * sqrt(n))``, with s the standard deviation of the
    probabilities: large for labels that are rare or poorly predicted. A
    miscalibration looks like a shift, so calibrate first, and do not trust the
    estimate of a label that was too rare to be calibrated.

    References
    ----------
    .. [1] M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs
       of a classifier to new a priori probabilities: a simple procedure",
       Neural Comput. 14(1), 21-41, 2002. :doi:`10.1162/089976602753284446`

    Examples
    --------
    Half the training fields had the label; the prediction was 0.8 for 80 % of
    the fields with it and for 20 % of those without, and 0.2 for the others. Now
    it is 0.8 for 60 % of the fields. As 0.8 * 2/3 + 0.2 * 1/3 = 0.6, the
    prevalence must be two thirds.

    >>> saerens_priors([[0.8], [0.8], [0.8], [0.2], [0.2]], [0.5]).round(4)
    array([0.6667])
    """
    p, train = _checked(probabilities, train_prevalence)
    if max_steps < 1 or not tolerance > 0:
        raise InputError("max_steps must be at least 1 and tolerance above 0")
    if len(p) == 0:
        raise InputError("no fields; the prevalence cannot be estimated")
    edge = 1 / (10 * len(p))
    lowest, highest = np.minimum(edge, train), np.maximum(1 - edge, train)
    columns = np.ascontiguousarray(p.T)  # contiguous per label
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
    failed = np.union1d(moving, everywhere)
    if len(failed):
        from sklearn.exceptions import ConvergenceWarning

        prior[failed] = train[failed]
        warnings.warn(
            f"no prevalence estimate for labels {shorten(failed)}: not converged in {max_steps} "
            "steps, or estimated as 1; the training prevalence is used",
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

    By Bayes' rule the odds of a label are multiplied by the ratio of the odds of
    the target prevalence to those of the training prevalence.

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
        If the shapes do not match, or a value is out of range.

    Notes
    -----
    The order of the fields within a label does not change; 0 and 1 remain 0 and 1.

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
    """Read the expected prevalence of each label.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``label`` (an id or a name) and ``prevalence``
        (a share, above 0 and below 1), one row per label in any order. Other
        columns are ignored.
    vocabulary : Vocabulary

    Returns
    -------
    ndarray of float, shape (n_labels,)
        In the order of the vocabulary.

    Raises
    ------
    InputError
        If a column is missing, a label is unknown, duplicate, missing or both
        the name of one label and the id of another, or a prevalence is not a
        number above 0 and below 1.
    FileNotFoundError
        If the file does not exist.
    """
    table = read_text_table(path)
    if not {"label", "prevalence"} <= set(table.columns):
        raise InputError(f"{path}: must have the columns label and prevalence")
    prevalences: dict[int, float] = {}
    for text, share in zip(table["label"], table["prevalence"]):
        label = _label_id(text.strip(), vocabulary, path)
        if label in prevalences:
            raise InputError(f"{path}: duplicate label {label} ({vocabulary.names[label]})")
        prevalences[label] = _share(share, f"{path}: label {text.strip()}")
    missing = [name for label, name in enumerate(vocabulary) if label not in prevalences]
    if missing:
        raise InputError(
            f"{path}: no prevalence for {counted(len(missing), 'label')}: {shorten(missing)}"
        )
    return np.array([prevalences[label] for label in range(len(vocabulary))])


def _label_id(text: str, vocabulary: Vocabulary, path: str | os.PathLike[str]) -> int:
    matches = {number for number, name in enumerate(vocabulary) if text in (str(number), name)}
    if not matches:
        raise InputError(
            f"{path}: unknown label {text!r}; use the ids 0 to {len(vocabulary) - 1} or the names "
            "of the vocabulary"
        )
    if len(matches) > 1:
        raise InputError(
            f"{path}: label {text!r} is the name of one label and the id of another; "
            "rename that label in the vocabulary"
        )
    return matches.pop()


def _share(text: str, where: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise InputError(f"{where}: prevalence {text!r} is not a number") from None
    if not 0 < share < 1:
        raise InputError(f"{where}: prevalence {text} is not a share above 0 and below 1")
    return share


def _odds(prevalence: np.ndarray) -> np.ndarray:
    return prevalence / (1 - prevalence)


def _shifted(p: np.ndarray, odds_ratio: np.ndarray) -> np.ndarray:
    # Computed from p, not its odds, which are infinite for a probability of 1.
    present = p * odds_ratio
    return present / (present + (1 - p))


def _checked(
    probabilities: ArrayLike, train_prevalence: np.typing.ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 2:
        raise InputError(f"probabilities must have shape (n_fields, n_labels), not {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("probabilities must be between 0 and 1")
    return p, _checked_prevalence(train_prevalence, p.shape[1], "training")


def _checked_prevalence(prevalence: ArrayLike, n_labels: int, kind: str) -> np.ndarray:
    prevalence = np.asarray(prevalence, dtype=float)
    if prevalence.shape != (n_labels,):
        raise InputError(
            f"{kind} prevalences {prevalence.shape} do not match probabilities of "
            f"{counted(n_labels, 'label')}"
        )
    wrong = np.flatnonzero(~((prevalence > 0) & (prevalence < 1)))
    if len(wrong):
        raise InputError(
            f"the {kind} prevalence of labels {shorten(wrong)} is not above 0 and below 1"
        )
    return prevalence
