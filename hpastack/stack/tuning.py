"""Choose the settings of the trees for each fold without looking at it.

Candidates are drawn by a Sobol sequence, so none depends on the scores of
those before it: one list serves every fold, and no fold's labels shape what is
tried for it. Each candidate is fitted without pairs of folds; for a fold the
one with the lowest loss on the other folds, by models that saw neither the
rows nor the fold, is taken. So the score stays nested.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpastack.boosting import TreeSettings
from hpastack.errors import InputError
from hpastack.stack.fitted import LeaveTwoOut

#: What is varied: lowest and highest value, and whether on a logarithmic scale.
SPACE: dict[str, tuple[float, float, bool]] = {
    "learning_rate": (0.05, 0.4, True),
    "leaves": (3, 31, True),
    "min_leaf": (5, 100, True),
    "l2": (1.0, 100.0, True),
    "column_share": (0.3, 1.0, False),
}

_WHOLE = ("leaves", "min_leaf")


@dataclass(frozen=True)
class Tuned:
    """The settings of each fold, and how they came about.

    Parameters
    ----------
    settings : list of TreeSettings
        One a fold.
    leave_two_out : list of LeaveTwoOut
        One per fold, fitted with its settings.
    trials : list of dict
        One a candidate: its settings, ``loss`` (mean over folds and labels, as
        part of the loss of the consensus), ``fold_losses``, and ``chosen_for``
        (the folds that took it).
    """

    settings: list[TreeSettings]
    leave_two_out: list[LeaveTwoOut]
    trials: list[dict[str, Any]]


def check_tuning(n: int) -> None:
    """Reject a search without what it needs, before any work.

    Parameters
    ----------
    n : int
        How many settings are to be tried.

    Raises
    ------
    InputError
        If more than one is to be tried and Optuna is not installed.
    """
    if n <= 1:
        return
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise InputError(
            "tuning needs Optuna; pip install 'hpastack[tune]', or leave out --tune (tune: 0)"
        ) from None


def candidates(
    first: TreeSettings, n: int, seed: int, ignored: Sequence[str] = ()
) -> list[TreeSettings]:
    """Draw settings to try.

    Parameters
    ----------
    first : TreeSettings
        Tried first; what is not in `SPACE` is that of all others too.
    n : int
        How many, with the first.
    seed : int
    ignored : sequence of str, default=()
        What is not varied, because it would make no difference.

    Returns
    -------
    list of TreeSettings, length n

    Raises
    ------
    InputError
        If more than one is asked for and Optuna is not installed.
    """
    tried = [first]
    if n <= 1:
        return tried
    check_tuning(n)
    import optuna

    spread: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, (low, high, is_log) in SPACE.items():
        if name in ignored:
            continue
        if name in _WHOLE:
            spread[name] = optuna.distributions.IntDistribution(int(low), int(high), log=is_log)
        else:
            spread[name] = optuna.distributions.FloatDistribution(low, high, log=is_log)
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            # It is called experimental, which is no news to whoever tunes.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.QMCSampler(scramble=True, seed=seed)
        study = optuna.create_study(sampler=sampler)
        # The sampler takes the space from a finished trial; where it stands does not matter.
        lowest = {name: spread[name].low for name in spread}  # type: ignore[attr-defined]
        study.add_trial(optuna.trial.create_trial(params=lowest, distributions=spread, value=0.0))
        while len(tried) < n:
            trial = study.ask(spread)
            study.tell(trial, 0.0)
            tried.append(replace(first, **trial.params))
    finally:
        optuna.logging.set_verbosity(level)
    return tried


def tuned(
    tried: list[TreeSettings],
    fit: Callable[[TreeSettings, str], LeaveTwoOut],
    learnable: np.ndarray,
) -> Tuned:
    """Try settings, and choose for each fold by the others.

    Parameters
    ----------
    tried : list of TreeSettings
        Of `candidates`.
    fit : callable
        Takes settings and a word for the progress bar, and fits boosters
        without pairs of folds.
    learnable : ndarray of bool, shape (n_folds, n_labels)
        Labels whose losses count for a fold.

    Returns
    -------
    Tuned
        Of equal losses the candidate tried first.
    """
    best: list[tuple[float, int, LeaveTwoOut]] = []
    losses = []
    for number, settings in enumerate(tried):
        fitted = fit(settings, f", trial {number + 1} of {len(tried)}" if len(tried) > 1 else "")
        counted = np.maximum(learnable.sum(axis=1), 1)
        of_folds = np.where(learnable, fitted.loss, 0.0).sum(axis=1) / counted
        losses.append(of_folds)
        if not best:
            best = [(loss, number, fitted) for loss in of_folds]
        best = [
            (loss, number, fitted) if loss < kept[0] else kept for loss, kept in zip(of_folds, best)
        ]
    trials = [
        {
            **{name: getattr(settings, name) for name in SPACE},
            "loss": float(of_folds.mean()),
            "fold_losses": [float(loss) for loss in of_folds],
            "chosen_for": [k for k, (_, taken, _) in enumerate(best) if taken == number],
        }
        for number, (settings, of_folds) in enumerate(zip(tried, losses))
    ]
    return Tuned([tried[taken] for _, taken, _ in best], [fitted for *_, fitted in best], trials)
