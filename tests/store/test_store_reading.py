"""Stores: rows by id, handles of threads and processes, and what was replaced meanwhile."""

import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import joblib
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.store import StoreHeader, open_store, placement, write_store

pytestmark = pytest.mark.core

N_ROWS, N_COLUMNS = 300, 7
IDS = [f"field{i}" for i in range(N_ROWS)]
COLUMNS = [f"c{i}" for i in range(N_COLUMNS)]
VALUES = np.random.default_rng(0).normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32)


def write(path, storage="float32", values=VALUES):
    columns = [f"c{i}" for i in range(values.shape[1])]
    header = StoreHeader("target_free", "features", columns, storage=storage)
    return write_store(path, header, IDS, values, overwrite=True)


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "set.h5")


def with_chunks(path, chunks, dtype="<f4"):
    """Make a store of format 2 or 3 of one of format 4."""
    with h5py.File(path, "r+") as file:
        values = file["values"][()]
        del file["values"], file["checksums"]
        file.create_dataset("values", data=values.astype(dtype), chunks=chunks)
        file.attrs["version"] = 3 if np.dtype(dtype).itemsize == 2 else 2
    return path


ASKED = [
    [5],
    list(range(N_ROWS)),
    list(range(100, 200)),
    [299, 0, 7, 8, 9, 150, 7],
    np.random.default_rng(1).integers(N_ROWS, size=500).tolist(),
    [],
]


@pytest.mark.parametrize("rows", ASKED, ids=len)
@pytest.mark.parametrize("gap", [0, 100, 10**6])
@pytest.mark.parametrize("long", [1, 10**6])
def test_rows_come_in_the_order_asked_for(path, monkeypatch, rows, gap, long):
    # Whether rows are read each for itself, in runs, or with all that lies between.
    monkeypatch.setattr(placement, "_GAP_BYTES", gap)
    monkeypatch.setattr(placement, "_LONG_BYTES", long)
    monkeypatch.setattr(placement, "_SCRATCH_BYTES", 1000)
    with open_store(path) as store:
        found = store.rows([IDS[row] for row in rows])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, VALUES[rows].reshape(-1, N_COLUMNS))


@pytest.mark.parametrize("chunks", [None, (64, 7), (300, 7), (1, 7), (13, 3), (7, 1)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2"])
def test_chunks_and_types_of_earlier_formats(tmp_path, chunks, dtype):
    storage = "float16" if dtype == "<f2" else "float32"
    path = with_chunks(write(tmp_path / "set.h5", storage), chunks, dtype)
    wanted = VALUES.astype(dtype).astype(np.float32)
    with open_store(path) as store:
        assert store.storage == storage
        for rows in ASKED:
            found = store.rows([IDS[row] for row in rows])
            np.testing.assert_array_equal(found, wanted[rows].reshape(-1, N_COLUMNS))
        np.testing.assert_array_equal(store.values(), wanted)
        np.testing.assert_array_equal(np.concatenate(list(store.blocks())), wanted)


def test_half_precision_is_widened(tmp_path):
    with open_store(write(tmp_path / "set.h5", "float16")) as store:
        wanted = VALUES.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(store.values(), wanted)
        np.testing.assert_array_equal(store.rows(IDS[::-2]), wanted[::-2])


def test_blocks_are_bounded(tmp_path, monkeypatch):
    from hpastack.store import reading

    path = write(tmp_path / "set.h5")
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 28 * 64)
    with open_store(path) as store:
        assert [len(block) for block in store.blocks()] == [64] * 4 + [44]
        found = store.rows(IDS[::-1], columns=["c5", "c0"])
        np.testing.assert_array_equal(found, VALUES[::-1, [5, 0]])


def test_some_columns(path):
    with open_store(path) as store:
        frame = store.to_frame(["field3", "field1"], columns=["c6", "c2"])
        assert frame.columns.tolist() == ["c6", "c2"] and frame.index.name == "image_id"
        np.testing.assert_array_equal(frame, VALUES[[3, 1]][:, [6, 2]])
        np.testing.assert_array_equal(store.to_frame(columns=["c1"]), VALUES[:, [1]])
        with pytest.raises(InputError, match="has no columns c9"):
            store.rows(["field3"], columns=["c9"])


def test_ids_asked_for_twice_and_missing_ones(path):
    with open_store(path) as store:
        frame = store.to_frame(["field3", "field1", "field3"])
        assert frame.index.tolist() == ["field3", "field1", "field3"]
        with pytest.raises(InputError, match="lacks 2 of 3 fields: x, 7"):
            store.rows(["field3", "x", 7])


def test_a_few_rows_do_not_read_the_matrix(path, monkeypatch):
    read = []
    each = placement.SharedFile.read_each

    def count(self, arrays, offsets):
        arrays = list(arrays)
        read.extend(array.nbytes for array in arrays)
        return each(self, arrays, offsets)

    with open_store(path) as store:
        monkeypatch.setattr(placement.SharedFile, "read_each", count)
        monkeypatch.setattr(placement, "_GAP_BYTES", 0)
        store.to_frame(["field250", "field3"])
        checksums = 4 * len(store)
        assert sum(read) == checksums + 2 * 4 * N_COLUMNS
        read.clear()
        store.values()
        assert read == [4 * N_ROWS * N_COLUMNS]


def test_after_its_block_a_store_says_that_it_is_closed(path):
    with open_store(path) as store:
        blocks = store.blocks()
        next(blocks)
    for read in (store.values, store.members, lambda: store.rows(IDS[:2]), store.to_frame):
        with pytest.raises(ValueError, match="is closed; read it within"):
            read()
    with pytest.raises(ValueError, match="is closed"):
        next(store.blocks())
    with pytest.raises(ValueError, match="is closed"):
        pickle.dumps(store)
    assert store.image_ids == IDS


def test_no_handle_is_left_open(path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with open_store(path) as store, ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda i: store.rows([IDS[i]]), range(20)))
            store.values()
        with pytest.raises(InputError), open_store(__file__):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_read_at_once(path):
    with open_store(path) as store, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: store.rows(IDS[i::50]), range(50)))
    for i, rows in enumerate(found):
        np.testing.assert_array_equal(rows, VALUES[i::50])


