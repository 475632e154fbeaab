"""Small pictures of fields by their id, as JPEG, for pages in a browser."""

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
    """Pictures of the fields of a catalogue, made when they are asked for.

    Parameters
    ----------
    catalogue : DataFrame
        Rows of `hpastack.read_catalogue`.
    packed : PackedFields, optional
        Where fields are read from if they are there at no less than `size`
        and their files have not changed.
    size : int, default=192
        Longer side of a field, in pixels. One that is smaller keeps its size.
    palette : {"safe", "hpa"}, default="safe"
    quality : int, default=82
        Of the JPEG.

    Attributes
    ----------
    faults : dict of str to str
        What was wrong with fields that could not be read, by image id.

    Notes
    -----
    The same files, size and versions give the same bytes. Pictures are kept, so
    that one that is shown twice is made once.
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
        stain_colours(palette)  # an unknown one is an error now
        if size < 1:
            raise InputError(f"size is {size}; it must be at least 1 pixel")
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
        """Return whether the catalogue names files of a field."""
        return image_id in self._catalogue.index and has_files(self._row(image_id))

    @property
    def has_images(self) -> bool:
        """Whether the catalogue names files of any field."""
        paths = self._catalogue.reindex(columns=list(STAINS)).fillna("")
        return bool((paths != "").any(axis=None))

    def tile(self, image_id: str) -> bytes | None:
        """Return the picture of a field: stains merged, beside the protein in grey.

        Parameters
        ----------
        image_id : str

        Returns
        -------
        bytes or None
            JPEG, with a scale bar where the catalogue knows the pixel size.
            None if there is no such field, it has no files, or they cannot be
            read, which `faults` explains.
        """
        if image_id not in self._tiles:
            self._tiles[image_id] = self._make_tile(image_id)
        return self._tiles[image_id]

    def tiles(self, image_ids: Iterable[str], jobs: int | None = None) -> dict[str, bytes]:
        """Return the pictures of several fields, made in threads.

        Parameters
        ----------
        image_ids : iterable of str
        jobs : int, optional
            Threads; if omitted, as many as this process may use processors.

        Returns
        -------
        dict of str to bytes
            In the order of `image_ids`, without those that have no picture.
        """
        jobs = jobs or cpu_budget()
        wanted = list(dict.fromkeys(image_ids))
        outcomes = in_threads(self.tile, wanted, jobs=jobs, ahead=4 * jobs)
        with closing(outcomes):
            made = [(image_id, outcome.result()) for image_id, outcome in zip(wanted, outcomes)]
        return {image_id: jpeg for image_id, jpeg in made if jpeg is not None}

    def stain_levels(self, image_id: str) -> np.ndarray | None:
        """Return the four stains of a field, for a browser that mixes them itself.

        Parameters
        ----------
        image_id : str

        Returns
        -------
        ndarray of uint8, shape (4, H, W), or None
            Each stain stretched to its brightest thousandth; 0 where the field does not have it.
            None as `tile`.
        """
        field = self._field(image_id)
        return None if field is None else to_8_bit(brightened(field))

    def shape(self, image_id: str) -> tuple[int, int] | None:
        """Return the height and width of a field in its picture, in pixels; None as `tile`."""
        if image_id not in self:
            return None
        row = self._row(image_id)
        return _scaled(int(row["height"]), int(row["width"]), shown_size(row, self.size))

    def pixel_size(self, image_id: str) -> float | None:
        """Return the micrometres per pixel of the picture of a field, if they are known."""
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
        # What was added to make it square lies at the right or at the bottom.
        rows, columns = _scaled(int(row["height"]), int(row["width"]), self._packed.size)
        return resize_field(field[:, :rows, :columns], size)


def _scaled(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width that `resize_field` gives a field, by its longer side."""
    longer = max(height, width)
    rows, columns = (max(1, (2 * side * size + longer) // (2 * longer)) for side in (height, width))
    return rows, columns
