"""Thumbnails of fields by image id, as JPEG, for HTML pages."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields import (
    STAINS,
    PackedFields,
    read_field,
    resize_field,
    to_8_bit,
)
from hpastack.parallel import cpu_budget, in_threads
from hpastack.pictures.colours import DEFAULT_PALETTE, stain_colours
from hpastack.pictures.encoding import JPEG_QUALITY, jpeg_bytes
from hpastack.pictures.tiles import brightened, field_tile, has_files, shown_pixel_size, shown_size


class Thumbnails:
    """Thumbnails of the fields of a catalogue, made on request.

    Parameters
    ----------
    catalogue : DataFrame
        Rows of `hpastack.read_catalogue`.
    packed : PackedFields, optional
        Source of the fields that it has at `size` or larger, from unchanged
        files. The other fields are read from their files.
    size : int, default=192
        Longer side of a field, in pixels. A smaller field keeps its size.
    palette : {"safe", "hpa"}, default="safe"
    quality : int, default=82
        Of the JPEG.

    Attributes
    ----------
    faults : dict of str to str
        Error messages of fields that could not be read, by image id.

    Notes
    -----
    The same files, size and versions give the same bytes. Thumbnails are cached,
    so that each one is made only once.
    """

    def __init__(
        self,
        catalogue: pd.DataFrame,
        *,
        packed: PackedFields | None = None,
        size: int = 192,
        palette: str = DEFAULT_PALETTE,
        quality: int = JPEG_QUALITY,
    ) -> None:
        stain_colours(palette)  # raises an error for an unknown palette early
        if size < 1:
            raise InputError(f"size is {size}; it must be at least 1 pixel", "size")
        self.size = size
        self.palette = palette
        self.quality = quality
        self.faults: dict[str, str] = {}
        self._catalogue = catalogue
        self._packed = packed if packed is not None and packed.size >= size else None
        self._packed_rows: dict[str, int] = {}
        if self._packed is not None:
            rows = self._packed.rows(catalogue).tolist()
            self._packed_rows = {name: row for name, row in zip(catalogue.index, rows) if row >= 0}
        self._tiles: dict[str, bytes | None] = {}

    def __contains__(self, image_id: str) -> bool:
        """Whether the catalogue lists image files of a field."""
        return image_id in self._catalogue.index and has_files(self._row(image_id))

    @property
    def has_images(self) -> bool:
        """Whether the catalogue lists image files of any field."""
        paths = self._catalogue.reindex(columns=list(STAINS)).fillna("")
        return bool((paths != "").any(axis=None))

    def tile(self, image_id: str) -> bytes | None:
        """Return the thumbnail of a field: the merged stains beside the protein in grey.

        Parameters
        ----------
        image_id : str

        Returns
        -------
        bytes or None
            JPEG, with a scale bar if the pixel size is in the catalogue. None if
            there is no such field, it has no files, or they cannot be read; in
            that case the reason is in `faults`.
        """
        if image_id not in self._tiles:
            self._tiles[image_id] = self._make_tile(image_id)
        return self._tiles[image_id]

    def tiles(self, image_ids: Iterable[str], jobs: int | None = None) -> dict[str, bytes]:
        """Return the thumbnails of several fields, made in threads.

        Parameters
        ----------
        image_ids : iterable of str
        jobs : int, optional
            Threads. Default: the number of processors available to this process.

        Returns
        -------
        dict of str to bytes
            In the order of `image_ids`, without fields that have no thumbnail.
        """
        jobs = jobs or cpu_budget()
        unique_ids = list(dict.fromkeys(image_ids))
        outcomes = in_threads(self.tile, unique_ids, jobs=jobs, ahead=4 * jobs)
        with closing(outcomes):
            tiles = [
                (image_id, outcome.result()) for image_id, outcome in zip(unique_ids, outcomes)
            ]
        return {image_id: jpeg for image_id, jpeg in tiles if jpeg is not None}

    def stain_levels(self, image_id: str) -> np.ndarray | None:
        """Return the four stains of a field, to be merged in the browser.

        Parameters
        ----------
        image_id : str

        Returns
        -------
        ndarray of uint8, shape (4, H, W), or None
            The contrast of each stain is stretched as in `brightened`; a missing stain is 0.
            None as for `tile`.
        """
        field = self._field(image_id)
        return None if field is None else to_8_bit(brightened(field))

    def shape(self, image_id: str) -> tuple[int, int] | None:
        """Return the height and width of a field in its thumbnail, in pixels, or None as `tile`."""
        if image_id not in self:
            return None
        row = self._row(image_id)
        return _scaled(int(row["height"]), int(row["width"]), shown_size(row, self.size))

    def pixel_size(self, image_id: str) -> float | None:
        """Return the micrometres per pixel of the thumbnail of a field, if known."""
        if image_id not in self:
            return None
        return shown_pixel_size(self._row(image_id), self.size)

    def _row(self, image_id: str) -> pd.Series:
        row = self._catalogue.loc[image_id]
        assert isinstance(row, pd.Series)  # ids are unique
        return row

    def _make_tile(self, image_id: str) -> bytes | None:
        field = self._field(image_id)
        if field is None:
            return None
        pixel_size = self.pixel_size(image_id)
        tile = field_tile(field, pixel_size=pixel_size, palette=self.palette)
        return jpeg_bytes(tile, self.quality)

    def _field(self, image_id: str) -> np.ndarray | None:
        if image_id not in self:
            return None
        try:
            return self._read(image_id)
        except (InputError, OSError) as error:
            self.faults[image_id] = str(error)
            return None

    def _read(self, image_id: str) -> np.ndarray:
        row = self._row(image_id)
        size = shown_size(row, self.size)
        position = self._packed_rows.get(image_id)
        if self._packed is None or position is None:
            return read_field(row, size, missing=0)
        field = self._packed.read(position).astype(np.float32) / 255
        # The padding to a square is on the right or at the bottom.
        rows, columns = _scaled(int(row["height"]), int(row["width"]), self._packed.size)
        return resize_field(field[:, :rows, :columns], size)


def _scaled(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width of a field after `resize_field` to a longer side."""
    longer = max(height, width)
    rows, columns = (max(1, (2 * side * size + longer) // (2 * longer)) for side in (height, width))
    return rows, columns
