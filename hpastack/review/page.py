"""The HTML page to review suspected label errors, with pictures inline or in a folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.files import atomic_write, refuse_existing
from hpastack.files.page_policy import page_policy
from hpastack.pictures import DEFAULT_PALETTE, STAIN_COLOURS, Thumbnails, data_uri, jpeg_bytes
from hpastack.review.issues import ORDERS

if TYPE_CHECKING:
    import jinja2

#: The structure that each stain labels; keys 1 to 4 of the page toggle them in this order.
STAIN_NAMES = {"red": "Microtubules", "green": "Protein", "blue": "Nucleus", "yellow": "ER"}
# JPEG quality. Lower would show blocks at high contrast; higher doubles the size of the page.
_QUALITY = 78


def write_review(
    path: str | os.PathLike[str],
    fields: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    *,
    name: str = "",
    order: str = "normalised",
    thumbnails: Thumbnails | None = None,
    small: Thumbnails | None = None,
    sidecar: bool = False,
    earlier: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a page to review the labels of fields.

    Parameters
    ----------
    path : path-like
        The HTML file. It needs no network and no server.
    fields : sequence of dict
        From `review_fields`.
    labels : sequence of str
        Label names.
    name : str, optional
        Name of the stack, for the title.
    order : {"normalised", "plain"}, default="normalised"
        Initial order of the list.
    thumbnails, small : Thumbnails, optional
        Pictures of the fields, and of their neighbours; default: no pictures.
    sidecar : bool, default=False
        Whether to write pictures to a folder beside the page, ``<stem>_pictures``, instead of
        embedding them.
    earlier : mapping of str to str, optional
        Targets of fields with earlier corrections, by image id; the exported corrections include
        them.
    overwrite : bool, default=False
        Whether an existing page may be replaced.

    Returns
    -------
    Path
        The page. The same input gives the same bytes.

    Raises
    ------
    InputError
        If the page or its folder exists and `overwrite` is false, or jinja2 is not installed.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ModuleNotFoundError:
        raise InputError(
            "the review page needs jinja2, which is not installed; "
            "run: pip install 'hpastack[report]'"
        ) from None
    path = Path(path)
    folder = path.with_name(f"{path.stem}_pictures")
    refuse_existing(path, overwrite)
    if folder.exists():
        refuse_existing(folder, overwrite)
        shutil.rmtree(folder)
    data: dict[str, Any] = {
        "name": name,
        "labels": list(labels),
        "orders": list(ORDERS),
        "order": order,
        "fields": list(fields),
        "earlier": dict(sorted((earlier or {}).items())),
        "stains": [[stain, STAIN_NAMES[stain]] for stain in STAINS],
        "palettes": {
            palette: [list(colours[stain]) for stain in STAINS]
            for palette, colours in STAIN_COLOURS.items()
        },
        "palette": DEFAULT_PALETTE,
    }
    # Decisions saved in a browser are only valid for these fields, labels and probabilities.
    data["digest"] = hashlib.sha256(_json(data).encode()).hexdigest()[:16]
    data["pictures"], data["small"] = {}, {}
    if thumbnails is not None:
        if sidecar:
            folder.mkdir(parents=True)
        pictures = _Pictures(folder if sidecar else None)
        for field in fields:
            jpeg = stain_sheet(thumbnails, field["id"])
            if jpeg is None:
                continue
            height, width = thumbnails.shape(field["id"]) or (0, 0)
            data["pictures"][field["id"]] = {
                "src": pictures.place(jpeg),
                "height": height,
                "width": width,
                "pixel": thumbnails.pixel_size(field["id"]),
            }
        if small is not None:
            shown = {
                row[0]
                for field in fields
                for row in [*field["neighbours"], *field["near_duplicates"][:6]]
            }
            tiles = small.tiles(sorted(shown))
            data["small"] = {image_id: pictures.place(jpeg) for image_id, jpeg in tiles.items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hpastack.review"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    style, script = (_inlined(environment, file) for file in ("review.css", "review.js"))
    text = environment.get_template("review.html").render(
        name=name, style=Markup(style), script=Markup(script),
        policy=page_policy(style, script, images="data: file: 'self'" if sidecar else "data:"),
        json=Markup(_json(data)),
    )  # fmt: skip
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def stain_sheet(thumbnails: Thumbnails, image_id: str) -> bytes | None:
    """Return the four stains of a field as one grey JPEG, red and green above blue and yellow.

    The page colours and adds grey pictures by blending, as a browser must not read the pixels of
    picture files beside a page.

    Parameters
    ----------
    thumbnails : Thumbnails
    image_id : str

    Returns
    -------
    bytes or None
        None if the field has no picture.
    """
    levels = thumbnails.stain_levels(image_id)
    if levels is None:
        return None
    red, green, blue, yellow = levels
    return jpeg_bytes(np.block([[red, green], [blue, yellow]]), _QUALITY)


def _inlined(environment: jinja2.Environment, file: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, file)[0]


class _Pictures:
    """Embeds pictures in the page, or writes them to consecutively numbered files."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.n_placed = 0

    def place(self, jpeg: bytes) -> str:
        if self.folder is None:
            return data_uri(jpeg)
        self.n_placed += 1
        name = f"{self.n_placed:05d}.jpg"
        (self.folder / name).write_bytes(jpeg)
        return f"{quote(self.folder.name, safe='')}/{name}"


def _json(values: Any) -> str:
    """Return JSON that is safe inside a script element, whatever text it contains."""
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
