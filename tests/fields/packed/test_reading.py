"""The packed file as it is read: same fields, any thread or process, no stranger's tricks."""

import multiprocessing
import os
import pickle
import re
import zlib
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.fields import (
    STAINS,
    PackedFields,
    check_fields,
    find_packed,
    pack_fields,
    read_field,
    stream_square_images,
)
from hpastack.fields.reading import read_square_image

SIZE = 16


@pytest.fixture
def catalogue(noise_fields):
    return noise_fields(9)


@pytest.fixture
def packed(catalogue, tmp_path):
    return pack_fields(tmp_path / "fields.h5", catalogue, SIZE, jobs=2, progress=False)


def changed(catalogue, image_id):
    """Give the catalogue as it is when the files of a field have changed."""
    table = catalogue.copy()
    table.loc[image_id, "content"] = "0" * 32
    return table


def read_all(packed):
    return [packed.read(row).tobytes() for row in range(len(packed))]


def test_a_row_is_the_field_rounded_to_8_bits(catalogue, packed):
    assert packed.size == SIZE and packed.image_ids == list(catalogue.index)
    assert packed.content == list(catalogue["content"])
    for row, (_, files) in enumerate(catalogue.iterrows()):
        field = read_field(files, SIZE, square=True)
        found = packed.read(row)
        assert found.dtype == np.uint8 and found.flags.writeable
        np.testing.assert_array_equal(found, np.rint(field * 255))
        np.testing.assert_array_equal(found, read_square_image(files, SIZE))


def test_plain_h5py_reads_it(catalogue, packed):
    with h5py.File(packed.path) as file:
        assert dict(file.attrs) == {"format": "hpastack-packed", "version": 1, "size": SIZE}
        fields = file["fields"][()]
        assert fields.shape == (9, len(STAINS), SIZE, SIZE) and fields.dtype == np.uint8
        assert file["image_ids"][()].tolist() == [name.encode() for name in catalogue.index]
        assert file["content"][()].tolist() == [value.encode() for value in catalogue["content"]]
        assert file["checksums"][()].tolist() == [zlib.crc32(field) for field in fields]
    assert [field.tobytes() for field in fields] == read_all(packed)


def test_rows_are_found_by_id_and_content(catalogue, packed):
    turned = changed(catalogue, "field3").iloc[::-1]
    assert packed.rows(turned).tolist() == [8, 7, 6, 5, 4, -1, 2, 1, 0]
    other = turned.rename(index={"field0": "other"})
    assert packed.rows(other).tolist() == [8, 7, 6, 5, 4, -1, 2, 1, -1]


class TestSquareImages:
    def images(self, catalogue, size=SIZE, **options):
        images = stream_square_images(catalogue, size, jobs=2, **options)
        return dict(zip(catalogue.index, images, strict=True))

    def test_same_bytes_from_packed_and_from_files(self, catalogue, packed):
        one, other = self.images(catalogue), self.images(catalogue, packed=packed)
        assert list(one) == list(other) == list(catalogue.index)
        for image_id in one:
            np.testing.assert_array_equal(one[image_id], other[image_id])

    def test_only_what_fits_is_read_from_the_packed_file(self, catalogue, packed, monkeypatch):
        read = []
        monkeypatch.setattr(
            "hpastack.fields.streaming.read_square_image",
            lambda row, size: read.append(row["red"]) or read_square_image(row, size),
        )
        self.images(catalogue, packed=packed)
        assert read == []
        table = changed(catalogue, "field3")
        found = self.images(table, packed=packed)
        assert read == [catalogue.loc["field3", "red"]]
        assert found["field3"].shape == (len(STAINS), SIZE, SIZE)
        read.clear()
        assert self.images(catalogue, size=8, packed=packed)["field0"].shape[1:] == (8, 8)
        assert len(read) == len(catalogue)

    def test_a_bad_field_is_named_and_leaves_the_others(self, catalogue):
        os.unlink(catalogue.loc["field3", "green"])
        outcomes = self.images(catalogue)
        fault = outcomes.pop("field3")
        assert isinstance(fault, InputError)
        assert re.match("field field3: .*no such file", str(fault))
        assert all(outcome.shape[1:] == (SIZE, SIZE) for outcome in outcomes.values())

    def test_a_stream_that_is_left_stops(self, catalogue):
        stream = stream_square_images(catalogue, SIZE, jobs=1, ahead=1)
        next(stream)
        stream.close()


def test_threads_have_handles_of_their_own(packed):
    alone = read_all(packed)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(packed.read, list(range(len(packed))) * 20))
    assert [field.tobytes() for field in found] == alone * 20


def test_it_travels_as_its_path(packed):
    packed.read(0)
    copy = pickle.loads(pickle.dumps(packed))
    assert len(pickle.dumps(packed)) < 500
    assert read_all(copy) == read_all(packed)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_other_processes_open_it_anew(packed, method):
    packed.read(0)
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(packed.read, range(len(packed)))
    assert [field.tobytes() for field in found] == read_all(packed)


def test_a_workspace_without_one_has_none(tmp_path, packed):
    assert find_packed(tmp_path / "none.h5") is None
    assert find_packed(packed.path).size == SIZE


