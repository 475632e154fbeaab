"""Small pictures of fields in the page itself, as many as it may hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpastack.pictures import Thumbnails, data_uri

#: How the pictures of a page are shared out among its sections.
SHARES = {"cards": 0.84, "label_check": 0.08, "data": 0.08}
#: Longer side of a field in a page, and quality of its JPEG.
PICTURE_SIZE, PICTURE_QUALITY = 160, 66
# Pictures of a page at most, and the bytes that they may take, if no number was chosen.
_MOST, _MOST_BYTES = 400, 4_500_000
# Pictures that tell how large the others will be.
_N_MEASURED = 8


class Pictures:
    """Small pictures of fields, as many as a page may hold.

    Parameters
    ----------
    thumbnails : Thumbnails, optional
        Where there are images.
    limit : int, optional
        Pictures of the whole page; 0 for none. If omitted, 400, or as many as fit in 4.5 MB.
    jobs : int, optional
        Threads that make them; as many as there are processors if omitted.
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
        """Find how many pictures fit, by the first of some fields, if no number was chosen."""
        if self._thumbnails is None or self._limit is not None:
            return
        some = self._thumbnails.tiles(image_ids[:_N_MEASURED], self._jobs)
        sizes = [len(data_uri(jpeg)) for jpeg in some.values()]
        fitting = int(_MOST_BYTES * len(sizes) / sum(sizes)) if sizes else _MOST
        self._limit = min(_MOST, fitting)

    def allowed(self, section: str) -> int:
        """Return how many pictures a section of `SHARES` may show; 0 where there are no images."""
        limit = _MOST if self._limit is None else self._limit
        return 0 if self._thumbnails is None else int(limit * SHARES[section])

    def prepare(self, image_ids: Iterable[str]) -> None:
        """Make the pictures of several fields at once, in threads."""
        if self._thumbnails is not None:
            self._thumbnails.tiles(image_ids, self._jobs)

    def uri(self, image_id: str) -> str | None:
        """Return the picture of a field as a ``data:`` address; None where there is none."""
        jpeg = None if self._thumbnails is None else self._thumbnails.tile(image_id)
        return None if jpeg is None else data_uri(jpeg)
