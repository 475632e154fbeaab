"""Small pictures of fields in the page itself, as many as it may hold."""

from __future__ import annotations

from collections.abc import Iterable

from hpastack.pictures import Thumbnails, data_uri

#: How the pictures of a page are shared out among its sections.
SHARES = {"cards": 0.84, "label_check": 0.08, "data": 0.08}
#: Pictures of a page; about 10 kB each.
N_PICTURES = 400


class Pictures:
    """Small pictures of fields, as many as a page may hold.

    Parameters
    ----------
    thumbnails : Thumbnails, optional
        Where there are images.
    limit : int, default=400
        Pictures of the whole page; 0 for none.
    jobs : int, optional
        Threads that make them; as many as there are processors if omitted.
    """

    def __init__(
        self,
        thumbnails: Thumbnails | None = None,
        limit: int = N_PICTURES,
        jobs: int | None = None,
    ) -> None:
        has_images = thumbnails is not None and thumbnails.has_images
        self._thumbnails = thumbnails if has_images and limit else None
        self._limit = limit
        self._jobs = jobs

    def allowed(self, section: str) -> int:
        """Return how many pictures a section of `SHARES` may show; 0 where there are no images."""
        return 0 if self._thumbnails is None else int(self._limit * SHARES[section])

    def prepare(self, image_ids: Iterable[str]) -> None:
        """Make the pictures of several fields at once, in threads."""
        if self._thumbnails is not None:
            self._thumbnails.tiles(image_ids, self._jobs)

    def uri(self, image_id: str) -> str | None:
        """Return the picture of a field as a ``data:`` address; None where there is none."""
        jpeg = None if self._thumbnails is None else self._thumbnails.tile(image_id)
        return None if jpeg is None else data_uri(jpeg)
