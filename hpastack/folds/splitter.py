"""Splitters with the interface of scikit-learn that balance labels and never split a group."""

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

#: Incremented whenever the same labels, groups and seed would give different folds.
ALGORITHM_VERSION = 2


class RareLabelWarning(UserWarning):
    """Some labels occur in fewer groups than there are folds and are missing from some folds."""


class _GroupSplitter(BaseCrossValidator):
    """Base class of the splitters: validation of inputs and results, and warnings."""

    # Tells scikit-learn's metadata routing to pass the groups on.
    __metadata_request__split = {"groups": True}

    random_state: int | np.random.RandomState | None
    balance: Mapping[str, float] | None

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _parts(self) -> np.ndarray:
        """Return the target shares of the parts, as whole numbers."""
        raise NotImplementedError

    def _held_out(self) -> range:
        """Return the parts that are test sets, in order."""
        return range(len(self._parts()))

    def _seeds(self) -> list[int | str]:
        """Return one seed for each assignment of the rows."""
        raise NotImplementedError

    def _n_rounds(self) -> int:
        """Return the number of assignments, without generating a seed."""
        raise NotImplementedError

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of pairs of training and test rows.

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
        """Generate pairs of training and test rows.

        Parameters
        ----------
        X : sized, DataFrame or None
            A data frame with the columns of `balance`; without `balance` only
            its length is used.
        y : array-like of {0, 1}, shape (n, n_labels), or array-like, shape (n,)
            Indicator matrix; a vector of classes is converted to one-hot.
        groups : array-like of hashable, shape (n,), optional
            Rows of the same group stay together. If omitted, every row is its
            own group.

        Yields
        ------
        train, test : ndarray of int
            Row numbers, ascending.

        Raises
        ------
        InputError
            If an indicator matrix has values other than 0 and 1, `X`, `y` and
            `groups` differ in length, a row has no group (None or NaN), there
            are fewer groups than folds (than two, for a train/test split), or
            a column of `balance` is not in `X`, has fractional values or too
            many values.

        Warns
        -----
        RareLabelWarning
            If a label occurs in fewer groups than folds (than two, for a
            train/test split), and so is missing from some.
        """
        self._check_lengths(X, y)
        for number, seed in enumerate(self._seeds()):
            part = self._assign(y, groups, X, seed)
            if number == 0:
                self._warn_of_rare_labels(y, groups)
            for held_out in self._held_out():
                yield np.flatnonzero(part != held_out), np.flatnonzero(part == held_out)

    def _assign(self, y: Any, groups: Any, X: Any, seed: int | str) -> np.ndarray:
        """Return the part that each row is assigned to."""
        parts = self._parts()
        indicator = indicator_of(y)
        codes, n_groups = group_codes(groups, len(indicator), seed)
        if n_groups < len(parts):
            raise InputError(
                f"{counted(n_groups, 'group')} cannot fill {counted(len(parts), 'fold')}; use "
                "fewer folds, or smaller groups",
                "n_splits",
            )
        levels = balance_levels(X, check_balance(self.balance), len(indicator))
        counts = group_counts(indicator, codes, n_groups, levels, least_pair=len(parts))
        fold = assign(counts, parts)[codes]
        _check_split(fold, codes, n_groups, len(parts))
        return fold

    def _check_lengths(self, X: Any, y: Any) -> None:
        if y is None:
            raise InputError("y is missing; pass the labels: split(X, y, groups)")
        n_labelled = y.shape[0] if hasattr(y, "shape") else len(y)
        n_rows = n_labelled if X is None else X.shape[0] if hasattr(X, "shape") else len(X)
        if n_rows != n_labelled:
            raise InputError(
                f"X has {counted(n_rows, 'row')} and y has {n_labelled:,}; the numbers must be "
                "equal"
            )

    def _warn_of_rare_labels(self, y: Any, groups: Any) -> None:
        indicator = indicator_of(y)
        present = np.flatnonzero(indicator.any(axis=0))  # the others are in no fold anyway
        names = [label_names(y, indicator.shape[1])[label] for label in present]
        rare = labels_missing_from_folds(indicator[:, present], groups, len(self._parts()), names)
        if rare:
            # Level 3 is the line that iterates over the split, as a generator calls this.
            warnings.warn("; ".join(rare), RareLabelWarning, stacklevel=3)


