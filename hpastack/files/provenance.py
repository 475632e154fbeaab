"""What outputs were made from and with: digests of files and settings, versions of packages."""

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
    """Return the SHA-256 of what JSON can hold, in hexadecimal.

    Parameters
    ----------
    value : object
        Dicts with keys of text, lists, texts, numbers, booleans and None, in each other.

    Returns
    -------
    str
        The order of the keys of a dict does not enter.

    Examples
    --------
    >>> digest_of({"size": 512, "stem": "average"})[:8]
    '7623d7bc'
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def package_versions(extra: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of the packages that shape the values of a store.

    Parameters
    ----------
    extra : iterable of str, optional
        Further packages, as they are called where they are installed from.

    Returns
    -------
    dict of str to str
        Packages that are not installed are not in it.
    """
    versions = {}
    for name in (*_PACKAGES, *extra):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
