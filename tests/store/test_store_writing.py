"""Stores: round trip, resume, refusal of what is wrong."""

import h5py
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.folds import fold_digest
from hpastack.store import StoreHeader, StoreWriter, is_current, open_store, write_store

pytestmark = pytest.mark.core


def rows(blocks):
    return [block.tolist() for block in blocks]


HEADER = StoreHeader(
    kind="target_free", content="features", columns=["a", "b"], recipe={"size": 8}, made_from="x"
)
IDS = [f"field{i}" for i in range(10)]
VALUES = np.arange(20, dtype=np.float32).reshape(10, 2)


def test_the_former_name_of_a_kind_is_accepted_with_a_warning():
    with pytest.warns(FutureWarning, match="'label_free' is now called 'target_free'"):
        former = StoreHeader("label_free", "features", ["a"])
    assert former == StoreHeader("target_free", "features", ["a"])


def test_round_trip(tmp_path):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with open_store(path) as store:
        assert (store.name, store.kind, store.content) == ("set", "target_free", "features")
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


@pytest.mark.parametrize("n_columns", [1, 2, 31])
def test_numbers_lie_in_one_piece_at_a_multiple_of_64_bytes(tmp_path, n_columns):
    header = StoreHeader("target_free", "features", [f"c{n}" for n in range(n_columns)])
    path = write_store(tmp_path / "set.h5", header, IDS, np.ones((10, n_columns)))
    with h5py.File(path) as file:
        assert file["values"].chunks is None
        assert file["values"].id.get_offset() % 64 == 0


@pytest.mark.parametrize("image_id", ["", "a\0b"])
def test_what_is_no_id_is_refused(tmp_path, image_id):
    with pytest.raises(InputError, match="is not a valid id"):
        write_store(tmp_path / "set.h5", HEADER, [image_id, *IDS[1:]], VALUES)


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
    assert rows(again.pending()) == [[0, 1, 2, 3], [8, 9]]
    with pytest.raises(ValueError, match="6 rows are not finished"):
        again.publish()
    other = StoreHeader("target_free", "features", ["a", "b"], recipe={"size": 9}, made_from="x")
    assert len(StoreWriter(path, other, IDS, block_size=4).pending()) == 3
    assert not path.exists()


def test_a_damaged_part_is_made_again(tmp_path):
    writer = StoreWriter(tmp_path / "set.h5", HEADER, IDS, block_size=5)
    for block in writer.pending():
        writer.write(block, VALUES[block])
    part = sorted(writer.parts.iterdir())[0]
    part.write_bytes(part.read_bytes()[:200])
    again = StoreWriter(tmp_path / "set.h5", HEADER, IDS, block_size=5)
    assert rows(again.pending()) == [[0, 1, 2, 3, 4]]


def test_existing_store_is_refused_and_replaced_only_at_the_end(tmp_path):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with pytest.raises(InputError, match="exists; pass overwrite=True"):
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
    header = StoreHeader("target_free", "features", ["a", "b"], allow_nan=True)
    with open_store(write_store(tmp_path / "set.h5", header, IDS, values)) as store:
        np.testing.assert_array_equal(store.values(), values)


def test_doubled_ids_are_named(tmp_path):
    with pytest.raises(InputError, match="duplicate ids: field0"):
        write_store(tmp_path / "set.h5", HEADER, ["field0", *IDS[:9]], VALUES)


def test_shapes_and_numbers_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "set.h5"
    with pytest.raises(InputError, match=r"set\.h5: no fields to store"):
        write_store(path, HEADER, [], VALUES)
    with pytest.raises(InputError, match=r"set\.h5: values have shape \(9, 2\) for 10 fields"):
        write_store(path, HEADER, IDS, VALUES[:9])
    with pytest.raises(InputError, match=r"set\.h5: 3 fold numbers for 10 fields"):
        StoreWriter(path, HEADER, IDS, fold=[0, 1, 0])
    writer = StoreWriter(path, HEADER, IDS)
    with pytest.raises(InputError, match=r"a block has shape \(2, 1\) instead of \(2, 2\)"):
        writer.write([0, 1], VALUES[:2, :1])


