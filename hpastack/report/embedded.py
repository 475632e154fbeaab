"""Thumbnails of fields embedded in the page, limited in number and total size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpastack.pictures import Thumbnails, data_uri

#: Share of the pictures of a page that each section may show.
SHARES = {"cards": 0.84, "label_check": 0.08, "data": 0.08}
#: Longer side of a thumbnail in pixels, and its JPEG quality.
PICTURE_SIZE, PICTURE_QUALITY = 160, 66
# Maximum number of pictures of a page, and of their bytes, if `limit` is omitted.
_MOST, _MOST_BYTES = 400, 4_500_000
# Number of pictures from which the size of the others is estimated.
_N_MEASURED = 8


class Pictures:
    """Thumbnails of fields as ``data:`` URIs, limited in number.

    Parameters
    ----------
    thumbnails : Thumbnails, optional
        Without it, or if it has no images, there are no pictures.
    limit : int, optional
        Maximum number of pictures of the page; 0 for none. Default: 400, or as many as fit in
        4.5 MB.
    jobs : int, optional
        Number of threads. Default: number of processors.
    """

    def __init__(
        self,
        thumbnails: Thumbnails | None = None,
        limit: int | None = None,
        jobs: int | None = None,
    ) -> None:
        has_images = thumbnails is not None and thumbnails.has_images
        self._thumbnails = thumbnails if has_images and limit != 0 else None
        self._limit = limit
        self._jobs = jobs

    def measure(self, image_ids: Sequence[str]) -> None:
        """Set the limit, if it was omitted, from the size of the first few pictures."""
        if self._thumbnails is None or self._limit is not None:
            return
        first = self._thumbnails.tiles(image_ids[:_N_MEASURED], self._jobs)
        sizes = [len(data_uri(jpeg)) for jpeg in first.values()]
        fitting = int(_MOST_BYTES * len(sizes) / sum(sizes)) if sizes else _MOST
        self._limit = min(_MOST, fitting)

    def allowed(self, section: str) -> int:
        """Return how many pictures a section of `SHARES` may show; 0 without images."""
        limit = _MOST if self._limit is None else self._limit
        return 0 if self._thumbnails is None else int(limit * SHARES[section])

    def prepare(self, image_ids: Iterable[str]) -> None:
        """Make the pictures of several fields in threads."""
        if self._thumbnails is not None:
            self._thumbnails.tiles(image_ids, self._jobs)

    def uri(self, image_id: str) -> str | None:
        """Return the picture of a field as a ``data:`` URI; None if there is none."""
        jpeg = None if self._thumbnails is None else self._thumbnails.tile(image_id)
        return None if jpeg is None else data_uri(jpeg)
