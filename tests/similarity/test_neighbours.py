"""Neighbours: by hand, against brute force, out of fold, and at prevalence without labels."""

import numpy as np
import pandas as pd
import pytest

import hpastack as hs
from hpastack.errors import InputError
from hpastack.similarity import nearest_fields, neighbour_scores, unit_vectors

pytestmark = pytest.mark.core


def looks(n_clusters=40, per_cluster=3, n_looks=4, spread=0.3, seed=0):
    """Draw clusters of fields whose look tells their label; return vectors, labels and folds."""
    rng = np.random.default_rng(seed)
    of_cluster = rng.integers(n_looks, size=n_clusters)
    centres = np.eye(n_looks, 6)[of_cluster] + spread * rng.normal(size=(n_clusters, 6))
    vectors = np.repeat(centres, per_cluster, axis=0)
    vectors += 0.01 * rng.normal(size=vectors.shape)  # near-duplicates
    ids = [f"f{number:03d}" for number in range(len(vectors))]
    y = pd.DataFrame(np.repeat(np.eye(n_looks, dtype=int)[of_cluster], per_cluster, axis=0), ids)
    fold = pd.Series(np.repeat(np.arange(n_clusters) % 4, per_cluster), ids)
    return pd.DataFrame(vectors, ids), y, fold


def test_nearest_fields_agree_with_all_cosines():
    rng = np.random.default_rng(0)
    vectors = unit_vectors([pd.DataFrame(rng.normal(size=(300, 20)))])
    rows, cosines = nearest_fields(vectors[:50], vectors, 7)
    every = vectors[:50].astype(float) @ vectors.T.astype(float)
    np.testing.assert_array_equal(rows, np.argsort(-every, axis=1)[:, :7])
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :7], atol=1e-6)
    assert (rows[:, 0] == np.arange(50)).all()


def test_equally_near_ones_come_in_their_order():
    references = np.float32([[1, 0], [0, 1], [1, 0], [1, 0]])
    rows, cosines = nearest_fields(np.float32([[1, 0]]), references, 3)
    assert rows.tolist() == [[0, 2, 3]] and cosines.tolist() == [[1, 1, 1]]
    assert nearest_fields(references, references, 9)[0].shape == (4, 4)


def test_scores_agree_with_the_obvious_loop():
    table, y, fold = looks()
    new = pd.DataFrame(np.random.default_rng(1).normal(size=(9, 6)), [f"new{i}" for i in range(9)])
    table = pd.concat([new, table])
    vectors = unit_vectors([table])
    found = neighbour_scores(vectors, y, fold, list(table.index), n_neighbours=5, temperature=0.3)
    row_of = {image_id: row for row, image_id in enumerate(table.index)}
    for image_id in table.index:
        others = [o for o in y.index if image_id not in fold or fold[o] != fold[image_id]]
        cosines = {o: float(vectors[row_of[image_id]] @ vectors[row_of[o]]) for o in others}
        near = sorted(others, key=lambda o: -cosines[o])[:5]
        top = cosines[near[0]]
        weights = np.array([np.exp((cosines[o] - top) / 0.3) for o in near])
        share = weights @ y.loc[near].to_numpy() + y.loc[others].mean().to_numpy()
        expected = share / (weights.sum() + 1)
        np.testing.assert_allclose(found.scores.loc[image_id], expected, atol=1e-5)
        mean = np.mean([cosines[o] for o in near])
        np.testing.assert_allclose(found.similarity.loc[image_id], [top, mean], atol=1e-5)


def test_labels_of_a_fold_do_not_reach_its_own_scores():
    table, y, fold = looks()
    vectors, ids = unit_vectors([table]), list(table.index)
    before = neighbour_scores(vectors, y, fold, ids)
    changed = y.copy()
    inside = fold[fold == 2].index
    changed.loc[inside] = 1 - changed.loc[inside]
    after = neighbour_scores(vectors, changed, fold, ids)
    np.testing.assert_array_equal(before.scores.loc[inside], after.scores.loc[inside])
    outside = fold[fold != 2].index
    assert (before.scores.loc[outside] != after.scores.loc[outside]).any(axis=1).mean() > 0.5
    pd.testing.assert_frame_equal(before.similarity, after.similarity)


