"""A stack belongs to the vocabulary that it was fitted with."""

import pytest

from hpastack.errors import InputError
from hpastack.stack import check_labels

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("labels", "difference"),
    [
        (["b", "a", "c"], r"\(in another order\)"),
        (["a", "b"], r"\(only in the vocabulary: c\)"),
        (["a", "b", "x"], r"\(only in the stack: x; only in the vocabulary: c\)"),
    ],
)
def test_other_labels_than_those_of_the_vocabulary_are_named(labels, difference):
    with pytest.raises(InputError, match=f"^models/s has other labels .*{difference}; use the"):
        check_labels(labels, ["a", "b", "c"], "models/s")
    check_labels(labels, labels, "models/s")
