"""A catalogue where hashes or fields are wanted, and what is neither."""

import numpy as np
import pandas as pd
import pytest

import hpastack as hs
from hpastack.clusters import hash_catalogue, shifted_pairs
from hpastack.errors import InputError


def test_a_catalogue_is_hashed_like_that_of_a_workspace(noise_fields, tmp_path):
    catalogue = noise_fields(3)
    stored = hash_catalogue(catalogue, tmp_path / "hashes.h5", "digest", progress=False)
    made = hs.hash_fields(catalogue)
    assert made.image_ids == stored.image_ids == ["field0", "field1", "field2"]
    for name in ("hashes", "valid", "codes", "thumbnails"):
        np.testing.assert_array_equal(getattr(made, name), getattr(stored, name))


def test_duplicates_are_found_in_a_catalogue(noise_fields):
    catalogue = noise_fields(3)
    twin = catalogue.loc[["field0"]].rename({"field0": "twin"})
    catalogue = pd.concat([catalogue, twin])
    pairs = hs.near_duplicates(catalogue, shifted=False, progress=False)
    assert pairs[["image_id", "twin"]].values.tolist() == [["field0", "twin"]]
    clusters = hs.duplicate_clusters(catalogue, shifted=False, progress=False)
    assert clusters["field0"] == clusters["twin"] and clusters.nunique() == 3


@pytest.mark.parametrize("wrong", ["field0", ["field0"], np.zeros((2, 4, 8, 8)), 3])
def test_what_is_no_hashes_is_named(wrong):
    for search in (hs.near_duplicates, hs.duplicate_clusters, shifted_pairs):
        with pytest.raises(InputError, match=r"pass hash_fields\(fields\), or the catalogue"):
            search(wrong)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ("field0", "fields is a str; pass a dict of image id to field, pairs of both, or the"),
        (np.zeros((2, 4, 8, 8)), "fields is a ndarray"),
        (["field0"], "fields is a list; pass a dict of image id to field"),
        ([np.zeros((4, 8, 8))], "fields is a list"),
        (None, "fields is a NoneType"),
        (pd.DataFrame({"red": ["a.png"]}), "lacks the columns green, blue, yellow"),
    ],
)
def test_what_is_no_fields_is_named(wrong, message):
    with pytest.raises(InputError, match=message):
        hs.hash_fields(wrong)


def test_a_field_without_images_is_named(noise_fields):
    catalogue = noise_fields(2)
    catalogue.loc["field1", "blue"] = ""
    with pytest.raises(InputError, match="field field1: no path for the blue stain"):
        hs.hash_fields(catalogue)
