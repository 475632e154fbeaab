"""Domains: clusters that look alike, folds that leave one out, agreement with what is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.domain_folds import held_out_domains

from hpastack.clusters import read_assignment
from hpastack.errors import InputError
from hpastack.features import feature_columns
from hpastack.folds import FoldPlan
from hpastack.similarity import (
    domain_agreement,
    domain_clusters,
    domain_folds,
    domains_of_components,
    field_components,
    reference_columns,
)
from hpastack.similarity.components import field_matrix

pytestmark = pytest.mark.core


def table(values, prefix="f"):
    values = np.asarray(values, dtype=float)
    ids = pd.Index([f"{prefix}{i:04d}" for i in range(len(values))], name="image_id")
    return pd.DataFrame(values, index=ids, columns=[f"c{j}" for j in range(values.shape[1])])


@pytest.fixture(scope="module")
def blobs():
    """Three kinds of 60, 40 and 20 fields in 6 columns, and which kind each is."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [60, 40, 20])
    centres = rng.normal(scale=6, size=(3, 6))
    features = table(centres[kind] + rng.normal(size=(120, 6)))
    return features, pd.Series(kind, index=features.index)


def test_domains_are_the_kinds_the_largest_first(blobs):
    features, kind = blobs
    domains = domain_clusters(features, 3)
    assert domains.name == "domain"
    assert domains.dtype == np.int64
    pd.testing.assert_series_equal(domains, kind, check_names=False)


def test_auto_finds_the_number(blobs):
    features, kind = blobs
    pd.testing.assert_series_equal(domain_clusters(features, "auto"), kind, check_names=False)


def test_the_order_of_rows_changes_nothing(blobs):
    features, _ = blobs
    noise = table(np.random.default_rng(1).normal(size=(300, 6)), "g")  # no clear domains
    features = pd.concat([features, noise])
    domains = domain_clusters(features, 7, random_state=3)
    turned = domain_clusters(features.sample(frac=1, random_state=5), 7, random_state=3)
    pd.testing.assert_series_equal(turned.loc[features.index], domains)


def test_an_outlier_and_a_constant_column_change_little(blobs):
    features, kind = blobs
    wild = features.assign(constant=3.0)
    wild.iloc[0, 0] = 1e9
    pd.testing.assert_series_equal(domain_clusters(wild, 3), kind, check_names=False)


def test_domains_of_one_size_are_numbered_by_their_smallest_id():
    features = table([[0], [9], [0.1], [9.1], [0.2], [9.2]])
    assert domain_clusters(features, 2).tolist() == [0, 1, 0, 1, 0, 1]
    assert domain_clusters(features.iloc[::-1], 2).tolist() == [1, 0, 1, 0, 1, 0]


def test_components_are_uncorrelated_and_of_falling_spread(blobs):
    components = field_components(blobs[0])
    assert list(components)[:2] == ["pc1", "pc2"]
    covariance = np.cov(components.to_numpy().T)
    spread = np.sqrt(np.diag(covariance))
    assert (np.diff(spread) < 0).all()
    # float32 columns: about seven digits of the largest entry.
    assert np.abs(covariance - np.diag(spread**2)).max() < 1e-4 * spread[0] ** 2


def test_what_cannot_be_clustered_is_named():
    features = table(np.random.default_rng(0).normal(size=(10, 2)))
    bad = features.copy()
    bad.iloc[4, 1] = np.nan
    with pytest.raises(InputError, match="nan in column 'c1' of field f0004; 1 field"):
        domain_clusters(bad, 2)
    bad.iloc[4, 1] = 1e300
    with pytest.raises(InputError, match="inf in column 'c1'"):
        domain_clusters(bad, 2)
    with pytest.raises(InputError, match="duplicate ids: f0000"):
        domain_clusters(pd.concat([features, features.iloc[:1]]), 2)
    with pytest.raises(InputError, match="not numeric: well"):
        domain_clusters(features.assign(well="A1"), 2)
    with pytest.raises(InputError, match="the same features"):
        domain_clusters(table(np.ones((10, 2))), 2)
    with pytest.raises(InputError, match="10 different fields cannot make 11 domains"):
        domain_clusters(features, 11)
    with pytest.raises(InputError, match="at least 3 different fields"):
        domains_of_components(table([[0], [1]]), "auto")
    with pytest.raises(InputError, match="is empty: 0 fields"):
        domain_clusters(features.iloc[:0], 2)
    for number in (1, 2.5, True, "many"):
        with pytest.raises(InputError, match="a whole number of at least 2, or 'auto'"):
            domain_clusters(features, number)


