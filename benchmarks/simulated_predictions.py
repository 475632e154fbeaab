"""Simulated predictions of CNNs trained on folds, with known truth for new fields.

No images and no networks: the output of each CNN is sampled from a signal and
errors, so that a data set takes less than a second and its test set can be as
large as a score needs. Modelled on real data:

- labels have a long-tailed distribution, some co-occur, and a cluster (a well) shares
  its labels and a part of every error;
- the CNNs differ in skill from label to label. Their errors are partly common
  to all of them, partly specific to the CNN, and partly to one fold model;
- their probabilities are miscalibrated and flat, as after a focal loss;
- a training field is predicted by the one model of each CNN that was trained
  without its fold, a test field by all of them (the *members*);
- some features are informative about some labels beyond the CNNs.
"""

from __future__ import annotations

from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from scipy.special import expit

from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.stack import StackClassifier

#: Prevalence of the most frequent and of the rarest label.
COMMONEST, RAREST = 0.4, 0.004

#: Correlation of the two labels of a pair, before they are thresholded.
PAIR_CORRELATION = 0.6

#: Distance of the signal between fields with and without a label, in standard
#: deviations of the error: sampled from this range for each label.
SIGNAL = (1.5, 4.0)

#: Log-odds are shrunk to within this bound.
FLATNESS = 5.0

#: Standard deviation of the offset of each fold model for each label, in log-odds.
FOLD_OFFSET = 0.2


@dataclass(frozen=True)
class Simulation:
    """Training fields with out-of-fold predictions, and test fields with those of all members.

    Parameters
    ----------
    cnns : list of str
    X : DataFrame, shape (n_train, n_columns)
        Probabilities ``<cnn>__<label id>``, each from the fold model that has
        not seen the field, and features ``feature_<k>``.
    y : DataFrame of {0, 1}, shape (n_train, n_labels)
    clusters, folds : Series of int, shape (n_train,)
    members : list of DataFrame, each of shape (n_test, n_columns)
        Predictions of the fold models for the test fields: model 0 of every CNN, then
        model 1, and so on.
    X_test : DataFrame, shape (n_test, n_columns)
        The mean of the members' probabilities.
    y_test : DataFrame of {0, 1}, shape (n_test, n_labels)
    clusters_test : Series of int, shape (n_test,)
    """

    cnns: list[str]
    X: pd.DataFrame
    y: pd.DataFrame
    clusters: pd.Series
    folds: pd.Series
    members: list[pd.DataFrame]
    X_test: pd.DataFrame
    y_test: pd.DataFrame
    clusters_test: pd.Series


def simulate(
    seed: int,
    *,
    n_train: int = 3000,
    n_test: int = 20_000,
    n_labels: int = 28,
    n_cnns: int = 4,
    n_folds: int = 5,
    n_pairs: int = 4,
    n_features: int = 30,
    n_informative: int = 8,
    cluster_share: float = 0.2,
    common_share: float = 0.45,
    member_share: float = 0.15,
) -> Simulation:
    """Simulate a data set.

    The error of one fold model has variance 1, with four components that are common
    to more or fewer fields and models. So `member_share` changes the gain from the mean
    of the members, but neither the quality of a single one nor the agreement of
    the CNNs: the distribution of the training fields stays the same.

    Parameters
    ----------
    seed : int
        Seed of everything. Two data sets with the same seed and different shares have
        the same labels, clusters and folds.
    n_train, n_test : int, default=3000, 20000
        Number of fields, in clusters of 1 to 4.
    n_labels, n_cnns, n_folds : int, default=28, 4, 5
    n_pairs : int, default=4
        Number of pairs of labels that co-occur.
    n_features : int, default=30
        Number of columns that are not from a CNN.
    n_informative : int, default=8
        How many of them are informative about a label, a different one each. The
        others are noise.
    cluster_share : float, default=0.2
        Component common to all fields of a cluster and all CNNs.
    common_share : float, default=0.45
        Component of the field, common to all CNNs.
    member_share : float, default=0.15
        Component of the fold model. The remainder is the component of the CNN, common to
        all its fold models.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        If shares are negative or add up to more than 1, or there are more
        pairs or informative features than the labels allow.
    """
    shares = (cluster_share, common_share, member_share)
    if min(shares) < 0 or sum(shares) > 1:
        raise ValueError("shares are negative, or add up to more than 1")
    if 2 * n_pairs > n_labels or n_informative > min(n_labels, n_features):
        raise ValueError("too many pairs or informative features for the labels")
    world = _World.draw(
        np.random.default_rng([seed, 0]), n_labels, n_cnns, n_folds, n_pairs, n_features,
        n_informative,
    )  # fmt: skip
    train = _Fields.draw(np.random.default_rng([seed, 1]), world, n_train, shares)
    splitter = MultilabelStratifiedGroupKFold(n_folds, random_state=seed)
    folds = splitter.fold_numbers(train.y, train.clusters)
    test = _Fields.draw(np.random.default_rng([seed, 2]), world, n_test, shares)

    cnns = [f"cnn{c}" for c in range(n_cnns)]
    labels = [str(label) for label in range(n_labels)]
    columns = [f"{cnn}__{label}" for cnn in cnns for label in labels]
    columns += [f"feature_{k}" for k in range(n_features)]
    ids = pd.Index([f"train_{i:05d}" for i in range(n_train)], name="image_id")
    test_ids = pd.Index([f"test_{i:05d}" for i in range(n_test)], name="image_id")

    said = train.probabilities(world, folds)
    said_of_test = [test.probabilities(world, np.full(n_test, member)) for member in range(n_folds)]
    return Simulation(
        cnns=cnns,
        X=pd.DataFrame(np.hstack([said, train.features]), ids, columns),
        y=pd.DataFrame(train.y, ids, labels),
        clusters=pd.Series(train.clusters, ids),
        folds=pd.Series(folds, ids),
        members=[
            pd.DataFrame(np.hstack([values, test.features]), test_ids, columns)
            for values in said_of_test
        ],
        X_test=pd.DataFrame(
            np.hstack([np.mean(said_of_test, axis=0), test.features]), test_ids, columns
        ),
        y_test=pd.DataFrame(test.y, test_ids, labels),
        clusters_test=pd.Series(test.clusters, test_ids),
    )


