"""Texts in HDF5."""

from __future__ import annotations

import numpy as np


def fixed_strings(values) -> np.ndarray:
    """Return texts as HDF5 keeps them here: bytes of one length, UTF-8, padded with zeros."""
    # Fixed length: HDF5's variable-length strings are slow and cannot be bounded when read.
    return np.array([value.encode() for value in values], dtype=np.bytes_)