def test_a_store_of_skipped_fields_only_is_none(tmp_path):
    writer = StoreWriter(tmp_path / "set.h5", HEADER, IDS[:2])
    writer.write([], VALUES[:0], faults={0: "dark", 1: "dark"})
    with pytest.raises(ValueError, match="all 2 fields are skipped"):
        writer.publish()


def test_parts_that_differ_in_a_field_are_not_put_together(tmp_path):
    one, other = (StoreWriter(tmp_path / "set.h5", HEADER, IDS) for _ in range(2))
    one.write(range(6), VALUES[:6])
    other.write(range(5, 10), VALUES[5:] + 1)
    with pytest.raises(InputError, match="field field5 has other values than in another part"):
        other.publish()


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
    with pytest.raises(InputError, match="duplicate columns: a"):
        StoreHeader("target_free", "features", ["a", "a"])
    with pytest.raises(InputError, match="unknown content 'odds'; it must be one of"):
        StoreHeader("target_free", "odds", ["a"])
    with pytest.raises(InputError, match="a store needs at least one column"):
        StoreHeader("target_free", "features", [])
    with pytest.raises(InputError, match="2 columns of predictions for 3 labels"):
        StoreHeader("in_sample", "logits", ["a", "b"], vocabulary=["x", "y", "z"])


def test_is_current(tmp_path):
    path = tmp_path / "set.h5"
    assert not is_current(path, {"size": 8}, "x")
    write_store(path, HEADER, IDS, VALUES)
    assert is_current(path, {"size": 8}, "x")
    assert not is_current(path, {"size": 9}, "x")
    assert not is_current(path, {"size": 8}, "y")
    with open_store(path) as store:
        columns = store.columns
    assert is_current(path, {"size": 8}, "x", columns)
    assert not is_current(path, {"size": 8}, "x", [*columns, "more"])


def test_fold_digest_tells_plans_apart():
    assert fold_digest(["a", "b"], [0, 1]) == fold_digest(["b", "a"], [1, 0])
    assert fold_digest(["a", "b"], [0, 1]) != fold_digest(["a", "b"], [1, 0])


@pytest.mark.parametrize("chunks", [None, (3, 1)])
def test_blocks_are_whole_rows_whatever_the_chunks(tmp_path, chunks):
    path = write_store(tmp_path / "set.h5", HEADER, IDS, VALUES)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2  # format 4 has no chunks
        del file["values"], file["checksums"]
        file.create_dataset("values", data=VALUES, chunks=chunks)
    with open_store(path) as store:
        assert np.array_equal(np.concatenate(list(store.blocks())), VALUES)


PREDICTED = StoreHeader("out_of_fold", "logits", ["s__0", "s__1"], fold_plan="d")
# Test fields in the three blocks of four rows: one, none, two.
FOLD = np.array([0, -1, 1, 0, 1, 1, 0, 0, -1, -1])
MEMBERS = np.array([VALUES[FOLD == -1] - 3, VALUES[FOLD == -1] + 1, VALUES[FOLD == -1] + 2])


def test_members_come_back_beside_their_mean(tmp_path):
    path = write_store(tmp_path / "s.h5", PREDICTED, IDS, VALUES, fold=FOLD, members=MEMBERS)
    with open_store(path) as store:
        assert store.n_members == 3
        np.testing.assert_array_equal(store.members(), MEMBERS)
        np.testing.assert_array_equal(store.values(), VALUES)
        np.testing.assert_allclose(store.to_frame(["field1"]).iloc[0], MEMBERS[:, 0].mean(axis=0))
    with h5py.File(path) as file:
        assert file.attrs["version"] == 5 and file["members"].dtype == np.float32
    bare = write_store(tmp_path / "bare.h5", PREDICTED, IDS, VALUES, fold=FOLD)
    with open_store(bare) as store:
        assert store.n_members == 0 and store.members() is None


