"""Tables as people have them are read by one reader."""

import bz2
import codecs
import gzip
import io
import lzma
import sys
import tarfile
import types
import zipfile

import numpy as np
import pandas as pd
import pytest

from hpastack.catalogue import read_targets
from hpastack.errors import InputError
from hpastack.files import read_id_table, read_lines, read_text_table
from hpastack.folds import read_fold_table
from hpastack.labels import Vocabulary
from hpastack.store import read_table

pytestmark = pytest.mark.core

TEXT = "Id,Target\na,16 0\nb,1\n"
ROWS = [["a", "16 0"], ["b", "1"]]


def zipped(path, *names, text=TEXT):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, text)


FORMS = {
    "plain": TEXT.encode(),
    "mark": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-le": TEXT.encode("utf-16-le"),
    "utf-16-be": TEXT.encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
    "gz": gzip.compress(TEXT.encode()),
    "bz2": bz2.compress(TEXT.encode()),
    "xz": lzma.compress(TEXT.encode()),
    "gz of utf-16": gzip.compress(TEXT.encode("utf-16")),
    "tab": TEXT.replace(",", "\t").encode(),
    "bar": TEXT.replace(",", "|").encode(),
    "blank": b'Id "Target"\n"a" "16 0"\n"b" 1\n',
    "old line breaks": TEXT.replace("\n", "\r\n").encode(),
    "cells of a spreadsheet": b"Id,Target,,\na,16 0,,\n,,,\nb,1,,\n,,,\n",
}


