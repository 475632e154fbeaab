"""What outputs were made from and with: digests of files, versions of packages."""

from __future__ import annotations

import hashlib
from importlib import metadata

_PACKAGES = (
    "hpastack", "numpy", "scipy", "scikit-image", "opencv-python-headless", "imagecodecs",
    "scikit-learn", "lightgbm", "xgboost", "torch", "timm", "lightning"
)  # fmt: skip


def sha256(path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that shape the values of a store."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
