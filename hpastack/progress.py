"""How long work shows how far it is: the caller may hand in `tqdm`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

#: Wraps an iterable: ``progress(iterable, total=n, desc=what)``, as `tqdm` does.
Progress = Callable[..., Iterable]


def silent(iterable: Iterable, total: int, desc: str) -> Iterable:
    """Show no progress."""
    return iterable