def tarred(*names, text=TEXT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


FORMS |= {
    "tar": tarred("t.csv"),
    "tar.gz": gzip.compress(tarred("folder/t.csv", "folder/._t.csv")),
    "tar.xz": lzma.compress(tarred("t.csv")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t"])
def test_the_content_says_what_a_file_is(tmp_path, form, name):
    (tmp_path / name).write_bytes(FORMS[form])
    table = read_text_table(tmp_path / name)
    assert list(table.columns) == ["Id", "Target"] and table.values.tolist() == ROWS


def test_an_archive_holds_one_table(tmp_path):
    zipped(tmp_path / "t.csv.zip", "folder/t.csv", "__MACOSX/t.csv")
    assert read_text_table(tmp_path / "t.csv.zip").values.tolist() == ROWS
    zipped(tmp_path / "t.csv.zip", "t.csv", "u.csv")
    with pytest.raises(InputError, match=r"zip: a ZIP archive of 2 files .t.csv, u.csv.; unpack"):
        read_text_table(tmp_path / "t.csv.zip")


def test_parquet_becomes_text(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"n": [1, 2], "x": [0.1, np.nan], "s": ["p", None]}, ["a", "b"])
    frame.rename_axis("Id").to_parquet(tmp_path / "t.parquet")
    table = read_id_table(tmp_path / "t.parquet")
    assert table.loc["a"].tolist() == ["1", "0.1", "p"] and table.loc["b"].tolist() == ["2", "", ""]
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="t.parquet: not a Parquet table"):
        read_text_table(tmp_path / "t.parquet")


def test_columns_of_parquet_that_differ_in_spaces_only_are_an_error(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame([["a", 1, 2]], columns=["Id", "x", "x "]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="duplicate column x"):
        read_text_table(tmp_path / "t.parquet")


def test_parquet_without_pyarrow_has_a_remedy(tmp_path, monkeypatch):
    def missing(path):
        raise ImportError("pyarrow")

    monkeypatch.setattr(pd, "read_parquet", missing)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"t\.parquet: .* needs pyarrow; pip install pyarrow"):
        read_text_table(tmp_path / "t.parquet")


def test_a_workbook_is_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.create_sheet("empty")
    for row in (["Id", "Target", "x"], ["a", "16 0", 0.5], [7, 1, None], [None, None, None]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    rows = read_text_table(tmp_path / "t.xlsx").values.tolist()
    assert rows == [["a", "16 0", "0.5"], ["7", "1", ""]]
    book["empty"].append(["more"])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="several sheets"):
        read_text_table(tmp_path / "t.xlsx")


def test_a_damaged_workbook_is_an_error(tmp_path):
    pytest.importorskip("openpyxl")
    zipped(tmp_path / "t.xlsx", "xl/workbook.xml", "xl/sheet1.xml")
    with pytest.raises(InputError, match=r"t\.xlsx: not a workbook that openpyxl can read: "):
        read_text_table(tmp_path / "t.xlsx")


def test_a_workbook_without_openpyxl_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    zipped(tmp_path / "t.xlsx", "xl/workbook.xml", "xl/sheet1.xml")
    with pytest.raises(InputError, match=r"t.xlsx: .* pip install openpyxl, or save it as CSV"):
        read_text_table(tmp_path / "t.xlsx")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook; save it as .xlsx"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"PK\x03\x04\x14\x00", "corrupt"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "corrupt"),
        (b"\x1f\x8b\x08 and so on", "corrupt"),
        (bz2.compress(TEXT.encode())[:20] + bytes(20), "corrupt"),
        (b"", "not a CSV table: it is empty"),
        (gzip.compress(b"", mtime=0), "not a CSV table: it is empty"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"t\.csv: {message}"):
        read_text_table(tmp_path / "t.csv")


def test_cells_may_be_long(tmp_path):
    (tmp_path / "t.csv").write_text(f"Id,mask\na,{'x' * 300_000}\n")
    assert len(read_text_table(tmp_path / "t.csv").loc[0, "mask"]) == 300_000


@pytest.mark.parametrize("name", ["ID", "image_id", "ImageId", "Image ID", "image-id"])
def test_ids_are_found_however_they_are_called(tmp_path, name):
    (tmp_path / "t.csv").write_text(f"x,{name}\n1,a\n")
    assert read_id_table(tmp_path / "t.csv").index.tolist() == ["a"]


def test_what_one_command_takes_all_take(tmp_path):
    def packed(text):
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode("utf-16")))
        return tmp_path / "t.csv.gz"

    assert read_table(packed(TEXT)).index.tolist() == ["a", "b"]
    assert read_targets(packed(TEXT)).tolist() == ["16 0", "1"]
    assert read_fold_table(packed("ImageId\tFold\na\t1\nb\t0\n"), ["a", "b"]).tolist() == [1, 0]
    assert Vocabulary.read(packed("disc\nring\n")).names == ("disc", "ring")
    assert read_lines(packed("a\nb\n")) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html><table><tr><td>Id</td></tr></table></html>", "an HTML or XML .* save it as .xlsx"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<p>", "an HTML or XML document"),
        (b"<!-- saved from a browser -->\n<HTML>", "an HTML or XML document"),
        ("\n<html><table>".encode("utf-16"), "an HTML or XML document"),
        (b"<?xml version='1.0'?><Workbook/>", "an HTML or XML document"),
        (b'<?xml version="1.0"?>\n<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
         "an HTML or XML document, which some programs save as .xls"),
        (gzip.compress(tarred("a.csv", "b.csv")), r"a tar archive of 2 files \(a.csv, b.csv\)"),
        (tarred("a.csv", "b.csv")[:600], "corrupt: unexpected end of data"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
        (b"%PDF-1.4", "a PDF; save the table"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_told_what_to_do(tmp_path, content, message):
    (tmp_path / "t.xls").write_bytes(content)
    with pytest.raises(InputError, match=rf"t\.xls: {message}"):
        read_text_table(tmp_path / "t.xls")


def test_an_open_document_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<x/>")
    with pytest.raises(InputError, match="an OpenDocument spreadsheet; save it as .xlsx"):
        read_text_table(tmp_path / "t.ods")


def test_zstandard_is_read_or_named(tmp_path, monkeypatch):
    (tmp_path / "t.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd" + b"content")

    class Decompressor:
        def stream_reader(self, file):
            return io.BytesIO(TEXT.encode())

    module = types.ModuleType("zstandard")
    module.ZstdDecompressor = Decompressor
    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.setitem(sys.modules, "zstandard", module)
    assert read_text_table(tmp_path / "t.csv.zst").values.tolist() == ROWS
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(InputError, match=r"Zstandard; unpack it \(unzstd\), or pip install"):
        read_text_table(tmp_path / "t.csv.zst")