def test_parts_carry_their_members(tmp_path):
    whole = write_store(tmp_path / "whole.h5", PREDICTED, IDS, VALUES, fold=FOLD, members=MEMBERS)
    path, plan = tmp_path / "s.h5", {"fold": FOLD, "block_size": 4}
    writer = StoreWriter(path, PREDICTED, IDS, n_members=3, **plan)
    first, second, third = writer.pending()
    writer.write(third, VALUES[third], MEMBERS[:, 1:])
    # Killed here, and begun again: the finished block is kept, with its members.
    again = StoreWriter(path, PREDICTED, IDS, n_members=3, **plan)
    assert rows(again.pending()) == rows([first, second])
    again.write(second, VALUES[second])
    again.write(first, VALUES[first], MEMBERS[:, :1])
    again.publish()
    with open_store(path) as store, open_store(whole) as other:
        np.testing.assert_array_equal(store.members(), other.members())
        np.testing.assert_array_equal(store.values(), other.values())


def test_parts_with_another_number_of_members_are_dropped(tmp_path):
    path, plan = tmp_path / "s.h5", {"fold": FOLD, "block_size": 4}
    writer = StoreWriter(path, PREDICTED, IDS, n_members=3, **plan)
    block = writer.pending()[0]
    writer.write(block, VALUES[block], MEMBERS[:, :1])
    assert len(StoreWriter(path, PREDICTED, IDS, **plan).pending()) == 3


def test_members_that_do_not_fit_are_refused(tmp_path):
    def write(members, fold=FOLD, header=PREDICTED):
        write_store(tmp_path / "s.h5", header, IDS, VALUES, fold=fold, members=members)

    with pytest.raises(InputError, match=r"members have shape \(3, 2, 2\) instead of \(3, 3, 2\)"):
        write(MEMBERS[:, 1:])
    with pytest.raises(InputError, match="only predictions with folds can have"):
        write(MEMBERS, fold=None)
    with pytest.raises(InputError, match="only predictions with folds can have"):
        write(MEMBERS, header=HEADER)
    with pytest.raises(InputError, match="no field has fold -1"):
        write(MEMBERS, fold=np.zeros(10, int))
    shifted = MEMBERS.copy()
    shifted[0, 2, 1] += 0.01
    with pytest.raises(InputError, match="'s__1' of field field9 is not the mean of the members"):
        write(shifted)
    shifted[0, 2, 1] = np.nan
    with pytest.raises(InputError, match=r"nan in column 's__1' of field field9 \(member 0\)"):
        write(shifted)
    with pytest.raises(InputError, match="1001 members"):
        write(np.zeros((1001, 3, 2)))
    assert list(tmp_path.iterdir()) == []
    writer = StoreWriter(tmp_path / "s.h5", PREDICTED, IDS, fold=FOLD, n_members=3)
    with pytest.raises(InputError, match="members have shape none"):
        writer.write(writer.pending()[0], VALUES)
    writer = StoreWriter(tmp_path / "s.h5", PREDICTED, IDS, fold=FOLD)
    with pytest.raises(InputError, match="members have shape"):
        writer.write(writer.pending()[0], VALUES, MEMBERS)


@pytest.mark.parametrize(
    "members", [MEMBERS[:, :2], MEMBERS[0], MEMBERS[:0], MEMBERS.astype(np.float64), "text"]
)
def test_a_store_whose_members_do_not_fit_is_not_read(tmp_path, members):
    path = write_store(tmp_path / "s.h5", PREDICTED, IDS, VALUES, fold=FOLD, members=MEMBERS)
    with h5py.File(path, "r+") as file:
        del file["members"]
        file["members"] = members
    with (
        pytest.raises(InputError, match="members'? of shape .* not to be trusted"),
        open_store(path),
    ):
        pass


def test_members_are_refused_where_no_store_has_them(tmp_path):
    path = write_store(tmp_path / "s.h5", PREDICTED, IDS, VALUES, fold=FOLD, members=MEMBERS)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 1
        del file["checksums"]
    with (
        pytest.raises(InputError, match="contains 'members', which no"),
        open_store(path),
    ):
        pass
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2
        file.attrs["content"] = "features"
    with pytest.raises(InputError, match="only predictions with folds have"), open_store(path):
        pass


