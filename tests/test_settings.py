"""Settings classes: each wrong value is named with what is allowed, whoever gives it."""

import dataclasses
import pickle
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import AfterValidator

from hpastack.errors import InputError
from hpastack.settings import Field, Must, distinct, keys, one_of, settings

pytestmark = pytest.mark.core

LOSSES = {"bce": 1, "focal": 2}


@settings
class Training:
    """How to train."""

    backbone: str
    """Model name. Any
    of timm.
    """
    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the fields."""
    zoom: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    rate: Annotated[float, Field(gt=0)] = 0.1
    loss: Annotated[str, one_of(LOSSES)] = "bce"
    views: Literal[1, 8] = 1
    compile: bool = False
    size: Annotated[int, Field(ge=16)] | Literal["original"] = 512
    crop: Annotated[int, Field(ge=16)] | None = None
    stains: Annotated[list[Literal["red", "green"]], Field(min_length=1)] | None = None
    names: Annotated[list[str], AfterValidator(distinct)] = dataclasses.field(default_factory=list)
    bits: int | dict[Literal["red", "green"], int] = 48
    even: Annotated[int, Must(lambda value: value % 2 == 0, "an even number")] = 2

    def __post_init__(self):
        if isinstance(self.size, int) and self.crop is not None and self.crop > self.size:
            raise ValueError(f"crop is {self.crop}; it must be at most size, {self.size}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"epochs": "3"}, "epochs is '3'; it must be a whole number of at least 1"),
        ({"epochs": 3.5}, "epochs is 3.5; it must be a whole number of at least 1"),
        ({"epochs": True}, "epochs is True; it must be a whole number of at least 1"),
        ({"epochs": None}, "epochs is None; it must be a whole number of at least 1"),
        ({"zoom": 0.9}, "zoom is 0.9; it must be from 0 to 0.5"),
        ({"share": 0}, "share is 0; it must be above 0 and at most 1"),
        ({"rate": float("nan")}, "rate is nan; it must be a finite number above 0"),
        ({"rate": float("inf")}, "rate is inf; it must be a finite number above 0"),
        ({"rate": "fast"}, "rate is 'fast'; it must be a number above 0"),
        ({"loss": "hinge"}, "loss is 'hinge'; it must be one of bce, focal"),
        ({"loss": 3}, "loss is 3; it must be one of bce, focal"),
        ({"views": 4}, "views is 4; it must be one of 1, 8"),
        ({"compile": "no"}, "compile is 'no'; it must be true or false"),
        ({"compile": 1}, "compile is 1; it must be true or false"),
        ({"size": 3}, "size is 3; it must be a whole number of at least 16, or original"),
        ({"size": "big"}, "size is 'big'; it must be a whole number of at least 16, or original"),
        ({"crop": 3}, "crop is 3; it must be a whole number of at least 16, or None (null in a "
                      "recipe)"),
        ({"crop": 600}, "crop is 600; it must be at most size, 512"),
        ({"stains": []}, "stains is []; it must be a list of one or more of red, green, or None "
                         "(null in a recipe)"),
        ({"stains": ["red", "blue"]}, "stains has 'blue'; it must be a list of one or more of "
                                      "red, green, or None (null in a recipe)"),
        ({"names": "net"}, "names is 'net'; it must be a list of names, such as ['net']"),
        ({"names": ["a", "a"]}, "names is ['a', 'a']; it must not have duplicates"),
        ({"bits": {"red": 1.5}}, "bits is {'red': 1.5}; it must be a whole number, or a whole "
                                 "number for each of red, green"),
        ({"even": 3}, "even is 3; it must be an even number"),
        ({"backbone": 3}, "backbone is 3; it must be text"),
        ({"epocs": 3}, "unknown key 'epocs'; did you mean 'epochs'?"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_is_allowed(change, message):
    with pytest.raises(InputError) as error:
        Training(**{"backbone": "net"} | change)
    assert str(error.value) == message


def test_every_problem_is_listed():
    with pytest.raises(InputError) as error:
        Training(epochs=0, zoom=1, nothing_like_it=3)
    assert str(error.value).startswith(
        "4 problems: (1) backbone is missing; it must be text "
        "(2) epochs is 0; it must be at least 1 (3) zoom is 1; it must be from 0 to 0.5 "
        "(4) unknown key 'nothing_like_it'; keys: backbone, epochs, zoom"
    )


def test_a_value_given_by_position_is_named():
    with pytest.raises(InputError) as error:
        Training("net", 0)
    assert str(error.value) == "epochs is 0; it must be at least 1"


def test_too_many_values_are_an_error():
    with pytest.raises(InputError, match="unexpected value 99"):
        Training("net", 20, 0.0, 0.5, 0.1, "bce", 1, False, 512, None, None, [], 48, 2, 99)


def test_they_are_frozen_dataclasses():
    made = Training("net", epochs=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.epochs = 4
    assert dataclasses.replace(made, zoom=0.5).zoom == 0.5
    with pytest.raises(InputError, match="epochs is 0"):
        dataclasses.replace(made, epochs=0)
    assert dataclasses.asdict(made)["epochs"] == 3
    assert made == Training("net", 3) != Training("net")
    assert pickle.loads(pickle.dumps(made)) == made


def test_numbers_of_numpy_and_sequences_become_plain_values():
    made = Training(
        "net", np.int64(3), zoom=np.float64(0.25), compile=np.bool_(True), names=("a", np.str_("b"))
    )
    assert (made.epochs, made.zoom, made.compile, made.names) == (3, 0.25, True, ["a", "b"])
    assert [type(value) for value in (made.epochs, made.zoom, made.compile)] == [int, float, bool]
    for names in (np.array(["a", "b"]), pd.Index(["a", "b"])):
        assert Training("net", names=names).names == ["a", "b"]


def test_a_whole_number_is_a_number():
    assert repr(Training("net", zoom=0).zoom) == "0.0"


def test_defaults_are_not_shared():
    Training("net").names.append("a")
    assert Training("net").names == []


def test_choices_are_those_of_the_registry_when_a_value_is_checked():
    LOSSES["lsep"] = 3
    try:
        assert Training("net", loss="lsep").loss == "lsep"
    finally:
        del LOSSES["lsep"]
    with pytest.raises(InputError, match="loss is 'lsep'; it must be one of bce, focal$"):
        Training("net", loss="lsep")


def test_keys_hold_meaning_default_and_what_is_allowed():
    found = {key.name: key for key in keys(Training)}
    assert list(found) == [field.name for field in dataclasses.fields(Training)]
    assert found["backbone"].default is dataclasses.MISSING
    assert found["backbone"].meaning == "Model name. Any of timm."
    assert (found["epochs"].default, found["epochs"].allowed) == (
        20, "a whole number of at least 1",
    )  # fmt: skip
    assert (found["names"].default, found["loss"].allowed) == ([], "one of bce, focal")


def test_meanings_are_in_the_docstring():
    assert Training.__doc__.startswith("How to train.\n\nParameters\n----------\nbackbone\n")
    assert "epochs : default=20\n    Passes over the fields.\n" in Training.__doc__


def test_a_subclass_checks_all_its_keys():
    @settings
    class Longer(Training):
        """How to train for longer."""

        patience: Annotated[int, Field(ge=0)] = 0
        """Epochs to wait."""

    assert Longer("net", patience=2).patience == 2
    assert "epochs : default=20\n    Passes" in Longer.__doc__
    assert [key.meaning for key in keys(Longer)[1::13]] == [
        "Passes over the fields.",
        "Epochs to wait.",
    ]
    with pytest.raises(InputError) as error:
        Longer("net", epochs=0, patience=-1)
    assert str(error.value) == (
        "2 problems: (1) epochs is 0; it must be at least 1 "
        "(2) patience is -1; it must be at least 0"
    )
