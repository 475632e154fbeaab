"""Domains: coarse clusters of fields that look alike, such as those of one cell line.

Fields of train and test are clustered together on label-free features. A
domain is a group to leave out as a whole, a column to balance folds by, and a
way to see where train and test differ.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from hpastack.channels import PROTEIN, STAINS
from hpastack.errors import InputError, shorten
from hpastack.features import undefined_columns
from hpastack.progress import Progress, silent
from hpastack.tables import read_text_table

#: What "auto" chooses the number of domains from.
AUTO_DOMAINS = range(2, 17)

# Values beyond these quantiles of their column are drawn in to them.
_TAILS = (0.01, 0.99)
# Share of the variance that the components keep, and the most components there are.
_VARIANCE = 0.95
_MAX_COMPONENTS = 32
# How far the components are brought to one spread: 0 leaves them as they are, 1 makes them equal.
# Left alone, brightness rules, as many columns say it again; made equal, the last are noise. On
# drawn fields half brings the adjusted Rand index with the cell lines from 0.50 to 0.59 (cell lines
# of train and test apart) and from 0.27 to 0.34 (alike).
_WHITENING = 0.5
# Full k-means runs, of which the tightest stands.
_RESTARTS = 5
# Fields on which the number of domains is chosen: silhouettes need every pair of them.
_AUTO_FIELDS = 4_000


def reference_columns(columns: Iterable[str]) -> list[str]:
    """Choose the columns that are measured on the reference stains alone.

    Parameters
    ----------
    columns : iterable of str
        Column names; those of hand-crafted features end in ``__<stain>``.

    Returns
    -------
    list of str
        Those that end in ``__red``, ``__blue`` or ``__yellow``, in their
        order. Where a stain is compared with the protein the name ends in
        ``__green``, so such columns are not among them. Empty if no column is
        named by its stain, as in an embedding.

    Examples
    --------
    >>> reference_columns(["intensity_mean__red", "intensity_mean__green", "net__0"])
    ['intensity_mean__red']
    """
    # The protein differs between antibodies, not between cell lines.
    endings = tuple(f"__{stain}" for stain in STAINS if stain != PROTEIN)
    return [name for name in columns if name.endswith(endings)]


def field_matrix(features: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a table of features as a matrix whose rows are in the order of their ids.

    What is drawn at random from it then does not depend on the order of the table.

    Parameters
    ----------
    features : DataFrame
        Indexed by image id, a column a feature.

    Returns
    -------
    order : ndarray of int, shape (n,)
        Row of the table that each row of the matrix is.
    values : ndarray of float32, shape (n, d)
        In a hand-crafted column that is NaN where a field has nothing to
        measure (`hpastack.features.undefined_columns`), the median of the
        others stands for it, or 0 if there are none.

    Raises
    ------
    InputError
        If there is no row or column, an id stands twice, or another value is not a
        finite number; the field and the column are named.
    """
    if features.shape[0] == 0 or features.shape[1] == 0:
        raise InputError(f"a table of features is empty: {features.shape[0]} fields, "
                         f"{features.shape[1]} columns")  # fmt: skip
    ids = features.index.astype(str)
    if ids.has_duplicates:
        raise InputError(f"ids stand twice: {shorten(ids[ids.duplicated()].unique())}")
    textual = [name for name, kind in features.dtypes.items() if kind.kind not in "biuf"]
    if textual:
        raise InputError(f"columns that hold no numbers: {shorten(textual)}; leave them out")
    order = np.argsort(ids.to_numpy(dtype=str), kind="stable")
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused below
        values = features.to_numpy(dtype=np.float32)[order]
    for position in np.flatnonzero(features.columns.isin(undefined_columns())):
        cells = values[:, position]
        unknown = np.isnan(cells)
        cells[unknown] = np.median(cells[~unknown]) if not unknown.all() else 0
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        column = int(np.argmin(np.isfinite(values[row])))
        raise InputError(
            f"{values[row, column]} in column {features.columns[column]!r} of field "
            f"{ids[order[row]]}; {np.count_nonzero(~finite)} fields have such values. "
            "Leave out the column or the fields"
        )
    return order, values


