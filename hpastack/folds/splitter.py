"""Splitters in the manner of scikit-learn: labels balanced, groups whole."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from hpastack.errors import InputError, counted
from hpastack.folds.assignment import assign
from hpastack.folds.group_counts import group_counts
from hpastack.folds.inputs import (
    balance_levels,
    check_balance,
    group_codes,
    indicator_of,
    label_names,
)
from hpastack.folds.report import labels_missing_from_folds

#: Raised whenever the same labels, groups and seed would give other folds.
ALGORITHM_VERSION = 2


class RareLabelWarning(UserWarning):
    """Some labels live in fewer groups than there are folds, so they miss from some folds."""


class _GroupSplitter(BaseCrossValidator):
    """What the splitters share: the checks around the search, and the warning before it."""

    # Tells scikit-learn's metadata routing to hand over the groups.
    __metadata_request__split = {"groups": True}

    random_state: int | np.random.RandomState | None
    balance: Mapping[str, float] | None

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _parts(self) -> np.ndarray:
        """Return the shares of the parts that the rows are assigned to, as whole numbers."""
        raise NotImplementedError

    def _held_out(self) -> range:
        """Give the parts that are tested on, one after the other."""
        return range(len(self._parts()))

    def _seeds(self) -> list[int | str]:
        """Return a seed for each time that the rows are assigned."""
        raise NotImplementedError

    def _n_rounds(self) -> int:
        """Say how many times that is, without drawing a seed."""
        raise NotImplementedError

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Say how many pairs of training and test rows there are.

        Parameters
        ----------
        X, y, groups : object
            Not used; scikit-learn passes them.

        Returns
        -------
        int
        """
        return self._n_rounds() * len(self._held_out())

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the rows to train on and the rows to test on, pair by pair.

        Parameters
        ----------
        X : sized, DataFrame or None
            A data frame with the columns of `balance`; else only its length is
            used.
        y : array-like of {0, 1}, shape (n, n_labels), or array-like, shape (n,)
            Indicator matrix; a vector of classes is taken as one-hot.
        groups : array-like of hashable, shape (n,), optional
            Rows that must stay together. Without it every row is its own group.

        Yields
        ------
        train, test : ndarray of int
            Row numbers, ascending.

        Raises
        ------
        InputError
            If `y` holds anything but 0 and 1, `X`, `y` and `groups` differ in
            length, a row has no group (None or NaN), there are fewer groups
            than folds (than two, for a train/test split), or a column of
            `balance` is not in `X`, holds fractions or has too many values.

        Warns
        -----
        RareLabelWarning
            If a label lives in fewer groups than folds (than two, for a
            train/test split), and so is missing from some.
        """
        self._check_lengths(X, y)
        for number, seed in enumerate(self._seeds()):
            part = self._assign(y, groups, X, seed)
            if number == 0:
                self._name_rare_labels(y, groups)
            for held_out in self._held_out():
                yield np.flatnonzero(part != held_out), np.flatnonzero(part == held_out)

    def _assign(self, y: Any, groups: Any, X: Any, seed: int | str) -> np.ndarray:
        """Give the number of the part that each row goes to."""
        parts = self._parts()
        indicator = indicator_of(y)
        codes, n_groups = group_codes(groups, len(indicator), seed)
        if n_groups < len(parts):
            raise InputError(
                f"{counted(n_groups, 'group')} cannot fill {counted(len(parts), 'fold')}; ask for "
                "fewer folds"
            )
        levels = balance_levels(X, check_balance(self.balance), len(indicator))
        counts = group_counts(indicator, codes, n_groups, levels, least_pair=len(parts))
        fold = assign(counts, parts)[codes]
        _check_split(fold, codes, n_groups, len(parts))
        return fold

    def _check_lengths(self, X: Any, y: Any) -> None:
        if y is None:
            raise InputError("multi-label folds need the labels: split(X, y, groups)")
        n_labelled = y.shape[0] if hasattr(y, "shape") else len(y)
        n_rows = n_labelled if X is None else X.shape[0] if hasattr(X, "shape") else len(X)
        if n_rows != n_labelled:
            raise InputError(
                f"X has {counted(n_rows, 'row')} and y has {n_labelled}; they must be the same"
            )

    def _name_rare_labels(self, y: Any, groups: Any) -> None:
        indicator = indicator_of(y)
        held = np.flatnonzero(indicator.any(axis=0))  # nobody expects the others in a fold
        names = [label_names(y, indicator.shape[1])[label] for label in held]
        rare = labels_missing_from_folds(indicator[:, held], groups, len(self._parts()), names)
        if rare:
            # The line that asked for the split: this is called by a generator.
            warnings.warn("; ".join(rare), RareLabelWarning, stacklevel=3)


class MultilabelStratifiedGroupKFold(_GroupSplitter):
    """Cut multi-label rows into folds that keep groups whole and labels balanced.

    Groups, not rows, are assigned to the folds by iterative stratification [1]_
    of labels and pairs of labels [2]_: the rarest first, of its groups the one
    with most positives first, each to the fold that lacks most of it. A tabu
    search then moves groups between folds to lower the relative deviation,
    summed over folds, labels, the number of rows, the levels of `balance` and
    pairs of labels. A pair weighs a 64th of a label, so that labels hardly pay
    for pairs.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    random_state : int, RandomState or None, default=0
        Settles ties. An int gives the same folds on every call and platform.
    balance : dict of column name to float, optional
        Columns of the data frame `X` whose levels are spread evenly too (cell
        line, source, domain), and what a level counts beside a label. They are
        looked up in `X` by name, so they always belong to the rows that are
        split, also where scikit-learn hands over a part of the rows. A missing
        value is a level of its own.

    Raises
    ------
    InputError
        If `n_splits` is not a whole number of at least 2, or `balance` is not
        a dict of positive weights.

    See Also
    --------
    RepeatedMultilabelStratifiedGroupKFold : Several such cuts.
    MultilabelStratifiedGroupShuffleSplit : A test set of a given share.

    Notes
    -----
    Only integers are compared, and ties are broken by a hash of the seed and
    the name of the group, so that the folds depend neither on the order of
    the rows nor on the platform or the version of NumPy. Groups are known by
    their `repr`: strings, numbers and tuples of them do.

    Pairs of labels count if at least `n_splits` rows hold both, up to the
    1,000 most frequent.

    A label that lives in fewer groups than folds is missing from some folds:
    `split` names it in a `RareLabelWarning`.

    An estimator sees all of `X`, so a column that is only there to be balanced
    has to be dropped before a model learns from it, for example by a
    ``ColumnTransformer``.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the stratification of
       multi-label data", ECML PKDD 2011. :doi:`10.1007/978-3-642-23808-6_10`
    .. [2] P. Szymański and T. Kajdanowicz, "A network perspective on
       stratification of multi-label data", Proc. Machine Learning Research
       74, 22-35, 2017.

    Examples
    --------
    >>> y = [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]]
    >>> wells = ["A1", "A1", "A2", "A2", "A3", "A4"]
    >>> MultilabelStratifiedGroupKFold(n_splits=2).fold_numbers(y, wells).tolist()
    [1, 1, 0, 0, 0, 1]
    """

    def __init__(
        self,
        n_splits: int = 5,
        random_state: int | np.random.RandomState | None = 0,
        *,
        balance: Mapping[str, float] | None = None,
    ) -> None:
        check_balance(balance)
        self.n_splits: int = _whole(n_splits, "n_splits", 2)
        self.random_state = random_state
        self.balance = balance

    def fold_numbers(self, y: Any, groups: Any = None, X: Any = None) -> np.ndarray:
        """Give the fold in which each row is held out.

        Parameters
        ----------
        y, groups
            As for `split`.
        X : DataFrame, optional
            Holds the columns of `balance`; not needed without them.

        Returns
        -------
        ndarray of int64, shape (n,)
            0 to ``n_splits - 1``.

        Raises
        ------
        InputError
            If `y` holds anything but 0 and 1, the lengths differ, a row has no
            group (None or NaN), there are fewer groups than folds, or a column
            of `balance` is not in `X` or holds fractions.
        """
        return self._assign(y, groups, X, self._seed())

    def _parts(self) -> np.ndarray:
        return np.ones(self.n_splits, dtype=np.int64)

    def _seeds(self) -> list[int | str]:
        return [self._seed()]

    def _n_rounds(self) -> int:
        return 1


class RepeatedMultilabelStratifiedGroupKFold(_GroupSplitter):
    """Cut multi-label rows into folds several times, each time with another seed.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    n_repeats : int, default=10
        How many times the rows are cut into folds, at least once.
    random_state : int, RandomState or None, default=0
        Settles ties; each repeat has a seed of its own that is made from it.
    balance : dict of column name to float, optional
        As for `MultilabelStratifiedGroupKFold`.

    Raises
    ------
    InputError
        If `n_splits` or `n_repeats` is not a whole number that is large
        enough, or `balance` is not a dict of positive weights.

    Examples
    --------
    >>> y = [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]]
    >>> splitter = RepeatedMultilabelStratifiedGroupKFold(n_splits=2, n_repeats=3)
    >>> len(list(splitter.split(y, y)))
    6
    """

    def __init__(
        self,
        n_splits: int = 5,
        n_repeats: int = 10,
        random_state: int | np.random.RandomState | None = 0,
        *,
        balance: Mapping[str, float] | None = None,
    ) -> None:
        check_balance(balance)
        self.n_splits: int = _whole(n_splits, "n_splits", 2)
        self.n_repeats: int = _whole(n_repeats, "n_repeats", 1)
        self.random_state = random_state
        self.balance = balance

    def _parts(self) -> np.ndarray:
        return np.ones(self.n_splits, dtype=np.int64)

    def _seeds(self) -> list[int | str]:
        return _nth_seeds(self._seed(), self.n_repeats)

    def _n_rounds(self) -> int:
        return self.n_repeats


class MultilabelStratifiedGroupShuffleSplit(_GroupSplitter):
    """Set aside a share of multi-label rows for testing, groups whole and labels balanced.

    Parameters
    ----------
    n_splits : int, default=10
        How many times, each with another seed, at least once. Test sets of
        different times overlap.
    test_size : float, default=0.2
        Share of the rows, and of the positives of each label, to test on,
        above 0 and below 1; taken to the nearest thousandth.
    random_state : int, RandomState or None, default=0
        Settles ties; each time has a seed of its own that is made from it.
    balance : dict of column name to float, optional
        As for `MultilabelStratifiedGroupKFold`.

    Raises
    ------
    InputError
        If `n_splits` is not a whole number of at least 1, `test_size` is no
        share, or `balance` is not a dict of positive weights.

    Notes
    -----
    The share is met as closely as whole groups and the labels allow; neither
    side is empty. For a single train/test split take the first one:
    ``next(MultilabelStratifiedGroupShuffleSplit(1).split(X, y, groups))``.

    Examples
    --------
    >>> y = [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]]
    >>> wells = ["A1", "A1", "A2", "A2", "A3", "A4"]
    >>> splitter = MultilabelStratifiedGroupShuffleSplit(1, test_size=1 / 3)
    >>> train, test = next(splitter.split(y, y, wells))
    >>> test.tolist()
    [4, 5]
    """

    def __init__(
        self,
        n_splits: int = 10,
        test_size: float = 0.2,
        random_state: int | np.random.RandomState | None = 0,
        *,
        balance: Mapping[str, float] | None = None,
    ) -> None:
        check_balance(balance)
        if not isinstance(test_size, Real) or not 0.0005 <= test_size <= 0.9995:
            raise InputError(f"test_size is {test_size!r}; it is a share above 0 and below 1")
        self.n_splits: int = _whole(n_splits, "n_splits", 1)
        self.test_size: float = test_size
        self.random_state = random_state
        self.balance = balance

    def _parts(self) -> np.ndarray:
        share = Fraction(round(1000 * float(self.test_size)), 1000)
        return np.array([share.denominator - share.numerator, share.numerator])

    def _held_out(self) -> range:
        return range(1, 2)

    def _seeds(self) -> list[int | str]:
        return _nth_seeds(self._seed(), self.n_splits)

    def _n_rounds(self) -> int:
        return self.n_splits


def _whole(value: Any, name: str, least: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return int(value)


def _nth_seeds(seed: int, n_seeds: int) -> list[int | str]:
    """Make seeds that no other seed and number share."""
    return [
        hashlib.blake2b(f"{seed} {number}".encode(), digest_size=16).hexdigest()
        for number in range(n_seeds)
    ]


def _check_split(fold: np.ndarray, codes: np.ndarray, n_groups: int, n_splits: int) -> None:
    """Refuse a split that breaks what is promised: this would be a bug, not bad input."""
    lowest = np.full(n_groups, n_splits, dtype=np.int64)
    highest = np.full(n_groups, -1, dtype=np.int64)
    np.minimum.at(lowest, codes, fold)
    np.maximum.at(highest, codes, fold)
    if (lowest != highest).any():
        raise RuntimeError("a group was split between folds")
    if fold.min() < 0 or not (np.bincount(fold, minlength=n_splits)[:n_splits] > 0).all():
        raise RuntimeError("a fold was left empty, or a row without a fold")
