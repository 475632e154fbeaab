"""Input of networks: square 8-bit images, read from the packed file if it matches.

Fine-tuning, predictions and embeddings all use this module, so that the input
is the same whether fields are packed or not.
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

#: The pixels of a field, or the error that it raised.
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
    """Read the fields of a catalogue in its order, as square images, ahead in threads.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``,
        ``yellow`` and, with `packed`, ``content``.
    size : int
        Side of the images, in pixels.
    packed : PackedFields, optional
        Source of the fields that it has at this size, from unchanged files. The
        other fields are read from their files.
    jobs : int, optional
        Threads. Default: the number of processors available to this process.
    ahead : int, optional
        Maximum number of fields in memory besides the one yielded. Default: two per thread.

    Yields
    ------
    ndarray of uint8, shape (4, size, size), or InputError
        A bad field yields the error, which names it; a caller that needs the
        field raises it.
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