def field_components(features: pd.DataFrame) -> pd.DataFrame:
    """Describe fields by a few uncorrelated numbers that an outlier cannot rule.

    Each column is drawn in to its 1 % and 99 % quantiles and standardised;
    columns that are then constant are left out. Principal components follow,
    as many as hold 95 % of the variance, at most 32, each divided by the
    square root of its standard deviation.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Indexed by image id.

    Returns
    -------
    DataFrame of float32, shape (n, at most 32)
        Columns ``pc1``, ``pc2``, ..., by falling variance; rows as in
        `features`. Does not depend on the order of the rows.

    Raises
    ------
    InputError
        If no column varies, and as `field_matrix`.
    """
    order, values = field_matrix(features)
    varies = np.zeros(values.shape[1], dtype=bool)
    # By column: a quantile of the whole matrix would copy it.
    for column, cells in enumerate(values.T):
        low, high = np.quantile(cells, _TAILS)
        varies[column] = low < high
        clipped = np.clip(cells, low, high).astype(np.float64)
        clipped -= clipped.mean()
        values[:, column] = clipped / (clipped.std() or 1)
    if not varies.any():
        raise InputError("all fields have the same features, but for a few; no domains to be found")
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


def domains_of_components(
    components: pd.DataFrame,
    n_domains: int | str = 8,
    random_state: int = 0,
    *,
    progress: Progress = silent,
) -> pd.Series:
    """Cluster fields that are described by `field_components`.

    Parameters
    ----------
    components : DataFrame of float, shape (n, n_components)
        Indexed by image id.
    n_domains, random_state, progress
        As `domain_clusters`.

    Returns
    -------
    Series of int64
        As `domain_clusters`.

    Raises
    ------
    InputError
        As `domain_clusters`.
    """
    order, scores = field_matrix(components)
    n_different = len(np.unique(scores, axis=0))
    generator = np.random.default_rng(random_state)
    if n_domains == "auto":
        sample = scores
        if len(scores) > _AUTO_FIELDS:
            rows = generator.choice(len(scores), _AUTO_FIELDS, replace=False)
            sample = scores[np.sort(rows)]
        n_domains = _best_number(sample, random_state, progress)
    elif isinstance(n_domains, bool) or not isinstance(n_domains, Integral) or n_domains < 2:
        raise InputError(f"n_domains is {n_domains!r}; it is a whole number of at least 2, or auto")
    if n_different < n_domains:
        raise InputError(
            f"{n_different} different fields cannot make {n_domains} domains; ask for fewer"
        )
    label = _k_means(scores, n_domains, random_state)
    found, first, sizes = np.unique(label, return_index=True, return_counts=True)
    # Rows are sorted by id, so that the first row of a domain holds its smallest id.
    ranked = sorted(range(len(found)), key=lambda k: (-sizes[k], first[k]))
    number = np.empty(label.max() + 1, dtype=np.int64)
    number[found[ranked]] = np.arange(len(found))
    domains = pd.Series(number[label], index=components.index[order], name="domain")
    return domains.loc[components.index]


