"""Settings of the search for near-duplicates: the same for a recipe and for Python."""

import inspect
from dataclasses import asdict

import pandas as pd
import pytest

from hpastack.clusters import DuplicateSettings, near_duplicates
from hpastack.errors import InputError

pytestmark = pytest.mark.core


def test_defaults_are_those_of_the_search():
    parameters = inspect.signature(near_duplicates).parameters
    settings = asdict(DuplicateSettings())
    del settings["embedding"]  # the name of a store; the search takes the table
    assert settings == {name: parameters[name].default for name in settings}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_distance": 128},
            "max_distance is 128; it must be a whole number from 0 to 127",
        ),
        ({"max_distance": {"red": 1}}, "or one for each of red, green, blue, yellow"),
        ({"min_stains": 5}, "min_stains is 5; it must be from 1 to 4"),
        ({"mirrored": "no"}, "mirrored is 'no'; it must be true or false"),
        ({"min_cosine": 0.0}, "min_cosine is 0.0; it must be above 0 and at most 1"),
    ],
)
def test_wrong_settings_are_named_before_any_search(options, message):
    for make in (DuplicateSettings, lambda **options: near_duplicates(None, **options)):
        with pytest.raises(InputError, match=message):
            make(**options)


def test_a_distance_for_each_stain_is_taken():
    bits = {"red": 56, "green": 48, "blue": 40, "yellow": 48}
    assert DuplicateSettings(max_distance=bits).record()["max_distance"] == bits
    assert isinstance(near_duplicates(None, max_distance=bits), pd.DataFrame)