def test_nan_of_a_hand_crafted_column_is_the_median_of_the_others():
    table = pd.DataFrame(
        {"spots_blob_size_s1__green": [1.0, np.nan, 2.0, 6.0], "other": [0.0, 1.0, 2.0, 3.0]},
        index=list("dcba"),
    )
    order, values = field_matrix(table)
    assert order.tolist() == [3, 2, 1, 0]
    assert values[:, 0].tolist() == [6, 2, 2, 1]
    table["spots_blob_size_s1__green"] = np.nan
    assert (field_matrix(table)[1][:, 0] == 0).all()


def test_a_matrix_is_in_the_order_of_the_ids():
    order, values = field_matrix(table([[0], [1], [2]]).iloc[[2, 0, 1]])
    assert order.tolist() == [1, 2, 0]
    assert values[:, 0].tolist() == [0, 1, 2]


def test_no_reference_column_looks_at_the_protein():
    columns = feature_columns()
    chosen = reference_columns(columns)
    assert chosen
    assert not any("green" in name for name in chosen)
    # What is left names the protein, or the field as a whole.
    assert all(name.endswith(("__green", "__field")) for name in set(columns) - set(chosen))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), min_size=1),
)
@settings(max_examples=25, deadline=None)
def test_folds_leave_out_domains_and_keep_clusters(rows):
    ids = [f"f{i}" for i in range(len(rows))]
    domains = pd.Series([row[0] for row in rows], ids)
    clusters = pd.Series([f"k{row[1]}" for row in rows], ids)
    train_ids = [image_id for image_id, row in zip(ids, rows) if row[2]]
    expected = held_out_domains(domains, clusters, train_ids)
    if len(set(expected.values())) < 2:
        with pytest.raises(InputError, match="train_ids is empty|all training fields"):
            domain_folds(domains, clusters, train_ids)
        return
    frame = domain_folds(domains, clusters, train_ids)
    assert frame["domain"].to_dict() == expected
    plan = FoldPlan(frame)
    assert plan.split_clusters.empty
    assert plan.n_folds == len(set(expected.values()))
    assert frame.groupby("fold")["domain"].nunique().eq(1).all()


def test_folds_need_a_domain_and_a_cluster_of_every_training_field():
    domains, clusters = pd.Series({"a": 0, "b": 1}), pd.Series({"a": "a", "c": "c"})
    with pytest.raises(InputError, match="1 training field has no domain: c"):
        domain_folds(domains, clusters, ["a", "c"])
    with pytest.raises(InputError, match="1 training field has no cluster: b"):
        domain_folds(domains, clusters, ["a", "b"])
    with pytest.raises(InputError, match="all training fields are assigned to domain 0"):
        domain_folds(domains, clusters, ["a"])


def test_agreement_by_hand():
    domains = pd.Series({"a": 0, "b": 0, "c": 0, "d": 1})
    known = pd.Series({"a": "x", "b": "x", "c": "y", "d": "y", "e": "y"})
    found = domain_agreement(domains, known)
    assert found["n_fields"] == 4
    assert (found["majority"], found["commonest"]) == (0.75, 0.5)
    assert found["adjusted_rand"] == pytest.approx(0.0)
    with pytest.raises(InputError, match="no field with a domain"):
        domain_agreement(domains, pd.Series({"a": ""}))


def test_assignments_are_read_and_bad_ones_named(tmp_path):
    path = tmp_path / "domains.csv"
    path.write_text("image_id,domain\nb,1\na,0\n")
    assert read_assignment(path, "domain").to_dict() == {"b": "1", "a": "0"}
    for text, message in (
        ("image_id,fold\na,0\n", "the columns image_id and domain"),
        ("image_id,domain\na,0\na,1\n", "duplicate ids: a"),
        ("image_id,domain\na,\n", "a has no domain"),
        ("", "not a CSV table"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_assignment(path, "domain")
