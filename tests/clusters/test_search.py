import numpy as np
import pandas as pd
import pytest

from hpastack.clusters import PAIR_COLUMNS, duplicate_clusters, hash_fields, near_duplicates

pytestmark = pytest.mark.core


def hashed(fields):
    return hash_fields((f"f{number:03d}", field) for number, field in enumerate(fields))


def test_evidence_says_which_search_found_a_pair(scenes, photograph):
    rng = np.random.default_rng(2)
    fields = [
        photograph(scenes[0], rng), photograph(scenes[0], rng, brightness=1.1),
        photograph(scenes[0], rng, 16, 16), photograph(scenes[1], rng),
    ]  # fmt: skip
    hashes = hashed(fields)
    pairs = near_duplicates(hashes).set_index(["image_id", "twin"])["evidence"]
    assert pairs.to_dict() == {
        ("f000", "f001"): "hash+shift", ("f000", "f002"): "shift", ("f001", "f002"): "shift"
    }  # fmt: skip
    in_place = near_duplicates(hashes, shifted=False)
    assert in_place["evidence"].tolist() == ["hash"]
    assert in_place["correlation"].isna().all()
    assert duplicate_clusters(hashes).tolist() == ["f000", "f000", "f000", "f003"]


def test_embeddings_add_pairs_and_evidence(scenes, photograph):
    rng = np.random.default_rng(2)
    fields = [photograph(scenes[0], rng), photograph(scenes[0], rng), photograph(scenes[1], rng)]
    # In another order, and with a field that has no picture.
    ids = pd.Index(["elsewhere", "f002", "f001", "f000"], dtype=object)
    embeddings = pd.DataFrame([[0, 1], [0, 1.0], [5, 0], [5, 0]], index=ids)
    pairs = near_duplicates(hashed(fields), embeddings=embeddings)
    assert embeddings.index.tolist() == ["elsewhere", "f002", "f001", "f000"]
    assert pairs.columns.tolist() == list(PAIR_COLUMNS)
    assert pairs[["image_id", "twin", "evidence", "cosine"]].values.tolist() == [
        ["elsewhere", "f002", "embedding", 1.0], ["f000", "f001", "hash+shift+embedding", 1.0]
    ]  # fmt: skip
    assert pairs["distance_red"].isna().tolist() == [True, False]
    alone = near_duplicates(None, embeddings=embeddings)
    assert alone["evidence"].tolist() == ["embedding"] * 2
    assert alone["distance_red"].isna().all()


def test_pairs_of_embeddings_have_distances_too(scenes, photograph):
    rng = np.random.default_rng(2)
    fields = [photograph(scenes[number], rng) for number in (0, 1)]
    embeddings = pd.DataFrame([[1, 1.0], [1, 1], [-1, 1]], index=["f000", "f001", "f002"])
    pairs = near_duplicates(hashed(fields), embeddings=embeddings)
    assert pairs["evidence"].tolist() == ["embedding"]
    assert pairs["distance_blue"].iloc[0] > 48


def test_no_fields():
    nothing = hash_fields({})
    assert near_duplicates(nothing).columns.tolist() == list(PAIR_COLUMNS)
    assert near_duplicates(None).columns.tolist() == list(PAIR_COLUMNS)
