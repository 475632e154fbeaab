"""Small pictures of fields in the page itself, as many as it may hold."""

from __future__ import annotations

import base64
from typing import Protocol

#: How the pictures of a page are shared out among its sections.
SHARES = {"cards": 0.75, "label_check": 0.1, "data": 0.15}
#: Pictures of a page; about 10 kB each.
N_PICTURES = 400


class Thumbnails(Protocol):
    """What draws small pictures of fields."""

    def jpeg(self, image_id: str) -> bytes | None:
        """Return a JPEG of a field: all stains merged, beside the protein; None without images."""
        ...


class Pictures:
    """Small pictures of fields, as many as a page may hold.

    Parameters
    ----------
    thumbnails : Thumbnails, optional
        Where there are images.
    limit : int, default=400
        Pictures of the whole page.
    """

    def __init__(self, thumbnails: Thumbnails | None = None, limit: int = N_PICTURES) -> None:
        self._thumbnails = thumbnails
        self._limit = limit
        self._kept: dict[str, str | None] = {}

    def allowed(self, section: str) -> int:
        """Return how many pictures a section may show; 0 where there are no images."""
        return 0 if self._thumbnails is None else int(self._limit * SHARES[section])

    def uri(self, image_id: str) -> str | None:
        """Return the picture of a field as a ``data:`` address; None where there is none."""
        if self._thumbnails is None:
            return None
        if image_id not in self._kept:
            content = self._thumbnails.jpeg(image_id)
            self._kept[image_id] = (
                None
                if content is None
                else f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"
            )
        return self._kept[image_id]