def read_some(store, start):
    return store.rows(IDS[start::2])


@pytest.mark.long
def test_a_pickled_store_is_opened_anew(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with open_store("set.h5") as store:
        with joblib.parallel_config("loky", n_jobs=2):
            found = joblib.Parallel()(joblib.delayed(read_some)(store, i) for i in range(2))
        for i in range(2):
            np.testing.assert_array_equal(found[i], VALUES[i::2])
        monkeypatch.chdir("/")
        copy = pickle.loads(pickle.dumps(store))
    assert copy.image_ids == IDS
    np.testing.assert_array_equal(copy.values(), VALUES)  # also when the first is closed
    copy.close()


def read_in_child(store, queue):
    inherited = store._file._local.handle.fileno()
    queue.put((store.rows(IDS[5:9]), inherited != store._file._local.handle.fileno()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_opens_its_own_handle(path):
    context = multiprocessing.get_context("fork")
    with open_store(path) as store:
        queue = context.SimpleQueue()
        child = context.Process(target=read_in_child, args=(store, queue))
        child.start()
        rows, is_own = queue.get()
        child.join()
        np.testing.assert_array_equal(rows, VALUES[5:9])
        assert is_own and child.exitcode == 0
        np.testing.assert_array_equal(store.values(), VALUES)


def test_a_store_replaced_while_open_is_never_mixed(path):
    with open_store(path) as store:
        copy = pickle.dumps(store)
        first = store.rows(IDS[:3])
        write(path, values=VALUES + 1)
        # This thread goes on with the file that it opened.
        np.testing.assert_array_equal(store.rows(IDS[:3]), first)
        # Others do not take the new one for it.
        with ThreadPoolExecutor(1) as pool, pytest.raises(InputError, match="was replaced while"):
            pool.submit(store.values).result()
        with pytest.raises(InputError, match="was replaced while it was open; open it again"):
            pickle.loads(copy)


def test_one_replaced_while_it_is_opened_is_opened_again(path, monkeypatch):
    from hpastack.store import reading

    check = reading.read_contents
    calls = []

    def replaced_meanwhile(source):
        contents = check(source)
        if not calls:
            write(path, values=VALUES + 1)
        calls.append(1)
        return contents

    monkeypatch.setattr(reading, "read_contents", replaced_meanwhile)
    with open_store(path) as store:
        np.testing.assert_array_equal(store.values(), VALUES + 1)
    assert len(calls) == 2


def test_one_replaced_each_time_it_is_opened_is_an_error(path, monkeypatch):
    from hpastack.store import reading

    check = reading.read_contents

    def replaced_meanwhile(source):
        contents = check(source)
        write(path, values=VALUES + 1)
        return contents

    monkeypatch.setattr(reading, "read_contents", replaced_meanwhile)
    with pytest.raises(InputError, match=r"set\.h5 was replaced repeatedly while it was opened"):
        open_store(path)


def test_one_cut_short_while_open_is_an_error(path):
    with open_store(path) as store:
        os.truncate(path, path.stat().st_size - 2000)
        with pytest.raises(InputError, match="is truncated"):
            store.values()
        with pytest.raises(InputError, match="is truncated"):
            store.rows(IDS[-1:])


def test_a_store_is_opened_without_a_block_too(path):
    store = open_store(path)
    assert store.to_frame(["field3"]).index.tolist() == ["field3"]
    store.close()
    with pytest.raises(ValueError, match="is closed"):
        store.values()
    with open_store(path) as again:
        assert len(again) == N_ROWS


def test_a_notebook_shows_what_a_store_holds(tmp_path):
    header = StoreHeader("target_free", "features", COLUMNS, recipe={"size": "<b>"})
    path = write_store(tmp_path / "set.h5", header, IDS, VALUES)
    with open_store(path) as store:
        html = store._repr_html_()
        assert "300 fields x 7 columns, float32" in html and "features, target_free" in html
        assert "size" in html and "&lt;b&gt;" in html and "<b>" not in html
        path.unlink()
        assert "made when" in html and "made when" not in store._repr_html_()
