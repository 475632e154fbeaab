"""Choose tree settings for each fold without using its labels.

Candidates come from a Sobol sequence, so none depends on the scores of earlier
ones: one list serves every fold, and the labels of a fold do not affect the
candidates for it. Each candidate is fitted with each pair of folds held out. For
a fold, the candidate with the lowest loss on the other folds is chosen, by models
that were trained neither on these rows nor on the fold. So the score remains
nested.
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

#: Search space: lowest and highest value, and whether the scale is logarithmic.
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
    """The chosen settings of each fold, and all trials.

    Parameters
    ----------
    settings : list of TreeSettings
        One per fold.
    leave_two_out : list of LeaveTwoOut
        One per fold, fitted with its settings.
    trials : list of dict
        One per candidate: its settings, ``loss`` (mean over folds and labels,
        relative to the loss of the consensus), ``fold_losses``, and
        ``chosen_for`` (the folds for which it was chosen).
    """

    settings: list[TreeSettings]
    leave_two_out: list[LeaveTwoOut]
    trials: list[dict[str, Any]]


def check_tuning(n: int) -> None:
    """Check that a search can run, before any other work.

    Parameters
    ----------
    n : int
        Number of settings to try.

    Raises
    ------
    InputError
        If `n` is above 1 and Optuna is not installed.
    """
    if n <= 1:
        return
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise InputError(
            "tuning needs Optuna; pip install 'hpastack[tune]', or set tune=0", "tune"
        ) from None


def candidates(
    first: TreeSettings, n: int, seed: int, ignored: Sequence[str] = ()
) -> list[TreeSettings]:
    """Return settings to try.

    Parameters
    ----------
    first : TreeSettings
        Tried first; all candidates share its settings that are not in `SPACE`.
    n : int
        Number of candidates, including the first.
    seed : int
    ignored : sequence of str, default=()
        Settings without effect, which are not varied.

    Returns
    -------
    list of TreeSettings, length n

    Raises
    ------
    InputError
        If `n` is above 1 and Optuna is not installed.
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
            # Optuna marks this sampler as experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.QMCSampler(scramble=True, seed=seed)
        study = optuna.create_study(sampler=sampler)
        # The sampler infers the space from a finished trial; its values do not matter.
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
    """Try settings, and choose those of each fold by the losses on the other folds.

    Parameters
    ----------
    tried : list of TreeSettings
        From `candidates`.
    fit : callable
        Takes settings and a note for the progress bar, and fits boosters with
        each pair of folds held out.
    learnable : ndarray of bool, shape (n_folds, n_labels)
        Labels whose losses count for a fold.

    Returns
    -------
    Tuned
        Ties are broken by the first candidate.
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
