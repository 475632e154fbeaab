"""Write the packed file: decoded in threads, resumable, published by a single rename."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from contextlib import closing
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.fields.checking import field_content
from hpastack.fields.packed.reading import FORMAT, VERSION, PackedFields
from hpastack.fields.paths import Row, stain_rows
from hpastack.fields.reading import field_fault, read_square_image
from hpastack.fields.stains import STAINS
from hpastack.files import disk_guard, fixed_strings, flush, refuse_existing
from hpastack.parallel import cpu_budget, in_threads, progress_bar

#: Largest compressed size, relative to the original, at which fields are compressed. Decompressing
#: a field at 512 px takes about 4 ms; reading it uncompressed takes 0.1 ms from memory and 5 ms
#: from a slow disk.
COMPRESSED_SHARE = 0.5

_ROOM = "free twice the size of the packed file and run it again; finished parts are kept"
_N_TRIED = 16  # number of fields on which compression is tried
_LEVEL = 1  # of gzip; level 4 saves another 2 % and takes twice as long
_PART_BYTES = 1 << 26
_MOST_ROWS = 256  # per part


def pack_fields(
    path: str | os.PathLike[str], catalogue: pd.DataFrame, size: int, *, jobs: int | None = None,
    overwrite: bool = False, progress: bool = True,
) -> PackedFields:  # fmt: skip
    """Decode every field of a catalogue once and write a packed file.

    Finished parts are kept in ``fields.h5.parts/``, so that an interrupted run
    can be resumed. The bytes of the file depend neither on interruptions nor on
    the number of threads. The file is compressed with gzip if that reduces the
    first fields to half their size or less.

    Parameters
    ----------
    path : path-like
        The file to write; `hpastack.Workspace.packed`.
    catalogue : DataFrame
        From `hpastack.read_catalogue`.
    size : int
        Longer side of the fields, in pixels; padded to squares.
    jobs : int, optional
        Decoding threads. Default: the number of processors available to this process.
    overwrite : bool, default=False
        Whether a packed file of other fields or of another size may be
        replaced. An identical one is kept in any case.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    PackedFields

    Raises
    ------
    InputError
        If another packed file exists and `overwrite` is false, `size` is below
        1, a field is bad or its files have changed since the catalogue was made
        (the field is named), or the disk is full.
    """
    path = Path(path)
    if size < 1:
        raise InputError(f"size is {size}; it must be at least 1 pixel")
    if path.exists():
        packed = _if_same(path, catalogue, size)
        if packed is not None:
            return packed
        refuse_existing(path, overwrite, "of other fields or another size")
    _reject_without_images(catalogue)
    is_compressed = _pays(catalogue, size)
    with disk_guard(path.parent, _ROOM):
        parts = _Parts(path, catalogue, size, is_compressed)
        parts.fill(jobs or cpu_budget(), progress)
        parts.publish()
    return PackedFields(path)


class _Parts:
    """The finished parts of a packed file: blocks of rows, each in a separate HDF5 file."""

    def __init__(self, path: Path, catalogue: pd.DataFrame, size: int, is_compressed: bool) -> None:
        self.path = path
        self.folder = path.with_name(path.name + ".parts")
        self.catalogue = catalogue
        self.size = size
        self.is_compressed = is_compressed
        n, n_bytes = len(catalogue), len(STAINS) * size**2
        step = max(1, min(_MOST_ROWS, _PART_BYTES // n_bytes))
        self.blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        plan = {
            "format": [FORMAT, VERSION], "size": size, "compressed": is_compressed,
            "step": step, "image_ids": list(catalogue.index),
            "content": catalogue["content"].tolist(),
        }  # fmt: skip
        self._digest = hashlib.sha256(json.dumps(plan).encode()).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        # Also removes partly written files of an interrupted run.
        kept = {self._part(block) for block in self.blocks if self._is_finished(block)}
        for file in self.folder.iterdir():
            if file not in kept:
                file.unlink()

    def fill(self, jobs: int, progress: bool) -> None:
        """Write the parts that are not finished."""
        pending = [block for block in self.blocks if not self._is_finished(block)]
        n_pending = sum(block.stop - block.start for block in pending)
        if not n_pending:
            return
        rows = self.catalogue.iloc[np.concatenate([np.r_[block] for block in pending])]
        encoded = in_threads(
            self._encode, zip(rows.index, stain_rows(rows), rows["content"]),
            jobs=jobs, ahead=2 * jobs,
        )  # fmt: skip
        bar = progress_bar(
            total=len(self.catalogue), initial=len(self.catalogue) - n_pending,
            what="packing fields", unit="field", show=progress,
        )  # fmt: skip
        with bar, closing(encoded):
            for block in pending:
                fields = []
                for future in islice(encoded, block.stop - block.start):
                    fields.append(future.result())
                    bar.update()
                self._write(block, fields)

    def publish(self) -> None:
        """Join the parts, publish the packed file by a single rename, and delete the parts."""
        temporary = self.folder / f".{self.path.name}.tmp"
        checksums = np.zeros(len(self.catalogue), np.uint32)
        with h5py.File(temporary, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["version"] = VERSION
            file.attrs["size"] = self.size
            file.create_dataset("image_ids", data=fixed_strings(self.catalogue.index))
            file.create_dataset("content", data=fixed_strings(self.catalogue["content"]))
            fields = self._create_fields(file, len(self.catalogue))
            for block in self.blocks:
                with h5py.File(self._part(block), "r") as part:
                    checksums[block] = part["checksums"][()]
                    for row in range(block.start, block.stop):
                        place = (row - block.start, 0, 0, 0)
                        skipped, data = part["fields"].id.read_direct_chunk(place)
                        fields.id.write_direct_chunk((row, 0, 0, 0), data, skipped)
            file.create_dataset("checksums", data=checksums)
        flush(temporary)
        os.replace(temporary, self.path)
        shutil.rmtree(self.folder)

    def _part(self, block: slice) -> Path:
        return self.folder / f"part-{block.start:09d}.h5"

    def _is_finished(self, block: slice) -> bool:
        shape = (block.stop - block.start, len(STAINS), self.size, self.size)
        try:
            with h5py.File(self._part(block), "r") as file:
                is_mine = file.attrs["digest"] == self._digest
                return is_mine and file["fields"].shape == shape and "checksums" in file
        except (OSError, KeyError):
            return False

    def _encode(self, field: tuple[str, Row, str]) -> tuple[bytes, int]:
        """Decode one field; return its bytes as stored and the checksum of its pixels."""
        image_id, row, content = field
        try:
            if field_content(row) != content:
                raise InputError(
                    "its files have changed since the catalogue was made; run: "
                    "hpastack prepare IMAGES --overwrite"
                )
            pixels = read_square_image(row, self.size)
        except InputError as error:
            raise field_fault(image_id, error) from error
        data = zlib.compress(pixels.data, _LEVEL) if self.is_compressed else pixels.tobytes()
        return data, zlib.crc32(pixels.data)

    def _write(self, block: slice, fields: list[tuple[bytes, int]]) -> None:
        temporary = self.folder / f".{self._part(block).name}.tmp"
        with h5py.File(temporary, "w") as file:
            file.attrs["digest"] = self._digest
            chunks = self._create_fields(file, len(fields))
            for row, (data, _) in enumerate(fields):
                chunks.id.write_direct_chunk((row, 0, 0, 0), data)
            checksums = [checksum for _, checksum in fields]
            file.create_dataset("checksums", data=np.array(checksums, np.uint32))
        flush(temporary)
        os.replace(temporary, self._part(block))

    def _create_fields(self, file: h5py.File, n_fields: int) -> h5py.Dataset:
        field = (len(STAINS), self.size, self.size)
        compression = {"compression": "gzip", "compression_opts": _LEVEL}
        return file.create_dataset(
            "fields", (n_fields, *field), np.uint8, chunks=(1, *field),
            **(compression if self.is_compressed else {}),
        )  # fmt: skip


def _if_same(path: Path, catalogue: pd.DataFrame, size: int) -> PackedFields | None:
    """Open the packed file if it has these fields and this size; None if not or if damaged."""
    try:
        packed = PackedFields(path)
    except InputError:
        return None
    same_fields = packed.image_ids == list(catalogue.index)
    is_same = packed.size == size and same_fields and packed.content == list(catalogue["content"])
    return packed if is_same else None


def _reject_without_images(catalogue: pd.DataFrame) -> None:
    if not len(catalogue):
        raise InputError("no fields to pack: the catalogue is empty")
    bare = catalogue.index[catalogue["content"] == ""]
    if len(bare):
        raise InputError(f"fields without images cannot be packed: {shorten(bare)}")


def _pays(catalogue: pd.DataFrame, size: int) -> bool:
    """Whether the first fields compress well enough to be worth decompressing them."""
    raw = small = 0
    tried = catalogue.iloc[:_N_TRIED]
    for image_id, row in zip(tried.index, stain_rows(tried)):
        try:
            pixels = read_square_image(row, size)
        except InputError as error:
            raise field_fault(image_id, error) from error
        raw += pixels.nbytes
        small += len(zlib.compress(pixels.data, _LEVEL))
    return small <= COMPRESSED_SHARE * raw