def test_a_damaged_field_is_named_and_the_others_are_read(packed):
    with h5py.File(packed.path) as file:
        place = file["fields"].id.get_chunk_info(3).byte_offset
    data = bytearray(packed.path.read_bytes())
    data[place + 100] ^= 1
    packed.path.write_bytes(data)
    damaged = PackedFields(packed.path)
    with pytest.raises(InputError, match="field field3 is damaged in this file; run:"):
        damaged.read(3)
    assert damaged.read(4).any()


def test_no_file_is_named_and_neither_is_one_that_is_none(tmp_path, packed):
    with pytest.raises(InputError, match="is missing; run: hpastack prepare --pack SIZE"):
        PackedFields(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputError, match="not an HDF5 file, or is damaged; run:"):
        PackedFields(tmp_path / "text.h5")
    data = packed.path.read_bytes()
    packed.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="not an HDF5 file, or is damaged"):
        PackedFields(packed.path)


def replace(file, name, value, **options):
    del file[name]
    file.create_dataset(name, data=value, **options)


def link(file, name, target):
    del file[name]
    file[name] = target


def virtual(file):
    layout = h5py.VirtualLayout((9, 4, SIZE, SIZE), np.uint8)
    del file["fields"]
    file.create_virtual_dataset("fields", layout)


def external(file):
    del file["checksums"]
    file.create_dataset("checksums", (9,), np.uint32, external=[("/etc/hostname", 0, 36)])


FIELDS = np.zeros((9, 4, SIZE, SIZE), np.uint8)
CHUNK = {"chunks": (1, 4, SIZE, SIZE)}
HARM = {
    "another format": lambda f: f.attrs.modify("format", "hpastack-store"),
    "a newer version": lambda f: f.attrs.modify("version", 2),
    "a size that is not theirs": lambda f: f.attrs.modify("size", 8),
    "a huge size": lambda f: f.attrs.modify("size", 2**40),
    "something else": lambda f: f.create_dataset("more", data=[1]),
    "something missing": lambda f: f.__delitem__("content"),
    "an external link": lambda f: link(f, "fields", h5py.ExternalLink("/etc/hostname", "/x")),
    "a soft link": lambda f: link(f, "content", h5py.SoftLink("/image_ids")),
    "a virtual dataset": virtual,
    "external storage": external,
    "a group": lambda f: (f.__delitem__("content"), f.create_group("content")),
    "other chunks": lambda f: replace(f, "fields", FIELDS, chunks=(3, 4, SIZE, SIZE)),
    "another filter": lambda f: replace(f, "fields", FIELDS, compression="lzf", **CHUNK),
    "16 bits": lambda f: replace(f, "fields", FIELDS.astype(np.uint16), **CHUNK),
    "floats": lambda f: replace(f, "fields", FIELDS.astype(np.float32), **CHUNK),
    "three stains": lambda f: replace(f, "fields", FIELDS[:, :3], chunks=(1, 3, SIZE, SIZE)),
    "too few ids": lambda f: replace(f, "image_ids", f["image_ids"][:5]),
    "long texts": lambda f: replace(f, "content", ["a"] * 9, dtype=h5py.string_dtype()),
    "compressed ids": lambda f: replace(f, "image_ids", f["image_ids"][()], compression="gzip"),
    "ids without room": lambda f: (
        f.__delitem__("image_ids"), f.create_dataset("image_ids", (9,), "S1000000000"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_what_is_no_packed_file_is_refused_before_it_is_read(packed, harm):
    with h5py.File(packed.path, "r+") as file:
        HARM[harm](file)
    with pytest.raises(
        InputError, match=r"not to be trusted|not a packed file|reads format 1|damaged"
    ):
        PackedFields(packed.path)


def test_a_field_that_was_never_written_is_damaged(packed):
    with h5py.File(packed.path, "r+") as file:
        replace(file, "fields", None, shape=(9, 4, SIZE, SIZE), dtype=np.uint8, **CHUNK)
    with pytest.raises(InputError, match="field field0 is damaged"):
        PackedFields(packed.path).read(0)


def test_a_field_does_not_inflate_beyond_its_size(catalogue, packed):
    bomb = zlib.compress(bytes(1 << 26))
    with h5py.File(packed.path, "r+") as file:
        replace(file, "fields", None, shape=(9, 4, SIZE, SIZE), dtype=np.uint8,
                compression="gzip", **CHUNK)  # fmt: skip
        file["fields"].id.write_direct_chunk((0, 0, 0, 0), bomb)
    with pytest.raises(InputError, match="field field0 is damaged"):
        PackedFields(packed.path).read(0)


@pytest.mark.slow
def test_real_fields(real_data, tmp_path):
    rows = {}
    for path in sorted((real_data / "fields").rglob("*_red.*")):
        stem = str(path).removesuffix(f"red{path.suffix}")
        rows[path.name.removesuffix(f"_red{path.suffix}")] = {
            stain: f"{stem}{stain}{path.suffix}" for stain in STAINS
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")
    table = table.join(check_fields(table, jobs=2, progress=False)[0])
    packed = pack_fields(tmp_path / "fields.h5", table, 96, jobs=2, progress=False)
    images = stream_square_images(table, 96, packed=packed)
    for image_id, image in zip(table.index, images, strict=True):
        np.testing.assert_array_equal(image, read_square_image(table.loc[image_id], 96))