@pytest.mark.parametrize(
    "name, data", [("values", VALUES[:3]), ("values", VALUES.T), ("fold", FOLD[:3])]
)
def test_datasets_that_do_not_fit_each_other_are_refused(tmp_path, name, data):
    path = write_store(tmp_path / "s.h5", PREDICTED, IDS, VALUES, fold=FOLD)
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = data
    with pytest.raises(InputError, match=f"'{name}' has the shape"), open_store(path):
        pass


def test_scores_are_any_number_with_a_column_a_label(tmp_path):
    header = {"kind": "out_of_fold", "content": "scores", "columns": ["s__0", "s__1"]}
    with pytest.raises(InputError, match="scores needs the label names"):
        StoreHeader(**header)
    with pytest.raises(InputError, match="2 columns of scores for 3 labels"):
        StoreHeader(**header, vocabulary=["x", "y", "z"])
    names = StoreHeader(**header, vocabulary=["x", "y"], allow_nan=True)
    values = VALUES - 7
    values[3, 1] = np.nan
    with open_store(write_store(tmp_path / "s.h5", names, IDS, values, fold=FOLD)) as store:
        assert store.content == "scores" and store.vocabulary == ["x", "y"]
        np.testing.assert_array_equal(store.values(), values)


class TestHalfPrecision:
    HALVES = StoreHeader("target_free", "features", ["a", "b"], storage="float16")

    def test_values_are_rounded_kept_in_half_the_room_and_read_as_singles(self, tmp_path):
        values = VALUES / 3
        path = write_store(tmp_path / "set.h5", self.HALVES, IDS, values)
        with h5py.File(path) as file:
            assert file["values"].dtype == np.float16 and file.attrs["version"] == 5
        wanted = values.astype(np.float16).astype(np.float32)
        with open_store(path) as store:
            found = store.values()
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, wanted)
            assert all(block.dtype == np.float32 for block in store.blocks())
            assert (store.to_frame().dtypes == np.float32).all()

    @pytest.mark.parametrize("value", [65520.0, -1e5, 3e38])
    def test_what_overflows_is_named(self, tmp_path, value):
        values = VALUES.copy()
        values[3, 1] = 65519.0  # rounds to the largest
        write_store(tmp_path / "fits.h5", self.HALVES, IDS, values)
        values[3, 1] = value
        with pytest.raises(
            InputError, match="column 'b' of field field3, which is too large for float16; set"
        ):
            write_store(tmp_path / "set.h5", self.HALVES, IDS, values)
        assert [path.name for path in tmp_path.iterdir()] == ["fits.h5"]

    def test_nan_stays_nan(self, tmp_path):
        values = VALUES.copy()
        values[3, 1] = np.nan
        header = StoreHeader(
            "target_free", "features", ["a", "b"], allow_nan=True, storage="float16"
        )
        with open_store(write_store(tmp_path / "set.h5", header, IDS, values)) as store:
            np.testing.assert_array_equal(store.values(), values)

    def test_parts_of_another_precision_are_dropped(self, tmp_path):
        path = tmp_path / "set.h5"
        single = StoreHeader("target_free", "features", ["a", "b"])
        writer = StoreWriter(path, single, IDS, block_size=4)
        writer.write(writer.pending()[0], VALUES[:4])
        assert len(StoreWriter(path, self.HALVES, IDS, block_size=4).pending()) == 3

    def test_it_is_for_features(self):
        with pytest.raises(InputError, match="unknown storage 'bfloat16'"):
            StoreHeader("target_free", "features", ["a"], storage="bfloat16")
        with pytest.raises(InputError, match="logits must be stored in float32"):
            StoreHeader("out_of_fold", "logits", ["a"], storage="float16")

    @pytest.mark.parametrize("version, storage", [(2, "float16"), (3, "float32")])
    def test_a_precision_that_is_not_of_the_format_is_refused(self, tmp_path, version, storage):
        header = StoreHeader("target_free", "features", ["a", "b"], storage=storage)
        path = write_store(tmp_path / "set.h5", header, IDS, VALUES)
        with h5py.File(path, "r+") as file:
            file.attrs["version"] = version
            del file["checksums"]
        with (
            pytest.raises(InputError, match=f"in a store of format {version}; it is not"),
            open_store(path),
        ):
            pass
