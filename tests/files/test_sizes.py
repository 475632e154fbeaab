"""Sizes in words."""

import pytest

from hpastack.files.sizes import size_text

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    "n_bytes, text",
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (5 << 20, "5 MiB"),
        (3 << 30, "3.0 GiB"),
    ],
)
def test_the_unit_fits(n_bytes, text):
    assert size_text(n_bytes) == text
