"""Settings of a CNN: their ranges, from Python and from a recipe."""

from dataclasses import replace

import pytest

from hpastack.cnn import CnnSettings
from hpastack.errors import InputError

pytestmark = pytest.mark.core

SETTINGS = CnnSettings("test_resnet", size=32)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"epochs": 0}, "epochs is 0; it must be from 1 to 10000"),
        ({"epochs": "3"}, "epochs is '3'; it must be a whole number from 1 to 10000"),
        ({"size": 350.5}, "size is 350.5; it must be a whole number from 16 to 16384"),
        ({"shift": 0.9}, "shift is 0.9; it must be from 0 to 0.5"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"loss": "hinge"}, "loss is 'hinge'; it must be one of bce, focal, asymmetric, lsep"),
        ({"stem": "thick"}, "stem is 'thick'; it must be one of average, copy, repeat, random"),
        ({"stains": ["red", "far red"]}, "stains has 'far red'; it must be a list of one or more"),
        ({"label_weight_power": 2}, "label_weight_power is 2; it must be from 0 to 1"),
        ({"drop_rate": 0.95}, "drop_rate is 0.95; it must be from 0 to 0.9"),
        ({"crop": 33}, "crop is 33; it must be from 16 to size, 32"),
        ({"crops": 5}, "crop is not set"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"seed": -1}, "seed is -1; it must be from 0 to 2147483647"),
        ({"views": 4}, "views is 4; it must be one of 1, 8"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, **change)


def test_the_record_is_json_and_makes_the_settings_again():
    settings = CnnSettings("net", stains=("green", "blue"), mixup=1)
    assert settings.record()["stains"] == ["green", "blue"]
    assert repr(settings.record()["mixup"]) == "1.0"  # as a recipe gives it
    assert CnnSettings(**settings.record()) == settings


def test_what_shapes_predictions_alone_does_not_shape_weights():
    assert replace(SETTINGS, views=8).shaping() == SETTINGS.shaping()
    assert replace(SETTINGS, epochs=3).shaping() != SETTINGS.shaping()
