"""Environment variables set by a notebook server for the commands started from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def any_backend() -> Iterator[None]:
    """Allow matplotlib to be imported if the backend named in the environment is missing.

    A notebook server sets ``MPLBACKEND`` to the backend of its notebooks. In an environment
    without that backend, matplotlib cannot be imported, although figures that are only written
    to files do not need it. An available backend remains in use.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    was_loaded = "matplotlib" in sys.modules
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
            if not was_loaded and "matplotlib" in sys.modules:
                with suppress(ValueError):
                    sys.modules["matplotlib"].rcParams["backend"] = backend
