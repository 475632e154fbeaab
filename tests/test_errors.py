"""Names in messages can be told apart."""

import pytest

from hpastack.errors import shorten, visible

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    "name, text",
    [
        ("plain name", "plain name"), ("\u03b1\u03b2 \u00b5", "\u03b1\u03b2 \u00b5"), (3, "3"),
        ("caf\u00e9", "caf\u00e9"), ("cafe\u0301", "cafe\\u0301"), ("a\u00a0b", "a\\xa0b"),
        ("a\u200bb", "a\\u200bb"), ("a\nb", "a\\nb"), ("a ", "'a '"), ("", ""),
        ("\u03b1e\u0301", "\\u03b1e\\u0301"),
    ],
)  # fmt: skip
def test_what_looks_like_another_name_is_written_with_escapes(name, text):
    assert visible(name) == text
    assert shorten([name, "b"]) == f"{text}, b"
