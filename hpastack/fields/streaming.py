"""Fields as networks see them: squares of 8 bits, from the packed file where it fits.

Fine-tuning, predictions and embeddings all read here, so that a network sees
the same bytes whether fields are packed or not.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields.packed.reading import PackedFields
from hpastack.fields.paths import stain_rows
from hpastack.fields.reading import read_square
from hpastack.parallel import cpu_budget, in_threads

#: The values of a field, or what is wrong with it.
Outcome = np.ndarray | InputError
Outcomes = Generator[Outcome, None, None]


def squares_ahead(
    catalogue: pd.DataFrame,
    size: int,
    *,
    packed: PackedFields | None = None,
    threads: int | None = None,
    ahead: int | None = None,
) -> Generator[tuple[str, Future[np.ndarray]], None, None]:
    """Read the fields of a catalogue in its order, ahead in threads.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``,
        ``yellow`` and, with `packed`, ``content``.
    size : int
        Side of the squares, in pixels.
    packed : PackedFields, optional
        Where fields are read from if they are there at this size and their
        files have not changed; the others come from their files.
    threads : int, optional
        As many as this process may use processors if left out.
    ahead : int, optional
        Most fields in memory beside the one handed out; two a thread if left
        out.

    Yields
    ------
    image_id : str
    square : Future of ndarray of uint8, shape (4, size, size)
        Its ``result()`` raises what is wrong with a field.
    """
    threads = threads or cpu_budget()
    rows = np.full(len(catalogue), -1)
    if packed is not None and packed.size == size:
        rows = packed.rows(catalogue)

    def read(place) -> np.ndarray:
        row, stains = place
        return read_square(stains, size) if packed is None or row < 0 else packed.read(row)

    places = zip(rows.tolist(), stain_rows(catalogue))
    squares = in_threads(read, places, threads=threads, ahead=ahead or 2 * threads)
    with closing(squares):
        yield from zip(catalogue.index, squares)


def iter_squares(
    catalogue: pd.DataFrame, size: int, **options
) -> Generator[tuple[str, np.ndarray], None, None]:
    """Read the fields of a catalogue in its order; stop at the first that is bad.

    Parameters
    ----------
    catalogue, size, **options
        As `squares_ahead`.

    Yields
    ------
    image_id : str
    square : ndarray of uint8, shape (4, size, size)

    Raises
    ------
    InputError
        At the turn of a bad field, which is named.
    """
    for image_id, outcome in squares_ahead(catalogue, size, **options):
        try:
            square = outcome.result()
        except InputError as error:
            raise InputError(f"field {image_id}: {error}") from error
        yield image_id, square


def stream_outcomes(
    rows: pd.DataFrame, size: int, packed: PackedFields | None, threads: int, ahead: int
) -> Outcomes:
    """Hand out fields as networks see them; a bad one is handed out as what is wrong with it."""
    squares = squares_ahead(rows, size, packed=packed, threads=threads, ahead=ahead)
    with closing(squares):
        for image_id, square in squares:
            try:
                yield square.result()
            except (InputError, OSError) as error:
                yield field_fault(image_id, error)


def field_fault(image_id: str, error: Exception) -> InputError:
    """Return what is wrong with a field, as an error that names it."""
    reason = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename}: {error.strerror}"
    return InputError(f"field {image_id}: {reason.removeprefix(f'field {image_id}: ')}")