class MultilabelStratifiedGroupKFold(_GroupSplitter):
    """K-fold splitter for multi-label data that balances labels and never splits a group.

    Groups, not rows, are assigned to the folds by iterative stratification [1]_
    of labels and pairs of labels [2]_: rarest label first, groups with the most
    positives first, each to the fold that lacks most of the label. A tabu
    search then moves groups between folds to lower the relative deviation,
    summed over folds, labels, the number of rows, the levels of `balance` and
    pairs of labels. The weight of a pair is 1/64 of that of a label, so that
    the balance of labels is hardly worse for it.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    random_state : int, RandomState or None, default=0
        Breaks ties. An int gives the same folds on every call and platform.
    balance : dict of column name to float, optional
        Columns of the data frame `X` whose levels are balanced too (cell line,
        source, domain), and the weight of a level relative to a label. The
        columns are looked up in `X` by name, so they always belong to the rows
        that are split, also where scikit-learn passes a subset of the rows. A
        missing value is a separate level.

    Raises
    ------
    InputError
        If `n_splits` is not a whole number of at least 2, or `balance` is not
        a dict of positive weights.

    See Also
    --------
    RepeatedMultilabelStratifiedGroupKFold : The same, repeated with several seeds.
    MultilabelStratifiedGroupShuffleSplit : Train/test splits with a chosen test size.

    Notes
    -----
    Only integers are compared, and ties are broken by a hash of the seed and
    the name of the group, so that the folds depend neither on the order of
    the rows nor on the platform or the version of NumPy. Groups are identified
    by their `repr`, which works for strings, numbers and tuples of them.

    Pairs of labels are balanced if at least `n_splits` rows have both, up to
    the 1,000 most frequent pairs.

    A label that occurs in fewer groups than folds is missing from some folds:
    `split` names it in a `RareLabelWarning`.

    An estimator is passed all of `X`, so a column that is only there to be
    balanced must be dropped before a model is fitted, for example by a
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
        """Return the fold in which each row is held out.

        Parameters
        ----------
        y, groups
            As for `split`.
        X : DataFrame, optional
            A data frame with the columns of `balance`; not needed without
            `balance`.

        Returns
        -------
        ndarray of int64, shape (n,)
            0 to ``n_splits - 1``.

        Raises
        ------
        InputError
            If an indicator matrix has values other than 0 and 1, the lengths
            differ, a row has no group (None or NaN), there are fewer groups
            than folds, or a column of `balance` is not in `X`, has fractional
            values or too many values.
        """
        return self._assign(y, groups, X, self._seed())

    def _parts(self) -> np.ndarray:
        return np.ones(self.n_splits, dtype=np.int64)

    def _seeds(self) -> list[int | str]:
        return [self._seed()]

    def _n_rounds(self) -> int:
        return 1


class RepeatedMultilabelStratifiedGroupKFold(_GroupSplitter):
    """Repeated K-fold splitter for multi-label data, each repeat with a different seed.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    n_repeats : int, default=10
        Number of repeats, at least 1.
    random_state : int, RandomState or None, default=0
        Breaks ties; the seed of each repeat is derived from it.
    balance : dict of column name to float, optional
        As for `MultilabelStratifiedGroupKFold`.

    Raises
    ------
    InputError
        If `n_splits` or `n_repeats` is not a whole number or too small, or
        `balance` is not a dict of positive weights.

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
    """Train/test splitter for multi-label data that balances labels and never splits a group.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits, at least 1, each with a different seed. The test sets
        of different splits overlap.
    test_size : float, default=0.2
        Fraction of the rows, and of the positives of each label, in the test
        set, above 0 and below 1; rounded to the nearest thousandth.
    random_state : int, RandomState or None, default=0
        Breaks ties; the seed of each split is derived from it.
    balance : dict of column name to float, optional
        As for `MultilabelStratifiedGroupKFold`.

    Raises
    ------
    InputError
        If `n_splits` is not a whole number of at least 1, `test_size` is not
        between 0 and 1, or `balance` is not a dict of positive weights.

    Notes
    -----
    The test size is met as closely as whole groups and the labels allow;
    neither the training set nor the test set is empty. For a single train/test
    split use ``next(MultilabelStratifiedGroupShuffleSplit(1).split(X, y, groups))``.

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
            raise InputError(
                f"test_size is {test_size!r}; it must be a fraction above 0 and below 1"
            )
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
        raise InputError(
            f"{name} is {value!r}; it must be a whole number of at least {least}", name
        )
    return int(value)


def _nth_seeds(seed: int, n_seeds: int) -> list[int | str]:
    """Return seeds that are unique to this seed and their number."""
    return [
        hashlib.blake2b(f"{seed} {number}".encode(), digest_size=16).hexdigest()
        for number in range(n_seeds)
    ]


def _check_split(fold: np.ndarray, codes: np.ndarray, n_groups: int, n_splits: int) -> None:
    """Check that no group is split and no fold empty: a failure is a bug, not invalid input."""
    lowest = np.full(n_groups, n_splits, dtype=np.int64)
    highest = np.full(n_groups, -1, dtype=np.int64)
    np.minimum.at(lowest, codes, fold)
    np.maximum.at(highest, codes, fold)
    if (lowest != highest).any():
        raise RuntimeError("a group was split between folds")
    if fold.min() < 0 or not (np.bincount(fold, minlength=n_splits)[:n_splits] > 0).all():
        raise RuntimeError("a fold is empty, or a row has no fold")
