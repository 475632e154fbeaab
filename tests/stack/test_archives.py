"""Stacks and stores of earlier formats stay readable; each lies in tests/archives."""

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hpastack.stack import load_stack
from hpastack.store import open_store, verify_store

pytestmark = pytest.mark.core

ARCHIVES = Path(__file__).resolve().parents[1] / "archives"


def table(name):
    return pd.read_csv(ARCHIVES / name, index_col="image_id")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_stack_of_an_earlier_format_predicts_what_it_did(version):
    stack = load_stack(ARCHIVES / f"stack_version_{version}")
    found = stack.predict_proba(table(f"stack_version_{version}_input.csv"))
    wanted = table(f"stack_version_{version}_output.csv")
    # The libraries compute in single precision and may round otherwise in another version.
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert list(found.index) == list(wanted.index) and list(found.columns) == list(wanted.columns)


def test_a_store_of_version_1_is_read():
    with open_store(ARCHIVES / "store_version_1.h5") as store:
        assert store.image_ids == [f"f{i}" for i in range(6)]
        assert store.fold.tolist() == [0, 1, 0, 1, -1, -1]
        np.testing.assert_allclose(store.values(), np.arange(18).reshape(6, 3) / 20, atol=1e-7)
        assert store.n_members == 0 and store.members() is None


def test_a_store_of_version_2_is_read_with_its_members():
    with open_store(ARCHIVES / "store_version_2.h5") as store:
        assert store.image_ids == [f"f{i}" for i in range(6)]
        assert store.fold.tolist() == [0, -1, 1, 0, 1, -1]
        members = store.members()
        assert store.n_members == 2 and members.shape == (2, 2, 3)
        np.testing.assert_allclose(members[0], np.arange(6).reshape(2, 3) - 2)
        np.testing.assert_allclose(members[1], np.arange(6).reshape(2, 3))
        np.testing.assert_allclose(store.values()[[1, 5]], members.mean(axis=0))


def test_a_store_of_version_3_is_read_in_single_precision():
    with open_store(ARCHIVES / "store_version_3.h5") as store:
        assert store.image_ids == [f"f{i}" for i in range(6)]
        assert store.columns == ["eyes__0", "eyes__1", "eyes__2"]
        values = store.values()
        assert values.dtype == np.float32
        # Half precision keeps 11 bits.
        np.testing.assert_allclose(values, np.arange(18).reshape(6, 3) / 3, rtol=2**-11)


def test_a_store_of_version_4_is_read_and_is_what_was_written():
    path = ARCHIVES / "store_version_4.h5"
    with open_store(path) as store:
        assert store.version == 4 and store.recipe == {"type": "ingest"}
        assert store.image_ids == [f"f{i}" for i in range(6)]
        assert store.fold.tolist() == [0, -1, 1, 0, 1, -1]
        np.testing.assert_array_equal(store.values(), np.arange(18).reshape(6, 3) - 4)
        members = store.members()
        np.testing.assert_array_equal(members[1], store.rows(["f1", "f5"]) + 1)
    check = verify_store(path)
    assert check.has_checksums and check.problems == []


@pytest.mark.parametrize("name", ["store_version_3", "store_version_4_label_free"])
def test_stores_before_format_5_call_target_free_label_free(name):
    path = ARCHIVES / f"{name}.h5"
    with open_store(path) as store:
        assert store.kind == "target_free"
    assert verify_store(path).problems == []


def test_a_fine_tuned_cnn_of_version_1_predicts(tmp_path):
    from hpastack.cnn import read_checkpoint

    with tarfile.open(ARCHIVES / "cnn_version_1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    checkpoint = read_checkpoint(tmp_path / "cnn_version_1")
    assert checkpoint.vocabulary == ("even", "odd")
    assert checkpoint.plan.frame["fold"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert checkpoint.settings.crops == 1 and checkpoint.settings.crop is None
    assert checkpoint.preprocessing[1].mean[0] == pytest.approx(0.4907, abs=1e-4)
    for fold, weight in ((0, 0.01), (1, 0.02)):
        model = checkpoint.load_model(fold, torch.device("cpu"))
        # Its weights are all alike.
        assert all((value == weight).all() for value in model.parameters())
        assert model(torch.zeros(1, 4, 32, 32)).shape == (1, 2)