def domain_clusters(
    features: pd.DataFrame,
    n_domains: int | str = 8,
    random_state: int = 0,
    *,
    progress: Progress = silent,
) -> pd.Series:
    """Put fields into coarse clusters that look alike, such as one for each cell line.

    The features become principal components (`field_components`), which
    mini-batch k-means [1]_ clusters; of five runs the tightest stands.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Indexed by image id: fields of train and test together. Columns of the
        reference stains tell cell lines apart; those of the protein would
        tell labels apart.
    n_domains : int or "auto", default=8
        How many; at least 2. "auto" takes the number from 2 to 16 with the
        highest mean silhouette [2]_, on a sample of up to 4,000 fields.
    random_state : int, default=0
        Seed of the starting points and of the sample.
    progress : callable, optional
        Wraps the numbers tried by "auto", as ``tqdm`` does; called with
        ``total``.

    Returns
    -------
    Series of int64
        Named ``domain``, indexed as `features`. Domain 0 is the largest, and
        so on; of two with the same size the one with the smallest id comes
        first. None is empty. The same for any order of the rows and any
        number of threads.

    Raises
    ------
    InputError
        If a value is not a finite number, an id stands twice, no column
        varies, or there are fewer different fields than domains.

    Notes
    -----
    Mini-batch k-means may end with fewer domains than asked for, where one of
    them runs empty.

    References
    ----------
    .. [1] D. Sculley, "Web-scale k-means clustering", WWW 2010.
       :doi:`10.1145/1772690.1772862`
    .. [2] P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation
       and validation of cluster analysis", J. Comput. Appl. Math. 20, 53-65,
       1987. :doi:`10.1016/0377-0427(87)90125-7`

    Examples
    --------
    >>> values = {"a": 0.1, "b": 5.0, "c": 0.0, "d": 5.1, "e": 0.2}
    >>> domain_clusters(pd.Series(values).to_frame("brightness"), n_domains=2).to_dict()
    {'a': 0, 'b': 1, 'c': 0, 'd': 1, 'e': 0}
    """
    components = field_components(features)
    return domains_of_components(components, n_domains, random_state, progress=progress)


def _k_means(scores: np.ndarray, n_domains: int, seed: int, restarts: int = _RESTARTS):
    """Return the labels of the tightest of several runs, shape (n,)."""
    runs = []
    with threadpool_limits(1):
        for restart in range(restarts):
            model = MiniBatchKMeans(
                n_domains, batch_size=4096, n_init=3, random_state=seed + restart
            ).fit(scores)
            runs.append((model.inertia_, restart, model.labels_))
    return min(runs, key=lambda run: run[:2])[2]


def _best_number(sample: np.ndarray, seed: int, progress: Progress) -> int:
    """Return the number of domains with the highest mean silhouette; of equals the least."""
    most = len(np.unique(sample, axis=0)) - 1
    numbers = [number for number in AUTO_DOMAINS if number <= most]
    if not numbers:
        raise InputError("auto needs at least 3 different fields; give the number of domains")
    heights = {}
    for number in progress(numbers, total=len(numbers), desc="domains"):
        label = _k_means(sample, number, seed, restarts=2)
        with threadpool_limits(1):
            heights[number] = silhouette_score(sample, label) if label.max() > label.min() else -1
    return max(heights, key=lambda number: (heights[number], -number))


