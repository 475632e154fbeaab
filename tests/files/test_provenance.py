"""Digests and versions."""

import hashlib
from importlib import metadata

import pytest

from hpastack.files import digest_of, package_versions, sha256

pytestmark = pytest.mark.core


def test_a_digest_is_that_of_the_json_with_sorted_keys():
    text = b'{"a": [1, 2.5, null, true], "b": {"c": "\\u00e4", "d": ""}}'
    value = {"b": {"d": "", "c": "ä"}, "a": [1, 2.5, None, True]}
    assert digest_of(value) == hashlib.sha256(text).hexdigest()


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256(path).startswith("ba7816bf8f01cfea")


def test_further_packages_are_named_if_they_are_installed():
    versions = package_versions()
    assert versions["numpy"] == metadata.version("numpy")
    more = package_versions(extra=["pandas", "no-such-package"])
    assert more == {**versions, "pandas": metadata.version("pandas")}
