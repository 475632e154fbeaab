"""Exports that cannot be made: the message says which file can."""

import sys

import pytest

from hpastack.errors import InputError
from hpastack.store import StoreHeader, export_store, write_store

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("image_id", "column", "name", "message"),
    [
        ("a", "s__x", "s.xlsx", r"s\.xlsx: stores can be exported as \.csv, \.npy, \.parquet"),
        ("a", "image_id", "s.csv", r"s\.h5: a column is named image_id; export to npy instead"),
        ("a\nb", "s__x", "s.npy", r"the id 'a\\nb' cannot be written on one line; export to csv"),
        ("a", " x", "s.npy", r"the column ' x' cannot be written on one line; export to csv"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path, image_id, column, name, message):
    store = tmp_path / "s.h5"
    write_store(store, StoreHeader("target_free", "features", [column]), [image_id], [[1]])
    with pytest.raises(InputError, match=message):
        export_store(store, tmp_path / name, progress=False)
    assert list(tmp_path.iterdir()) == [store]


def test_parquet_needs_its_library(tmp_path, monkeypatch):
    store = tmp_path / "s.h5"
    write_store(store, StoreHeader("target_free", "features", ["s__x"]), ["a"], [[1]])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"s\.h5: export to parquet needs pyarrow; pip install"):
        export_store(store, tmp_path / "s.parquet", progress=False)
    assert list(tmp_path.iterdir()) == [store]
