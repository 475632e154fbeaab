"""Every file of a catalogue decoded once: what is good, what is bad and why."""

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
    """A field that cannot be used: its id, the file at fault and what is wrong with it."""

    image_id: str
    file: str
    reason: str


def field_content(row: Row) -> str:
    """Return the digest of the four files of a field, as the catalogue keeps it.

    Parameters
    ----------
    row : mapping or Series
        As for `read_field`.

    Returns
    -------
    str
        BLAKE2b, 16 bytes in hexadecimal, over the bytes of the files in the
        order of the stains. A file that holds several stains enters once, at
        its first; after each of them comes ``#`` and the number of its plane.
        With fewer ``bits`` in the row, as `scaled_content` gives it.

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
        `content` itself for all 16 bits, else BLAKE2b, 16 bytes in
        hexadecimal, of `content`, ``@`` and `bits`: other pixels.
    """
    if bits == FULL_BITS:
        return content
    return hashlib.blake2b(f"{content}@{bits}".encode(), digest_size=16).hexdigest()


class Inspection(NamedTuple):
    """What the files of a catalogue hold: facts and levels of good fields, and the bad ones.

    Of those whose files say it, also the micrometres per pixel.
    """

    facts: pd.DataFrame
    bad: list[BadField]
    levels: dict[str, dict[str, StainLevels]]
    pixel_sizes: dict[str, float]


def check_fields(
    catalogue: pd.DataFrame, jobs: int | None = None, progress: bool = True
) -> tuple[pd.DataFrame, list[BadField]]:
    """Decode every file of a catalogue; return what `inspect_fields` does, without the levels.

    Parameters
    ----------
    catalogue, jobs, progress
        As for `inspect_fields`.

    Returns
    -------
    facts : DataFrame
    bad : list of BadField
    """
    found = inspect_fields(catalogue, jobs, progress)
    return found.facts, found.bad


def inspect_fields(
    catalogue: pd.DataFrame, jobs: int | None = None, progress: bool = True
) -> Inspection:
    """Decode every file of a catalogue and measure what it holds.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``, ``yellow``.
    jobs : int, optional
        Left out: as many as this process may use processors.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    facts : DataFrame
        The good fields in the order of the catalogue, indexed by image id, with
        columns ``height``, ``width`` (pixels) and ``content`` (as
        `field_content` gives it).
    bad : list of BadField
        The others, in the same order, each with its first fault. A field is
        bad if `read_field` refuses it, if pixels are missing from a JPEG, or if
        two of its stains are the same picture (blank pictures may be).
    levels : dict of str to dict of str to StainLevels
        Of the good fields, what values each stain has.
    pixel_sizes : dict of str to float
        Of the good fields whose files say it, the micrometres per pixel.
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
    # Closed by hand: left to the garbage collector, threads may be joined while one is started.
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
    """The digest of a field, file by file in the order of the stains."""

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
    """Decode the four files of a field.

    Return its height, width, the digest of its bytes, its levels and the
    micrometres per pixel, 0 where the files do not agree on them.
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
        # Two planes of a file have no bytes of their own.
        held = file.data if file.plane is None else pixels.tobytes()
        digest = hashlib.blake2b(held).digest()
        if digest in seen and pixels.min() != pixels.max():
            what = "file" if file.plane is None else "picture"
            raise FileFault(file.path, f"the same {what} as the {seen[digest]} stain of the field")
        seen[digest] = file.stain
        content.add(file)
        sizes.add(picture.pixel_size)
        levels[file.stain] = measure_levels(decoded, picture.declared_bits, file.path)
    size = sizes.pop() if len(sizes) == 1 else 0.0
    return shape[0], shape[1], content.hexdigest(), levels, size