def fit_stack(simulation: Simulation, n_jobs: int = 2, **settings) -> StackClassifier:
    """Fit a stack on the training fields of a simulation.

    Parameters
    ----------
    simulation : Simulation
    n_jobs : int, default=2
    **settings
        Settings of the stack that differ from the defaults.

    Returns
    -------
    StackClassifier
    """
    stack = StackClassifier(cnns=simulation.cnns, n_jobs=n_jobs, n_bootstrap=0, **settings)
    return stack.fit(simulation.X, simulation.y, groups=simulation.clusters, folds=simulation.folds)


def stack_probabilities(stack: StackClassifier, tables, n_jobs: int = 2) -> np.ndarray:
    """Return the calibrated probabilities of several tables of the same fields.

    Parameters
    ----------
    stack : StackClassifier
    tables : sequence of DataFrame, each of shape (n, n_columns)
    n_jobs : int, default=2

    Returns
    -------
    ndarray of float, shape (n_tables, n, n_labels)
    """
    parallel = joblib.Parallel(n_jobs=n_jobs, prefer="threads")
    return np.stack(parallel(joblib.delayed(stack.predict_proba)(table) for table in tables))


def label_probabilities(stack: StackClassifier, tables, n_jobs: int = 2) -> np.ndarray:
    """Return the probabilities that the labels are based on; as `stack_probabilities`."""
    if not stack.labels_by_consensus_:
        return stack_probabilities(stack, tables, n_jobs)
    return np.stack([stack.predict_consensus(table) for table in tables])


