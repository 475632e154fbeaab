"""File sizes as text."""

from __future__ import annotations


def size_text(n_bytes: float) -> str:
    """Return a number of bytes in a readable unit.

    Examples
    --------
    >>> size_text(10), size_text(1536), size_text(3 * 1024**3)
    ('10 bytes', '2 KiB', '3.0 GiB')
    """
    for unit in ("bytes", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} GiB"
