"""Fields as input of a CNN: square 8-bit images, kept in memory if they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError
from hpastack.fields import STAINS, PackedFields, stream_square_images
from hpastack.fields.paths import BITS, STAINS_OF_FIELD
from hpastack.parallel import progress_bar, read_ahead

#: Decoded fields are kept in memory up to this many bytes; beyond, they are read in each epoch.
MEMORY_LIMIT = 2 << 30


class FieldSource:
    """A source of batches of fields, from memory or from files.

    Parameters
    ----------
    catalogue : DataFrame
        The fields, in the order of their positions.
    size : int
        Side of the images, in pixels.
    packed : PackedFields, optional
        Packed fields to read from where they match; `catalogue` must then have
        the column ``content``.
    jobs : int, optional
        Decoding threads; default: as many as this process may use.
    memory_limit : float, default=MEMORY_LIMIT
        In bytes.
    progress : bool, default=False
        Whether to show a bar while fields are read into memory.
    """

    def __init__(
        self, catalogue: pd.DataFrame, size: int, *, packed: PackedFields | None = None,
        jobs: int | None = None, memory_limit: float = MEMORY_LIMIT,
        progress: bool = False,
    ) -> None:  # fmt: skip
        columns = [*STAINS, BITS, STAINS_OF_FIELD, *(["content"] if packed is not None else [])]
        self.catalogue = catalogue[[name for name in columns if name in catalogue]]
        self.size = size
        self.packed = packed
        self.jobs = jobs
        self.pixels: np.ndarray | None = None
        n_fields = len(catalogue)
        if n_fields * len(STAINS) * size**2 <= memory_limit:
            pixels = np.empty((n_fields, len(STAINS), size, size), dtype=np.uint8)
            bar = progress_bar(
                self._read(range(n_fields)), total=n_fields, what="reading fields", unit="field",
                show=progress,
            )  # fmt: skip
            for position, field in enumerate(bar):
                pixels[position] = field
            self.pixels = pixels

    def __len__(self) -> int:
        return len(self.catalogue)

    def batches(self, positions: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """Read batches of fields, in advance in a thread.

        Parameters
        ----------
        positions : sequence of ndarray of int
            Rows of each batch; rows may repeat.

        Yields
        ------
        ndarray of uint8, shape (n, 4, size, size)
        """
        yield from read_ahead(self._batches(positions))

    def sample(self, rows: ArrayLike, n_fields: int = 256) -> Iterator[np.ndarray]:
        """Read an evenly spaced sample of the fields, in batches.

        Parameters
        ----------
        rows : array-like of int
            The fields to choose from.
        n_fields : int, default=256
            Maximum number of fields.

        Yields
        ------
        ndarray of uint8, shape (n, 4, size, size)
        """
        rows = np.asarray(rows)
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), n_fields)).astype(int)]
        yield from self.batches(np.array_split(chosen, -(-len(chosen) // 32)))

    def _batches(self, positions: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        if self.pixels is not None:
            for rows in positions:
                yield self.pixels[rows]
            return
        fields = self._read([row for rows in positions for row in rows])
        for rows in positions:
            yield np.stack([next(fields) for _ in rows])

    def _read(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        chosen = self.catalogue.iloc[list(rows)]
        images = stream_square_images(chosen, self.size, packed=self.packed, jobs=self.jobs)
        with closing(images):
            for image in images:
                if isinstance(image, InputError):
                    raise image
                yield image