def mean_and_error(values) -> tuple[float, float]:
    """Return the mean over data sets and its standard error."""
    values = np.asarray(values, dtype=float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


@dataclass(frozen=True)
class _World:
    """Parameters shared by training and test fields: labels, CNNs and features."""

    prevalence: np.ndarray  # (n_labels,)
    pairs: np.ndarray  # (n_pairs, 2)
    signal: np.ndarray  # (n_cnns, n_labels)
    slope: np.ndarray  # (n_cnns, n_labels)
    offset: np.ndarray  # (n_cnns, n_folds, n_labels)
    n_features: int
    informed: (
        np.ndarray
    )  # (n_informative,): the label that each of the first features is informative about

    @classmethod
    def draw(cls, rng, n_labels, n_cnns, n_folds, n_pairs, n_features, n_informative) -> _World:
        # Decreases fast at first and then slowly, as for the labels of the Human Protein Atlas.
        rank = np.linspace(0, 1, n_labels)
        prevalence = COMMONEST * (RAREST / COMMONEST) ** (rank**0.75)
        shape = (n_cnns, n_labels)
        offset = rng.normal(0, 0.4, (n_cnns, 1, n_labels))
        offset = offset + rng.normal(0, FOLD_OFFSET, (n_cnns, n_folds, n_labels))
        signal = rng.uniform(*SIGNAL, n_labels) * rng.uniform(0.75, 1, shape)
        return cls(
            prevalence=prevalence,
            pairs=rng.permutation(n_labels)[: 2 * n_pairs].reshape(n_pairs, 2),
            signal=signal.astype(np.float32),
            slope=rng.uniform(0.4, 1, shape).astype(np.float32),
            offset=offset.astype(np.float32),
            n_features=n_features,
            informed=rng.permutation(n_labels)[:n_informative],
        )


@dataclass(frozen=True)
class _Fields:
    """Fields, with the errors of the fold models."""

    y: np.ndarray  # (n, n_labels) uint8
    clusters: np.ndarray  # (n,)
    features: np.ndarray  # (n, n_features) float32
    shared_error: np.ndarray  # (n_cnns, n, n_labels): of all fold models of a CNN
    member_error: np.ndarray  # (n_cnns, n_drawn, n, n_labels)

    @classmethod
    def draw(cls, rng, world: _World, n, shares) -> _Fields:
        cluster_share, common_share, member_share = shares
        n_cnns, n_folds, n_labels = world.offset.shape
        sizes = rng.integers(1, 5, size=n)
        clusters = np.repeat(np.arange(n), sizes)[:n]
        y = _labels(rng, world, clusters)

        def normal(*shape):
            return rng.standard_normal(shape, dtype=np.float32)

        def root(share):
            return np.float32(np.sqrt(share))

        # A quarter of the common error is the field's appearance: it raises or lowers all labels.
        common = root(0.75) * normal(n, n_labels) + root(0.25) * normal(n, 1)
        of_clusters = normal(clusters[-1] + 1, n_labels)[clusters]
        shared = root(cluster_share) * of_clusters + root(common_share) * common
        own = root(1 - sum(shares)) * normal(n_cnns, n, n_labels)
        return cls(
            y=y,
            clusters=clusters,
            features=_features(normal, world, y, clusters),
            shared_error=shared + own,
            member_error=root(member_share) * normal(n_cnns, n_folds, n, n_labels),
        )

    def probabilities(self, world: _World, member: np.ndarray) -> np.ndarray:
        """Return the predictions of the CNNs, each field by the fold model chosen for it.

        Parameters
        ----------
        world : _World
        member : ndarray of int, shape (n,)

        Returns
        -------
        ndarray of float32, shape (n, n_cnns * n_labels)
        """
        n = len(self.y)
        error = self.shared_error + self.member_error[:, member, np.arange(n)]
        signal = world.signal[:, None]
        prior = np.log(world.prevalence / (1 - world.prevalence)).astype(np.float32)
        # With errors of variance 1 this is the log-odds of the label, given this CNN alone.
        evidence = signal * (error + signal * (self.y - np.float32(0.5)))
        said = world.slope[:, None] * FLATNESS * np.tanh((evidence + prior) / FLATNESS)
        said += world.offset[:, member]
        return expit(said).transpose(1, 0, 2).reshape(n, -1)


def _labels(rng, world: _World, clusters) -> np.ndarray:
    """Assign labels to clusters, each label to exactly its proportion of the fields.

    The exact proportion avoids sampling variation of rare labels between training
    and test fields, which would hide a small bias of a score behind noise.
    """
    n, n_labels = len(clusters), len(world.prevalence)
    sizes = np.bincount(clusters)
    latent = rng.standard_normal((len(sizes), n_labels))
    first, second = world.pairs.T
    rest = np.sqrt(1 - PAIR_CORRELATION**2)
    latent[:, second] = PAIR_CORRELATION * latent[:, first] + rest * latent[:, second]
    order = np.argsort(-latent, axis=0)
    holders = np.cumsum(sizes[order], axis=0) <= np.ceil(world.prevalence * n)
    y = np.zeros(latent.shape, dtype=np.uint8)
    np.put_along_axis(y, order, holders.astype(np.uint8), axis=0)
    return y[clusters]


def _features(normal, world: _World, y, clusters) -> np.ndarray:
    """Sample features; a label is at both ends of its feature, so linear models miss it."""
    n = len(y)
    of_clusters = normal(clusters[-1] + 1, world.n_features)[clusters]
    features = np.float32(np.sqrt(0.5)) * (of_clusters + normal(n, world.n_features))
    known = y[:, world.informed]
    features[:, : len(world.informed)] += known * np.sign(of_clusters[:, : len(world.informed)]) * 2
    return features
