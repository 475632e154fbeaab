"""What a page of one file may load and run."""

from __future__ import annotations

import hashlib
from base64 import b64encode


def page_policy(style: str, script: str, *, images: str = "data:") -> str:
    """Return the Content-Security-Policy of a page that loads nothing but what it holds.

    Parameters
    ----------
    style, script : str
        The only ones that it may use, as they stand between their tags.
    images : str, default="data:"
        Sources of images.

    Returns
    -------
    str
    """
    of_style, of_script = (
        b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{of_style}'; script-src 'sha256-{of_script}'; "
        f"img-src {images}; base-uri 'none'; form-action 'none'"
    )
