"""Principal components of hand-crafted features, as coordinates of fields."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from hpastack.errors import InputError, counted, shorten
from hpastack.features import undefined_columns
from hpastack.fields import PROTEIN, STAINS
from hpastack.files import check_unique

# Values beyond these quantiles of their column are clipped (winsorised).
_TAILS = (0.01, 0.99)
# Fraction of the variance that the components explain, and their largest number.
_VARIANCE = 0.95
_MAX_COMPONENTS = 32
# Exponent of the whitening: 0 keeps the variances of the components, 1 makes them equal. Without
# whitening brightness dominates, because many columns depend on it; with full whitening the last
# components are noise. On synthetic fields 0.5 increases the adjusted Rand index with the cell
# lines from 0.50 to 0.59 (different cell lines in train and test) and from 0.27 to 0.34 (the same).
_WHITENING = 0.5


def reference_columns(columns: Iterable[str]) -> list[str]:
    """Select the columns that are measured on the reference stains only.

    Parameters
    ----------
    columns : iterable of str
        Column names; those of hand-crafted features end in ``__<stain>``.

    Returns
    -------
    list of str
        Columns that end in ``__red``, ``__blue`` or ``__yellow``, in their
        order. Names of columns that compare a stain with the protein end in
        ``__green``, so these are excluded. Empty if no column name ends in a
        stain, as in an embedding.

    Examples
    --------
    >>> reference_columns(["intensity_mean__red", "intensity_mean__green", "net__0"])
    ['intensity_mean__red']
    """
    # The protein differs between antibodies, not between cell lines.
    endings = tuple(f"__{stain}" for stain in STAINS if stain != PROTEIN)
    return [name for name in columns if name.endswith(endings)]


def field_matrix(features: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a table of features as a matrix with rows sorted by id.

    Random samples of its rows then do not depend on the order of the table.

    Parameters
    ----------
    features : DataFrame
        Indexed by image id, one column per feature.

    Returns
    -------
    order : ndarray of int, shape (n,)
        Row of the table for each row of the matrix.
    values : ndarray of float32, shape (n, d)
        In a hand-crafted column that is NaN where a field has nothing to
        measure (`hpastack.features.undefined_columns`), NaN is replaced by the
        median of the other fields, or by 0 if all are NaN.

    Raises
    ------
    InputError
        If there is no row or column, there are duplicate ids, or a value is not
        a finite number (except NaN in the columns above); the message names the
        field and the column.
    """
    if features.shape[0] == 0 or features.shape[1] == 0:
        raise InputError("a table of features is empty: "
                         f"{counted(features.shape[0], 'field')}, "
                         f"{counted(features.shape[1], 'column')}")  # fmt: skip
    ids = features.index.astype(str)
    check_unique(ids, "a table of features")
    textual = [name for name, kind in features.dtypes.items() if kind.kind not in "biuf"]
    if textual:
        raise InputError(f"columns that are not numeric: {shorten(textual)}; drop them")
    order = np.argsort(ids.to_numpy(dtype=str), kind="stable")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, an error below
        values = features.to_numpy(dtype=np.float32)[order]
    for position in np.flatnonzero(features.columns.isin(undefined_columns())):
        cells = values[:, position]
        unknown = np.isnan(cells)
        cells[unknown] = np.median(cells[~unknown]) if not unknown.all() else 0
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        column = int(np.argmin(np.isfinite(values[row])))
        n_fields = int(np.count_nonzero(~finite))
        raise InputError(
            f"{values[row, column]} in column {features.columns[column]!r} of field "
            f"{ids[order[row]]}; {counted(n_fields, 'field has', 'fields have')} "
            "values that are not finite; drop the column or the fields"
        )
    return order, values


def field_components(features: pd.DataFrame) -> pd.DataFrame:
    """Compute principal components of features, robust to outliers and partly whitened.

    Each column is clipped (winsorised) at its 1 % and 99 % quantiles and
    standardised; columns that are then constant are excluded. The principal
    components that explain 95 % of the variance are kept, at most 32, each
    divided by the square root of its standard deviation.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Indexed by image id.

    Returns
    -------
    DataFrame of float32, shape (n, at most 32)
        Columns ``pc1``, ``pc2``, ..., by decreasing variance; rows as in
        `features`. The result does not depend on the order of the rows.

    Raises
    ------
    InputError
        If no column varies, and as `field_matrix`.
    """
    order, values = field_matrix(features)
    varies = np.zeros(values.shape[1], dtype=bool)
    # Column by column: quantiles of the whole matrix would copy it.
    for column, cells in enumerate(values.T):
        low, high = np.quantile(cells, _TAILS)
        varies[column] = low < high
        clipped = np.clip(cells, low, high).astype(np.float64)
        clipped -= clipped.mean()
        values[:, column] = clipped / (clipped.std() or 1)
    if not varies.any():
        raise InputError(
            "all fields, except a few outliers, have the same features; pass features that vary"
        )
    values = values[:, varies]
    n_components = min(_MAX_COMPONENTS, len(values) - 1, values.shape[1])
    with threadpool_limits(1):  # the number of threads would change the rounding
        pca = PCA(n_components, svd_solver="covariance_eigh").fit(values)
        kept = 1 + int(np.searchsorted(np.cumsum(pca.explained_variance_ratio_), _VARIANCE))
        kept = min(kept, n_components)
        scores = pca.transform(values)[:, :kept]
    scores /= np.sqrt(pca.explained_variance_[:kept]) ** _WHITENING
    names = [f"pc{number + 1}" for number in range(scores.shape[1])]
    table = pd.DataFrame(scores, index=features.index[order], columns=names)
    return table.loc[features.index]
