"""Settings that differ, in words."""

import pytest

from hpastack.files import differing_settings

LONG = "a" * 100


@pytest.mark.parametrize(
    "values, others, text",
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": 1}, {"a": 2}, "a is 1 in the store and 2 in the stack"),
        ({"a": 1}, {}, "a is 1 in the store and not set in the stack"),
        ({}, {"a": None}, "a is not set in the store and None in the stack"),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, "a.c is 2 in the store and 3 in"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "a is [1, 2] in the store and [2, 1] in the stack"),
        ({"a": [1, 2]}, {"a": [2, 3]}, "a has 1 in the store only and has 3 in the stack only"),
        ({"a": LONG}, {"a": "b"}, f"a is '{LONG[:56]}... in the store and 'b' in the stack"),
        (
            dict.fromkeys("abcde", 1), dict.fromkeys("abcde", 2),
            "c is 1 in the store and 2 in the stack; and 2 more",
        ),
    ],
)  # fmt: skip
def test_the_first_that_differ_are_named_with_both_values(values, others, text):
    named = differing_settings(values, others, "the store", "the stack")
    assert text in named and bool(named) == bool(text)
