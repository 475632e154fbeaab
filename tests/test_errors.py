"""Names in messages can be told apart."""

import pytest

from hpastack.errors import counted, shorten, visible

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


def test_numbers_with_what_they_count():
    assert [counted(n, "field") for n in (0, 1, 2, 1000)] == [
        "0 fields", "1 field", "2 fields", "1,000 fields",
    ]  # fmt: skip
    assert counted(1, "id is", "ids are") == "1 id is"
    assert counted(2, "id is", "ids are") == "2 ids are"
