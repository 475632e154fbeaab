"""Settings of feature sets: the same for a recipe and for Python."""

import inspect
from dataclasses import asdict

import pytest

from hpastack.errors import InputError
from hpastack.extraction import (
    EmbeddingSettings,
    HandcraftedSettings,
    extract_embeddings,
    extract_features,
)

pytestmark = pytest.mark.core


def test_defaults_are_those_of_the_functions():
    parameters = inspect.signature(extract_embeddings).parameters
    settings = asdict(EmbeddingSettings("net"))
    del settings["backbone"]
    assert settings == {name: parameters[name].default for name in settings}
    size = inspect.signature(extract_features).parameters["size"].default
    assert HandcraftedSettings(["minimal"]).size == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": ["textur"]}, "families has 'textur'; it must be a list of one or more of"),
        ({"families": []}, "it must be a list of one or more of intensity, texture"),
        ({"families": ["texture", "texture"]}, "it must not have duplicates"),
        ({"size": 3}, "size is 3; it must be a whole number from 16 to 16384, or original"),
    ],
)
def test_wrong_handcrafted_settings(options, message):
    with pytest.raises(InputError, match=message):
        HandcraftedSettings(**{"families": ["minimal"]} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "thick"}, "stem is 'thick'; it must be one of average, copy"),
        ({"batch_size": "8"}, "batch_size is '8'; it must be a whole number from 1 to 65536"),
        ({"storage": "float64"}, "storage is 'float64'; it must be one of float32, float16"),
        ({"compile": "no"}, "compile is 'no'; it must be true or false"),
    ],
)
def test_wrong_settings_of_embeddings_are_named_before_any_work(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        EmbeddingSettings("net", **options)
    with pytest.raises(InputError, match=message):
        extract_embeddings(tmp_path / "net.h5", None, "net", **options)


def test_what_is_left_to_the_backbone_is_not_in_the_record():
    assert "crop" not in EmbeddingSettings("net").record()
    assert EmbeddingSettings("net", crop=32).record()["crop"] == 32


def test_pixels():
    assert HandcraftedSettings(["minimal"], size="original").pixels is None
    assert HandcraftedSettings(["minimal"], size=64).pixels == 64
