"""Check every image file of a catalogue by decoding it once."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import NamedTuple

import pandas as pd

from hpastack.fields.formats.decoding import decode_picture, open_picture, stain_of
from hpastack.fields.formats.faults import FileFault, StrPath
from hpastack.fields.levels import FULL_BITS, StainLevels, measure_levels
from hpastack.fields.paths import Row, StainFile, field_bits, require_shape, stain_files, stain_rows
from hpastack.parallel import cpu_budget, in_threads, progress_bar


class BadField(NamedTuple):
    """A field that cannot be used: its id, the file at fault and the reason."""

    image_id: str
    file: str
    reason: str


def field_content(row: Row) -> str:
    """Return the digest of the files of a field, as stored in the catalogue.

    Parameters
    ----------
    row : mapping or Series
        As for `read_field`.

    Returns
    -------
    str
        BLAKE2b, 16 bytes in hexadecimal, over the bytes of the files in the
        order of the stains. A file with several stains is included once, at
        the first of them; each of its stains adds ``#`` and its plane number.
        If the row has fewer than 16 ``bits``, the result of `scaled_content`.

    Raises
    ------
    InputError
        If a file is missing or empty.
    """
    digest = _Content()
    for file in stain_files(row):
        digest.add(file)
    return scaled_content(digest.hexdigest(), field_bits(row))


def scaled_content(content: str, bits: int) -> str:
    """Return the digest of a field whose 16-bit files use fewer bits.

    Parameters
    ----------
    content : str
        Digest of its files.
    bits : int

    Returns
    -------
    str
        `content` itself for 16 bits, otherwise BLAKE2b, 16 bytes in
        hexadecimal, of `content`, ``@`` and `bits`, because the pixel values
        differ.
    """
    if bits == FULL_BITS:
        return content
    return hashlib.blake2b(f"{content}@{bits}".encode(), digest_size=16).hexdigest()


class Inspection(NamedTuple):
    """Result of `inspect_fields`: facts and levels of the good fields, and the bad fields.

    Also the micrometres per pixel of the fields whose files specify it.
    """

    facts: pd.DataFrame
    bad: list[BadField]
    levels: dict[str, dict[str, StainLevels]]
    pixel_sizes: dict[str, float]


def check_fields(
    catalogue: pd.DataFrame, jobs: int | None = None, progress: bool = True
) -> tuple[pd.DataFrame, list[BadField]]:
    """Decode every file of a catalogue; return the facts and bad fields of `inspect_fields`.

    Parameters
    ----------
    catalogue, jobs, progress
        As for `inspect_fields`.

    Returns
    -------
    facts : DataFrame
    bad : list of BadField
    """
    inspection = inspect_fields(catalogue, jobs, progress)
    return inspection.facts, inspection.bad


def inspect_fields(
    catalogue: pd.DataFrame, jobs: int | None = None, progress: bool = True
) -> Inspection:
    """Decode every file of a catalogue and measure its size and intensity levels.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``, ``yellow``.
    jobs : int, optional
        Decoding threads. Default: the number of processors available to this process.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    facts : DataFrame
        The good fields in the order of the catalogue, indexed by image id, with
        columns ``height``, ``width`` (pixels) and ``content`` (from
        `field_content`).
    bad : list of BadField
        The other fields, in the same order, each with its first fault. A field
        is bad if `read_field` rejects it, if pixels are missing from a JPEG, or
        if two of its stains are the same image (unless the image is constant).
    levels : dict of str to dict of str to StainLevels
        Intensity levels of each stain of the good fields.
    pixel_sizes : dict of str to float
        Micrometres per pixel of the good fields whose files specify it.
    """
    jobs = jobs or cpu_budget()
    facts, bad = {}, []
    levels: dict[str, dict[str, StainLevels]] = {}
    pixel_sizes: dict[str, float] = {}
    outcomes = in_threads(_inspect, stain_rows(catalogue), jobs=jobs, ahead=4 * jobs)
    bar = progress_bar(
        zip(catalogue.index, outcomes), total=len(catalogue), what="checking fields",
        unit="field", show=progress,
    )  # fmt: skip
    # Closed explicitly: the garbage collector might join threads while another one is starting.
    with closing(outcomes):
        for image_id, outcome in bar:
            try:
                *facts[image_id], levels[image_id], size = outcome.result()
            except FileFault as fault:
                bad.append(BadField(image_id, fault.file, fault.reason))
            except OSError as error:
                reason = error.strerror or str(error)
                bad.append(BadField(image_id, str(error.filename or ""), reason))
            else:
                if size:
                    pixel_sizes[image_id] = size
    frame = pd.DataFrame.from_dict(
        facts, orient="index", columns=["height", "width", "content"]
    ).rename_axis("image_id")
    frame = frame.astype({"height": "int64", "width": "int64", "content": str})
    return Inspection(frame, bad, levels, pixel_sizes)


class _Content:
    """Digest of a field, built file by file in the order of the stains."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self._seen: set[StrPath] = set()

    def add(self, file: StainFile) -> None:
        if file.plane is None or file.file not in self._seen:
            self._digest.update(file.data)
            self._seen.add(file.file)
        if file.plane is not None:
            self._digest.update(f"#{file.plane}".encode())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _inspect(row: Row) -> tuple[int, int, str, dict[str, StainLevels], float]:
    """Decode the files of a field.

    Return its height, its width, the digest of its bytes, its levels and the
    micrometres per pixel (0 if the files disagree).
    """
    content = _Content()
    shape: tuple[int, ...] = ()
    seen: dict[bytes, str] = {}
    levels, sizes = {}, set()
    for file in stain_files(row):
        picture = open_picture(file.data, file.plane, file.path)
        decoded = decode_picture(picture, file.path)
        picture.verify(decoded)
        pixels = stain_of(decoded, file.stain, picture.is_lossy, file.path)
        shape = shape or pixels.shape
        require_shape(pixels.shape, shape, file.path)
        # Planes of one file share its bytes, so their pixels are compared.
        compared = file.data if file.plane is None else pixels.tobytes()
        digest = hashlib.blake2b(compared).digest()
        if digest in seen and pixels.min() != pixels.max():
            noun = "file" if file.plane is None else "image"
            raise FileFault(file.path, f"the same {noun} as the {seen[digest]} stain of the field")
        seen[digest] = file.stain
        content.add(file)
        sizes.add(picture.pixel_size)
        levels[file.stain] = measure_levels(decoded, picture.declared_bits, file.path)
    size = sizes.pop() if len(sizes) == 1 else 0.0
    return shape[0], shape[1], content.hexdigest(), levels, size
