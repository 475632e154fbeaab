"""Domains: coarse clusters of fields that look alike, such as those of one cell line.

Fields of train and test are clustered together by target-free features.
Domains can be held out as a whole, balanced over folds, and used to show where
train and test differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from threadpoolctl import threadpool_limits

from hpastack.errors import InputError, counted, shorten
from hpastack.parallel import progress_bar
from hpastack.similarity.components import field_components, field_matrix

#: Numbers of domains from which "auto" chooses.
AUTO_DOMAINS = range(2, 17)
# Number of k-means runs; the one with the lowest inertia is used.
_RESTARTS = 5
# Largest number of fields on which the number of domains is chosen: silhouettes need all pairs.
_AUTO_FIELDS = 4_000


def domains_of_components(
    components: pd.DataFrame,
    n_domains: int | str = 8,
    random_state: int = 0,
    *,
    progress: bool = True,
) -> pd.Series:
    """Cluster fields into domains by their components (`field_components`).

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
        raise InputError(
            f"n_domains is {n_domains!r}; it must be a whole number of at least 2, or 'auto'",
            "n_domains",
        )
    if n_different < n_domains:
        raise InputError(
            f"{counted(n_different, 'different field')} cannot make "
            f"{counted(n_domains, 'domain')}; lower n_domains",
            "n_domains",
        )
    label = _k_means(scores, n_domains, random_state)
    labels, first, sizes = np.unique(label, return_index=True, return_counts=True)
    # Rows are sorted by id, so the first row of a domain is that of its smallest id.
    ranked = sorted(range(len(labels)), key=lambda k: (-sizes[k], first[k]))
    number = np.empty(label.max() + 1, dtype=np.int64)
    number[labels[ranked]] = np.arange(len(labels))
    domains = pd.Series(number[label], index=components.index[order], name="domain")
    return domains.loc[components.index]


def domain_clusters(
    features: pd.DataFrame,
    n_domains: int | str = 8,
    random_state: int = 0,
    *,
    progress: bool = True,
) -> pd.Series:
    """Cluster fields that look alike into domains, such as one for each cell line.

    The features are reduced to principal components (`field_components`) and
    clustered by mini-batch k-means [1]_; of five runs the one with the lowest
    inertia is used.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Indexed by image id: fields of train and test together. Columns of the
        reference stains separate cell lines; columns of the protein would
        separate labels.
    n_domains : int or "auto", default=8
        Number of domains, at least 2. "auto" chooses the number from 2 to 16
        with the highest mean silhouette [2]_, on a sample of up to 4,000
        fields.
    random_state : int, default=0
        Seed of the initialisation and of the sample.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    Series of int64
        Named ``domain``, indexed as `features`. Domains are numbered from 0 by
        decreasing size; ties are broken by the smallest id. No domain is empty.
        The result does not depend on the order of the rows or the number of
        threads.

    Raises
    ------
    InputError
        If a value is not a finite number, there are duplicate ids, no column
        varies, or there are fewer different fields than domains.

    Notes
    -----
    Mini-batch k-means may return fewer domains than requested, if a cluster
    becomes empty.

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


def _k_means(
    scores: np.ndarray, n_domains: int, seed: int, restarts: int = _RESTARTS
) -> np.ndarray:
    """Return the labels of the run with the lowest inertia, shape (n,)."""
    runs = []
    with threadpool_limits(1):
        for restart in range(restarts):
            model = MiniBatchKMeans(
                n_domains, batch_size=4096, n_init=3, random_state=seed + restart
            ).fit(scores)
            runs.append((model.inertia_, restart, model.labels_))
    return min(runs, key=lambda run: run[:2])[2]


def _best_number(sample: np.ndarray, seed: int, progress: bool) -> int:
    """Return the number of domains with the highest mean silhouette; the lowest of ties."""
    most = len(np.unique(sample, axis=0)) - 1
    numbers = [number for number in AUTO_DOMAINS if number <= most]
    if not numbers:
        raise InputError(
            "n_domains: 'auto' needs at least 3 different fields; pass a number", "n_domains"
        )
    heights = {}
    for number in progress_bar(numbers, what="domains", show=progress):
        label = _k_means(sample, number, seed, restarts=2)
        with threadpool_limits(1):
            heights[number] = silhouette_score(sample, label) if label.max() > label.min() else -1
    return max(heights, key=lambda number: (heights[number], -number))


def domain_folds(domains: pd.Series, clusters: pd.Series, train_ids: Sequence[str]) -> pd.DataFrame:
    """Make each domain a fold (leave-one-domain-out), to test models on an unseen domain.

    A cluster of near-duplicates, of a well or of an antibody is never split: it
    is assigned to the domain with most of its training fields; ties are broken
    by the lower number.

    Parameters
    ----------
    domains : Series of int
        Domain of each field, indexed by image id; test fields are ignored.
    clusters : Series of str
        Cluster of each field, indexed by image id; test fields are ignored.
    train_ids : sequence of str
        The training fields.

    Returns
    -------
    DataFrame
        Indexed by ``image_id``, in the order of `train_ids`: ``cluster``,
        ``domain`` (with which the field is held out) and ``fold`` (these
        domains numbered from 0, in their order). `FoldPlan` accepts this
        table. A domain to which no cluster is assigned has no fold and does
        not occur in ``domain``.

    Raises
    ------
    InputError
        If there is no training field, a training field has no domain or
        cluster, or all of them are assigned to the same domain.

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
        raise InputError("train_ids is empty; there are no training fields to assign to folds")
    for name, column in (("domain", domains), ("cluster", clusters)):
        missing = ids.difference(column.index[column.notna()])
        if len(missing):
            raise InputError(
                f"{counted(len(missing), 'training field has', 'training fields have')} no {name}: "
                f"{shorten(missing)}"
            )
    frame = pd.DataFrame(
        {"cluster": clusters.loc[ids].to_numpy(), "domain": domains.loc[ids].to_numpy()}, index=ids
    )
    counts = pd.crosstab(frame["cluster"], frame["domain"])
    # The first of ties, as columns are sorted by domain.
    frame["domain"] = frame["cluster"].map(counts.idxmax(axis=1))
    held_out = np.unique(frame["domain"])
    if len(held_out) < 2:
        raise InputError(
            f"all training fields are assigned to domain {held_out[0]}, so no domain can be held "
            "out; use more domains, or smaller clusters",
            "n_domains",
        )
    frame["fold"] = np.searchsorted(held_out, frame["domain"])
    return frame


def domain_agreement(domains: pd.Series, known: pd.Series) -> dict[str, float]:
    """Agreement of domains with known values of the fields, such as their cell line.

    Parameters
    ----------
    domains : Series of int
        Indexed by image id.
    known : Series of str
        Indexed by image id. Missing and empty values are ignored.

    Returns
    -------
    dict
        ``n_fields`` (with a known value and a domain); ``adjusted_rand``:
        adjusted Rand index, 1 for identical partitions, about 0 for unrelated
        ones; ``majority``: fraction of fields with the most frequent value of
        their domain; ``commonest``: the value of ``majority`` if all fields
        were in a single domain.

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
        raise InputError("no field with a domain has a value in known")
    counts = pd.crosstab(domains.loc[both], known.loc[both])
    return {
        "n_fields": len(both),
        "adjusted_rand": float(adjusted_rand_score(known.loc[both], domains.loc[both])),
        "majority": float(counts.max(axis=1).sum() / len(both)),
        "commonest": float(counts.sum(axis=0).max() / len(both)),
    }
