"""Provenance of outputs: digests of files and settings, and package versions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from importlib import metadata
from typing import Any

_PACKAGES = (
    "hpastack", "numpy", "scipy", "scikit-image", "opencv-python-headless", "imagecodecs",
    "scikit-learn", "lightgbm", "xgboost", "torch", "timm", "lightning"
)  # fmt: skip


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON-serialisable value, in hexadecimal.

    Parameters
    ----------
    value : object
        Nested dicts with str keys, lists, strings, numbers, booleans and None.

    Returns
    -------
    str
        Independent of the order of keys in dicts.

    Examples
    --------
    >>> digest_of({"size": 512, "stem": "average"})[:8]
    '7623d7bc'
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def package_versions(extra: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of the packages that affect the values in a store.

    Parameters
    ----------
    extra : iterable of str, optional
        Additional packages, by their distribution names.

    Returns
    -------
    dict of str to str
        Without packages that are not installed.
    """
    versions = {}
    for name in (*_PACKAGES, *extra):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
