"""Stores: round trip, resume, refusal of what is wrong."""

import h5py
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.store import (
    StoreHeader,
    StoreWriter,
    fold_digest,
    is_current,
    open_store,
    write_store,
)

HEADER = StoreHeader(
    kind="label_free", content="features", columns=["a", "b"], recipe={"size": 8}, made_from="x"
)
IDS = [f"field{i}" for i in range(10)]
VALUES = np.arange(20, dtype=np.float32).reshape(10, 2)


def test_round_trip(tmp_path):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with open_store(path) as store:
        assert (store.name, store.kind, store.content) == ("set", "label_free", "features")
        assert store.image_ids == IDS
        assert store.columns == ["a", "b"]
        assert store.recipe == {"size": 8}
        assert store.fold is None and store.vocabulary is None
        np.testing.assert_array_equal(store.values(), VALUES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set.h5"]


def test_rows_join_by_id_whatever_the_order(tmp_path):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with open_store(path) as store:
        frame = store.to_frame(["field7", "field2"])
    assert frame.index.tolist() == ["field7", "field2"]
    assert frame["a"].tolist() == [14, 4]


def test_a_missing_id_is_named(tmp_path):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with open_store(path) as store, pytest.raises(InputError, match="lacks 1 of 2 fields: nowhere"):
        store.to_frame(["field1", "nowhere"])


def test_plain_h5py_reads_it(tmp_path):
    fold = [0] * 5 + [1] * 4 + [-1]
    header = StoreHeader("out_of_fold", "logits", ["s__0", "s__1"], fold_plan="d")
    path = write_store(tmp_path / "s.h5", header, IDS, VALUES, fold=fold)
    with h5py.File(path) as file:
        assert file.attrs["kind"] == "out_of_fold"
        assert file["image_ids"][0] == b"field0"
        assert file["fold"][()].tolist() == fold
        assert file["values"].dtype == np.float32


def test_same_input_same_bytes(tmp_path):
    one = write_store(tmp_path / "one.h5", HEADER, IDS, VALUES)
    writer = StoreWriter(tmp_path / "two.h5", HEADER, IDS)
    for block in reversed(writer.pending()):
        writer.write(block, VALUES[block])
    assert one.read_bytes() == writer.publish().read_bytes()


def test_finished_blocks_are_kept_and_foreign_ones_dropped(tmp_path):
    path = tmp_path / "set.h5"
    writer = StoreWriter(path, HEADER, IDS, block_size=4)
    blocks = writer.pending()
    writer.write(blocks[1], VALUES[blocks[1]])
    again = StoreWriter(path, HEADER, IDS, block_size=4)
    assert again.pending() == [blocks[0], blocks[2]]
    with pytest.raises(ValueError, match="2 blocks are not finished"):
        again.publish()
    other = StoreHeader("label_free", "features", ["a", "b"], recipe={"size": 9}, made_from="x")
    assert len(StoreWriter(path, other, IDS, block_size=4).pending()) == 3
    assert not path.exists()


def test_a_damaged_part_is_made_again(tmp_path):
    writer = StoreWriter(tmp_path / "set.h5", HEADER, IDS, block_size=5)
    for block in writer.pending():
        writer.write(block, VALUES[block])
    part = sorted(writer.parts.iterdir())[0]
    part.write_bytes(part.read_bytes()[:200])
    assert StoreWriter(tmp_path / "set.h5", HEADER, IDS, block_size=5).pending() == [slice(0, 5)]


def test_existing_store_is_refused_and_replaced_only_at_the_end(tmp_path):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with pytest.raises(InputError, match="exists; give --overwrite"):
        write_store(path, HEADER, IDS, VALUES)
    writer = StoreWriter(path, HEADER, IDS, overwrite=True)
    with open_store(path) as store:
        np.testing.assert_array_equal(store.values(), VALUES)
    writer.write(writer.pending()[0], VALUES + 1)
    writer.publish()
    with open_store(path) as store:
        np.testing.assert_array_equal(store.values(), VALUES + 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(tmp_path, bad):
    values = VALUES.copy()
    values[3, 1] = bad
    with pytest.raises(InputError, match="column 'b' of field field3"):
        write_store(tmp_path / "set.h5", HEADER, IDS, values)
    assert list(tmp_path.iterdir()) == []


def test_nan_is_kept_where_the_header_allows_it(tmp_path):
    values = VALUES.copy()
    values[3, 1] = np.nan
    header = StoreHeader("label_free", "features", ["a", "b"], allow_nan=True)
    with open_store(write_store(tmp_path / "set.h5", header, IDS, values)) as store:
        np.testing.assert_array_equal(store.values(), values)


def test_doubled_ids_are_named(tmp_path):
    with pytest.raises(InputError, match="ids stand twice: field0"):
        write_store(tmp_path / "set.h5", HEADER, ["field0", *IDS[:9]], VALUES)


def test_what_is_not_a_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such store"), open_store(tmp_path / "none.h5"):
        pass
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputError, match="not an HDF5 file"), open_store(tmp_path / "text.h5"):
        pass
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="not a store"), open_store(tmp_path / "other.h5"):
        pass


def test_a_newer_format_and_foreign_links_are_refused(tmp_path):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(InputError, match="format 99"), open_store(path):
        pass
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 1
        del file["values"]
        file["values"] = h5py.ExternalLink("/etc/hostname", "/x")
    with pytest.raises(InputError, match="not to be trusted"), open_store(path):
        pass


def test_header_is_checked():
    with pytest.raises(InputError, match="unknown kind 'oof'"):
        StoreHeader("oof", "features", ["a"])
    with pytest.raises(InputError, match="columns stand twice: a"):
        StoreHeader("label_free", "features", ["a", "a"])
    with pytest.raises(InputError, match="2 columns of predictions for 3 labels"):
        StoreHeader("in_sample", "logits", ["a", "b"], vocabulary=["x", "y", "z"])


def test_is_current(tmp_path):
    path = tmp_path / "set.h5"
    assert not is_current(path, {"size": 8}, "x")
    write_store(path, HEADER, IDS, VALUES)
    assert is_current(path, {"size": 8}, "x")
    assert not is_current(path, {"size": 9}, "x")
    assert not is_current(path, {"size": 8}, "y")


def test_fold_digest_tells_plans_apart():
    assert fold_digest(["a", "b"], [0, 1]) == fold_digest(["b", "a"], [1, 0])
    assert fold_digest(["a", "b"], [0, 1]) != fold_digest(["a", "b"], [1, 0])


@pytest.mark.parametrize("chunks", [None, (3, 1)])
def test_blocks_are_whole_rows_whatever_the_chunks(tmp_path, chunks):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with h5py.File(path, "r+") as file:
        del file["values"]
        file.create_dataset("values", data=VALUES, chunks=chunks)
    with open_store(path) as store:
        assert np.array_equal(np.concatenate(list(store.blocks())), VALUES)
