"""Stores from strangers: refused before anything is taken for them."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.store import StoreHeader, checks, guarding, open_store, write_store

HERE = Path(__file__).resolve().parent
ARCHIVES = HERE.parent / "archives"
IDS = [f"field{i}" for i in range(6)]
VALUES = np.arange(12, dtype=np.float32).reshape(6, 2)
FOLD = [0, 1, 0, 1, -1, -1]


@pytest.fixture
def path(tmp_path):
    header = StoreHeader("out_of_fold", "logits", ["s__0", "s__1"], recipe={"a": 1})
    members = np.stack([VALUES[4:] - 1, VALUES[4:] + 1])
    return write_store(tmp_path / "s.h5", header, IDS, VALUES, fold=FOLD, members=members)


def older(path, version=2):
    with h5py.File(path, "r+") as file:
        del file["checksums"]
        file.attrs["version"] = version
    return path


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught, open_store(path):
        pass
    assert len(str(caught.value)) < 1000


def replace(path, name, **how):
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, **how)


@pytest.mark.parametrize(
    "link",
    [h5py.SoftLink("/values"), h5py.SoftLink("/nowhere"), h5py.ExternalLink("o.h5", "/values")],
    ids=["soft", "dangling", "external"],
)
def test_links_are_refused(path, link):
    with h5py.File(path, "r+") as file:
        del file["fold"], file["members"]
        file["fold"] = link
    refused(path, "'fold' is not plain data; it is not to be trusted")


def test_names_beyond_the_list_and_second_names_are_refused(path):
    with h5py.File(path, "r+") as file:
        file["fold"].parent["again"] = file["values"]
    refused(path, "contains 'again', which no store has")
    with h5py.File(path, "r+") as file:
        del file["again"], file["members"]
        file["members"] = file["values"]
    refused(path, "has two names")
    with h5py.File(path, "r+") as file:
        del file["members"]
        file["members"] = file["/"]
    refused(path, "'members' is not plain data")
    with h5py.File(path, "r+") as file:
        del file["members"]
        file["members"] = np.dtype("f4")
    refused(path, "'members' is not plain data")
    with h5py.File(path, "r+") as file:
        del file["members"]
        for number in range(101):
            file[f"x{number}"] = 0
    refused(path, "names, more than any store")


def test_external_storage_and_virtual_data_are_refused(path, tmp_path):
    (tmp_path / "secret").write_bytes(VALUES.tobytes())
    replace(path, "values", shape=(6, 2), dtype="<f4", external=[(str(tmp_path / "secret"), 0, 48)])
    refused(path, "'values' is not plain data; it is not to be trusted")
    layout = h5py.VirtualLayout((6, 2), "<f4")
    layout[:] = h5py.VirtualSource(str(path), "values", (6, 2))
    with h5py.File(path, "r+") as file:
        del file["values"]
        file.create_virtual_dataset("values", layout)
    refused(path, "'values' is not plain data; it is not to be trusted")


@pytest.mark.parametrize(
    "filters", [{"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}]
)
def test_filters_are_refused(path, filters):
    older(path)
    replace(path, "values", data=VALUES, chunks=(6, 2), **filters)
    refused(path, "compressed or filtered.*h5repack -f NONE")


def test_a_bomb_is_refused_before_it_takes_memory(path):
    older(path)
    with h5py.File(path, "r+") as file:
        del file["members"], file["fold"], file["values"], file["image_ids"]
        n = 2**30
        file.create_dataset("image_ids", (n,), "S8", chunks=(2**20,), compression="gzip")
        file.create_dataset("values", (n, 2), "<f4", chunks=(2**20, 2))
    refused(path, "compressed or filtered")
    with h5py.File(path, "r+") as file:
        del file["image_ids"]
        file.create_dataset("image_ids", (n,), "S8", chunks=(2**20,))
    refused(path, "claims more bytes than the file has")


def test_what_is_not_there_does_not_read_as_zeros(path):
    older(path)
    with h5py.File(path, "r+") as file:
        del file["values"]
        values = file.create_dataset("values", (6, 2), "<f4", chunks=(2, 2))
        values[:2], values[4:] = 1, 1
    refused(path, "parts of 'values' are missing")
    replace(path, "values", shape=(6, 2), dtype="<f4")
    refused(path, "parts of 'values' are missing")


def test_format_4_has_no_chunks(path):
    replace(path, "values", data=VALUES, chunks=(2, 2))
    refused(path, "'values' is not a contiguous dataset")


@pytest.mark.parametrize(
    "name, data",
    [
        ("values", VALUES.astype(">f4")),
        ("values", VALUES.astype("f8")),
        ("values", VALUES.astype("i4")),
        ("fold", np.array(FOLD, "i8")),
        ("checksums", np.zeros(6, "i4")),
        ("members", np.zeros((2, 2, 2), [("re", "f4")])),
        ("values", np.array(VALUES > 3)),
    ],
)
def test_other_types_are_refused(path, name, data):
    replace(path, name, data=data)
    refused(path, "does not have the type specified by the format")


@pytest.mark.parametrize("dtype", [h5py.string_dtype(), h5py.ref_dtype, "i4"])
def test_ids_are_texts_of_fixed_length(path, dtype):
    replace(path, "image_ids", shape=(6,), dtype=dtype)
    refused(path, "does not have zero-padded texts of fixed length")


def test_texts_are_checked(path):
    for ids, message in (
        (["a", "b", "c", "c", "e", "f"], "duplicate ids: c"),
        (["a", "b", "c", "", "e", "f"], "id is empty"),
        ([b"a", b"\xff", b"c", b"d", b"e", b"f"], "one id is not UTF-8"),
        ([b"a", b"b\0b", b"c", b"d", b"e", b"f"], "or contains a zero byte"),
    ):
        replace(path, "image_ids", data=np.array(ids, "S"))
        refused(path, message)
    replace(path, "image_ids", data=np.array(IDS, "S"))
    replace(path, "columns", data=np.array(["x", "x"], "S"))
    refused(path, "duplicate columns: x")


def test_shapes_and_folds_are_checked(path):
    replace(path, "image_ids", data=b"text")
    refused(path, "image_ids and columns are not 1-D")
    replace(path, "image_ids", dtype="S3", shape=(0,))
    refused(path, "the store is empty")
    replace(path, "image_ids", data=np.array(IDS, "S"))
    replace(path, "fold", data=np.array([0, 1, 0, -2, -1, -1], "i4"))
    refused(path, "invalid fold -2")


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("kind", "oof", "unknown kind 'oof'"),
        ("content", "x" * 500, "unknown content 'x+'; it must be one of"),
        ("kind", 3, "'kind' has the wrong type"),
        ("kind", ["target_free"] * 9, "'kind' has the wrong type"),
        ("version", "4", "'version' has the wrong type"),
        ("allow_nan", 0.5, "'allow_nan' has the wrong type"),
        ("recipe", "[" * 100_000, "its recipe is not valid JSON"),
        ("recipe", "9" * 5_000, "its recipe is not valid JSON"),
        ("recipe", "[]", "its recipe is not valid JSON"),
        ("made_with", "null", "its made_with is not valid JSON"),
        ("vocabulary", '{"a": 1}', "its vocabulary is not valid JSON"),
        ("vocabulary", "[1, 2]", "the vocabulary is not a list of texts"),
        ("vocabulary", '["a"]', "2 columns for 1 label;"),
        ("recipe", json.dumps({"a": "x" * 5_000_000}), "'recipe' has 5,000,00. bytes"),
        ("made_from", h5py.Empty("S3"), "'made_from' has the wrong type"),
    ],
)
def test_attributes_are_checked(path, name, value, message):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    refused(path, message)


def test_attributes_that_are_missing_or_unknown(path):
    with h5py.File(path, "r+") as file:
        file.attrs["more"] = np.arange(100)
        file.attrs["kind"] = np.bytes_("out_of_fold")  # also of fixed length
    with open_store(path) as store:
        assert store.kind == "out_of_fold"
    with h5py.File(path, "r+") as file:
        del file.attrs["made_with"], file.attrs["digest"]
    refused(path, "lacks the attributes made_with, digest")


def test_another_file_of_this_package_is_no_store(tmp_path):
    with h5py.File(tmp_path / "fields.h5", "w") as file:
        file.attrs["format"], file.attrs["version"] = "hpastack-packed", 1
        file["fields"] = VALUES
    refused(tmp_path / "fields.h5", "an HDF5 file, but not a store")


def test_a_user_block_is_refused(path, tmp_path):
    target = tmp_path / "block.h5"
    with h5py.File(path) as file, h5py.File(target, "w", userblock_size=512) as other:
        for name in file:
            file.copy(name, other)
        other.attrs.update(file.attrs)
    refused(target, "not an HDF5 file")


def test_a_store_without_its_ids_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["image_ids"]
    refused(path, "s.h5 lacks image_ids; make it again")


def test_more_chunks_than_any_store_has_are_refused(path, monkeypatch):
    older(path)
    replace(path, "values", data=VALUES, chunks=(1, 2))
    monkeypatch.setattr(checks, "_MAX_CHUNKS", 5)
    refused(path, "'values' has 6 chunks; write it again")


def test_a_chunk_beyond_the_end_is_refused(path):
    older(path)
    replace(path, "values", data=VALUES, chunks=(2, 2))
    with h5py.File(path) as file:
        place = file["values"].id.get_chunk_info(2).byte_offset
    data = path.read_bytes()
    address, beyond = (number.to_bytes(8, "little") for number in (place, len(data) - 4))
    assert data.count(address) == 1
    path.write_bytes(data.replace(address, beyond))
    refused(path, "'values' claims more bytes than the file has")


def test_a_file_that_is_read_on_and_on_is_refused(path, monkeypatch):
    monkeypatch.setattr(guarding, "_MOST_READS", 3)
    refused(path, "s.h5")


def test_a_heap_without_end_is_refused(path):
    # HDF5 would go round in it for ever.
    data = path.read_bytes()
    heap = data.index(b"GCOL\x01")
    path.write_bytes(data[: heap + 16] + bytes(16) + data[heap + 32 :])
    refused(path, "is corrupt")


def crafted(path, target, kind, key):
    """Make every node of a tree its own child."""
    data = bytearray(path.read_bytes())
    at = data.find(b"TREE" + bytes([kind]))
    while at >= 0:
        data[at + 5] += 1
        data[at + 24 + key : at + 32 + key] = at.to_bytes(8, "little")
        at = data.find(b"TREE" + bytes([kind]), at + 1)
    target.write_bytes(data)
    return target


def test_trees_without_leaves_are_refused(path, tmp_path):
    # HDF5 would follow them until its stack is full, and take the process with it.
    refused(crafted(path, tmp_path / "groups.h5", 0, 8), "is corrupt")
    older(path)
    replace(path, "values", data=VALUES, chunks=(2, 2))
    with open_store(path) as store:
        np.testing.assert_array_equal(store.values(), VALUES)
    refused(crafted(path, tmp_path / "chunks.h5", 1, 32), "is corrupt")


def test_many_chunks_in_a_tree_of_two_levels_are_read(tmp_path):
    values = np.arange(3000, dtype=np.float32).reshape(1500, 2)
    header = StoreHeader("target_free", "features", ["a", "b"])
    path = write_store(tmp_path / "s.h5", header, [f"f{i}" for i in range(1500)], values)
    older(path)
    replace(path, "values", data=values, chunks=(4, 2))
    with open_store(path) as store:
        np.testing.assert_array_equal(store.values(), values)


def test_younger_kinds_of_files_are_refused(path, tmp_path):
    target = tmp_path / "other.h5"
    with h5py.File(path) as file, h5py.File(target, "w", libver="latest") as other:
        for name in file:
            file.copy(name, other)
        other.attrs.update(file.attrs)
    refused(target, "another version of the HDF5 format .* libver='earliest'")
    with h5py.File(path, "r+", libver="latest") as file:
        file.create_dataset("x", data=VALUES)
    refused(path, "'x', which no store has|a newer version of the HDF5 format")


@pytest.mark.parametrize("mark", [b"OHDR\x02", b"BTHD\x00", b"FRHP\x00", b"FAHD\x00", b"EAHD\x00"])
def test_marks_of_younger_kinds_of_files_are_refused(path, mark):
    data = path.read_bytes()
    place = data.index(b"SNOD")
    path.write_bytes(data[:place] + mark + data[place + len(mark) :])
    refused(path, "s.h5 uses a newer version of the HDF5 format .* libver='earliest'")


def damage(store, first, count):
    command = [sys.executable, str(HERE / "damage.py"), str(store), str(first), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-20:] + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_damaged_byte_is_read_as_another_number(path):
    outcomes = damage(path, 0, 200)
    assert set(outcomes) == {"refused", "unharmed"}


@pytest.mark.slow
def test_no_damage_crashes_hdf5_or_is_missed(path):
    assert set(damage(path, 1000, 5000)) == {"refused", "unharmed"}


def test_no_damage_of_predictions_is_read_as_another_number(tmp_path):
    rng = np.random.default_rng(0)
    values, members = rng.random((40, 28)), rng.random((2, 15, 28))
    values[25:] = members.mean(axis=0)
    header = StoreHeader(
        kind="out_of_fold",
        content="probabilities",
        columns=[f"net__{k}" for k in range(28)],
        vocabulary=[f"label {k}" for k in range(28)],
    )
    path = write_store(
        tmp_path / "net.h5", header, [f"field{row}" for row in range(40)], values,
        fold=np.repeat([0, 1, -1], [12, 13, 15]), members=members,
    )  # fmt: skip
    outcomes = damage(path, 0, 300)
    assert set(outcomes) == {"refused", "unharmed"}


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2, 3])
def test_no_damage_of_earlier_formats_crashes_hdf5(version):
    # These have no checksums: other numbers may pass.
    damage(ARCHIVES / f"store_version_{version}.h5", 0, 2000)
