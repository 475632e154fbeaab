"""What a notebook server leaves in the environment of the commands that are started from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def any_backend() -> Iterator[None]:
    """Import matplotlib, or what imports it, whatever backend the environment names.

    A notebook server names the backend of its notebooks in ``MPLBACKEND``. In an environment
    that lacks that backend matplotlib cannot be imported, though figures that are only written
    to files need none. A backend that there is remains in force.
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