def domain_folds(domains: pd.Series, clusters: pd.Series, train_ids: Sequence[str]) -> pd.DataFrame:
    """Make each domain a fold, to see how a model does on a domain it was not trained on.

    A cluster of near-duplicates, of a well or of an antibody is never split:
    it goes to the domain that holds most of its training fields, of two with
    equally many to the lower number.

    Parameters
    ----------
    domains : Series of int
        Domain of each field, indexed by image id; may hold test fields.
    clusters : Series of str
        Cluster of each field, indexed by image id; may hold test fields.
    train_ids : sequence of str
        The training fields.

    Returns
    -------
    DataFrame
        Indexed by ``image_id``, in the order of `train_ids`: ``cluster``,
        ``domain`` (the one it is held out with) and ``fold``, which counts
        those domains from 0 in their order. `FoldPlan` takes it as it is. A
        domain in which no cluster has most of its training fields has no
        fold, and is missing from ``domain``.

    Raises
    ------
    InputError
        If there is no training field, one has no domain or cluster, or all of
        them go to one domain.

    Examples
    --------
    >>> domains = pd.Series({"a": 0, "b": 1, "c": 1, "d": 2})
    >>> clusters = pd.Series({"a": "a", "b": "a", "c": "c", "d": "d"})
    >>> domain_folds(domains, clusters, ["a", "b", "c"])
             cluster  domain  fold
    image_id
    a              a       0     0
    b              a       0     0
    c              c       1     1
    """
    ids = pd.Index(list(train_ids), name="image_id")
    if ids.empty:
        raise InputError("there are no training fields, so there is nothing to fold")
    for name, column in (("domain", domains), ("cluster", clusters)):
        missing = ids.difference(column.index[column.notna()])
        if len(missing):
            raise InputError(f"{len(missing)} training fields have no {name}: {shorten(missing)}")
    frame = pd.DataFrame(
        {"cluster": clusters.loc[ids].to_numpy(), "domain": domains.loc[ids].to_numpy()}, index=ids
    )
    counts = pd.crosstab(frame["cluster"], frame["domain"])
    # The first of equals: columns are sorted by domain.
    frame["domain"] = frame["cluster"].map(counts.idxmax(axis=1))
    held_out = np.unique(frame["domain"])
    if len(held_out) < 2:
        raise InputError(
            f"all training fields go to domain {held_out[0]}, so none can be left out; "
            "ask for more domains, or for smaller clusters"
        )
    frame["fold"] = np.searchsorted(held_out, frame["domain"])
    return frame


def domain_agreement(domains: pd.Series, known: pd.Series) -> dict[str, float]:
    """Say how well domains agree with what is known of the fields, such as their cell line.

    Parameters
    ----------
    domains : Series of int
        Indexed by image id.
    known : Series of str
        Indexed by image id. Empty values are unknown and passed over.

    Returns
    -------
    dict
        ``n_fields`` (with a known value and a domain); ``adjusted_rand``: 1
        where domains and values are the same, about 0 where they have nothing
        to do with each other; ``majority``: share of fields that have the
        commonest value of their domain; ``commonest``: what one domain of all
        fields would reach.

    Raises
    ------
    InputError
        If no field has a known value.

    Examples
    --------
    >>> line = pd.Series({"a": "HeLa", "b": "HeLa", "c": "A-431", "d": ""})
    >>> domain_agreement(pd.Series({"a": 0, "b": 0, "c": 1, "d": 1}), line)
    {'n_fields': 3, 'adjusted_rand': 1.0, 'majority': 1.0, 'commonest': 0.6666666666666666}
    """
    known = known[known.notna() & (known.astype(str) != "")]
    both = known.index.intersection(domains.index)
    if both.empty:
        raise InputError("no field with a domain has a known value")
    counts = pd.crosstab(domains.loc[both], known.loc[both])
    return {
        "n_fields": len(both),
        "adjusted_rand": float(adjusted_rand_score(known.loc[both], domains.loc[both])),
        "majority": float(counts.max(axis=1).sum() / len(both)),
        "commonest": float(counts.sum(axis=0).max() / len(both)),
    }


def read_assignment(path: str | os.PathLike, column: str) -> pd.Series:
    """Read which cluster, or which domain, each field is in.

    Parameters
    ----------
    path : path-like
        ``clusters.csv`` or ``domains.csv``: a column ``image_id`` and one
        named `column`.
    column : str
        ``cluster`` or ``domain``.

    Returns
    -------
    Series of str
        Indexed by ``image_id``.

    Raises
    ------
    InputError
        If it is no such table, an id stands twice, or a field has no value.
    FileNotFoundError
        If there is no such file.
    """
    table = read_text_table(path)
    if not {"image_id", column} <= set(table.columns):
        raise InputError(f"{path}: the columns image_id and {column} are needed")
    values = table.set_index("image_id")[column]
    if values.index.has_duplicates:
        doubled = values.index[values.index.duplicated()].unique()
        raise InputError(f"{path}: ids stand twice: {shorten(doubled)}")
    empty = values.index[values == ""]
    if len(empty):
        raise InputError(f"{path}: {shorten(empty)} has no {column}")
    return values