def test_looks_are_told_apart_and_shuffled_labels_score_at_prevalence():
    table, y, fold = looks(n_clusters=200)
    vectors, ids = unit_vectors([table]), list(table.index)
    scores = neighbour_scores(vectors, y, fold, ids).scores.to_numpy()
    assert hs.macro_average_precision(y.to_numpy(), scores) > 0.9
    # Whole clusters are shuffled: near-duplicates have one label, as they do on the atlas.
    order = np.random.default_rng(0).permutation(200)
    shuffled = pd.DataFrame(y.to_numpy()[::3][order].repeat(3, axis=0), y.index)
    scores = neighbour_scores(vectors, shuffled, fold, ids).scores.to_numpy()
    prevalence = shuffled.to_numpy().mean()
    precision = hs.macro_average_precision(shuffled.to_numpy(), scores)
    assert precision == pytest.approx(prevalence, abs=0.06)


def test_a_twin_in_another_fold_would_give_labels_away_and_a_cluster_keeps_it_out():
    table, _, fold = looks(n_clusters=100)
    # Labels that no look tells, alike within a cluster.
    labels = np.random.default_rng(9).integers(2, size=(100, 1))
    y = pd.DataFrame(np.repeat(labels, 3, axis=0), table.index)
    vectors, ids = unit_vectors([table]), list(table.index)
    split = pd.Series(np.arange(300) % 4, table.index)
    for plan, low, high in ((fold, 0.3, 0.65), (split, 0.9, 1.0)):
        scores = neighbour_scores(vectors, y, plan, ids, n_neighbours=3).scores.to_numpy()
        assert low < hs.macro_average_precision(y.to_numpy(), scores) <= high


def test_vectors_have_length_one_and_tables_the_same_weight():
    rng = np.random.default_rng(0)
    small, large = (pd.DataFrame(rng.normal(size=(50, d)) * s + 9) for d, s in ((4, 1), (60, 500)))
    vectors = unit_vectors([small, large])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((vectors[:, :4] ** 2).sum(axis=1), 0.5, atol=1e-6)
    flat = unit_vectors([pd.DataFrame(np.full((5, 3), 7.0))])
    assert not flat.any()


def test_measured_columns_of_any_unit_and_with_nan_are_taken():
    dataset = hs.synthetic_dataset(30, 0, size=64, seed=0)
    rows = {i: hs.field_features(f, ["spots", "intensity"]) for i, f in dataset.fields()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    vectors = unit_vectors([table], measured=[True])
    table["intensity_mean__red"] *= 1000
    np.testing.assert_allclose(unit_vectors([table], measured=[True]), vectors, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature is 0"),
        ({"n_neighbours": 0}, "n_neighbours is 0; it must be at least 1"),
        ({"fold": 0}, "at least two folds"),
        ({"image_ids": ["f000"] * 120}, "duplicate ids: f000"),
        ({"image_ids": ["f000"]}, "image_ids has 1 id and vectors has 120 rows"),
        ({"y": pd.DataFrame([[1]], ["other"])}, "training fields that are not in image_ids: other"),
        ({"fold": pd.Series(dtype=int)}, "training fields without a fold: "),
    ],
)
def test_what_does_not_match_is_rejected(change, message):
    table, y, fold = looks()
    arguments = {"y": y, "fold": fold, "image_ids": list(table.index), **change}
    if isinstance(change.get("fold"), int):
        arguments["fold"] = fold * 0
    with pytest.raises(InputError, match=message):
        neighbour_scores(unit_vectors([table]), **arguments)
    with pytest.raises(InputError, match="the same fields in the same order"):
        unit_vectors([table, table[::-1]])
    with pytest.raises(InputError, match="tables is empty"):
        unit_vectors([])
    with pytest.raises(InputError, match="references is empty"):
        nearest_fields(np.ones((2, 3)), np.ones((0, 3)), 1)
