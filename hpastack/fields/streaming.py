"""Fields as networks see them: square 8-bit images, from the packed file where it fits.

Fine-tuning, predictions and embeddings all read here, so that a network sees
the same bytes whether fields are packed or not.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields.packed.reading import PackedFields
from hpastack.fields.paths import Row, stain_rows
from hpastack.fields.reading import field_fault, read_square_image
from hpastack.parallel import cpu_budget, in_threads

#: The values of a field, or what is wrong with it.
Outcome = np.ndarray | InputError
Outcomes = Generator[Outcome, None, None]


def stream_square_images(
    catalogue: pd.DataFrame,
    size: int,
    *,
    packed: PackedFields | None = None,
    jobs: int | None = None,
    ahead: int | None = None,
) -> Outcomes:
    """Read the fields of a catalogue in its order, ahead in threads.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``,
        ``yellow`` and, with `packed`, ``content``.
    size : int
        Side of the images, in pixels.
    packed : PackedFields, optional
        Where fields are read from if they are there at this size and their
        files have not changed; the others come from their files.
    jobs : int, optional
        Threads; if omitted, as many as this process may use processors.
    ahead : int, optional
        Most fields in memory beside the one handed out; if omitted, two for each thread.

    Yields
    ------
    ndarray of uint8, shape (4, size, size), or InputError
        What is wrong with a field, which it names, is handed out in its place;
        whoever cannot go on without that field raises it.
    """
    jobs = jobs or cpu_budget()
    rows = np.full(len(catalogue), -1)
    if packed is not None and packed.size == size:
        rows = packed.rows(catalogue)

    def read(place: tuple[int, Row]) -> np.ndarray:
        row, stains = place
        return read_square_image(stains, size) if packed is None or row < 0 else packed.read(row)

    places = zip(rows.tolist(), stain_rows(catalogue))
    images = in_threads(read, places, jobs=jobs, ahead=ahead or 2 * jobs)
    with closing(images):
        for image_id, image in zip(catalogue.index, images):
            try:
                yield image.result()
            except (InputError, OSError) as error:
                yield field_fault(image_id, error)
