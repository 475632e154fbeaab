"""Settings of a CNN: their ranges, and the recipe that carries them."""

from dataclasses import replace

import pytest

from hpastack.cnn import CnnSettings
from hpastack.errors import InputError
from hpastack.recipes import CnnRecipe

SETTINGS = CnnSettings("test_resnet", size=32)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"shift": 0.9}, "shift is 0.9; it must be from 0 to 0.5"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"loss": "hinge"}, "loss is 'hinge'; it is one of bce, focal, asymmetric, lsep"),
        ({"label_weight_power": 2}, "label_weight_power is 2; it must be from 0 to 1"),
        ({"crop": 33}, "crop is 33; it must be from 16 to size, 32"),
        ({"crops": 5}, "there is no crop"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"views": 4}, "views is 4; it is one of 1, 8"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, **change)


def test_recipe_has_the_keys_and_defaults_of_the_settings():
    recipe = CnnRecipe(type="cnn", backbone="resnet18")
    assert recipe.model_dump(exclude={"type"}) == CnnSettings("resnet18").record()
