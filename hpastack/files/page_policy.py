"""Content security policy of self-contained HTML pages."""

from __future__ import annotations

import hashlib
from base64 import b64encode


def page_policy(style: str, script: str, *, images: str = "data:") -> str:
    """Return the Content-Security-Policy of a page that loads nothing from elsewhere.

    Parameters
    ----------
    style, script : str
        The only allowed style and script: the exact text between their tags.
    images : str, default="data:"
        Allowed sources of images.

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
