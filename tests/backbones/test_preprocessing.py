"""How fields are prepared: order, scaling, crops, and the record of it."""

import numpy as np
import pytest
import torch

from hpastack.backbones import Preprocessing
from hpastack.errors import InputError


def test_scaling_worked_by_hand():
    scaling = Preprocessing(1, (0.0, 0.5, 0.5, 0.5), (1.0, 0.5, 0.25, 0.1))
    batch = torch.tensor([0.25, 0.25, 0.25, 0.25]).view(1, 4, 1, 1)
    assert np.allclose(scaling.scale(batch).flatten(), [0.25, -0.5, -1.0, -2.5])
    assert Preprocessing.from_record(scaling.record()) == scaling


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sd": (1.0, 1.0, 0.0, 1.0)}, "above 0"),
        ({"mean": (1.0,)}, "one mean and one sd"),
        ({"stains": ("green", "red", "blue", "grey")}, "stains are green, red, blue, grey"),
        ({"stains": ("green", "green", "blue", "red")}, "without duplicates"),
        ({"scaling": "by hand"}, "scaling 'by hand' is unknown"),
        ({"scaling": "min_max"}, "omit mean and sd"),
        ({"resize": "stretched"}, "resize 'stretched' is unknown"),
        ({"crop": 9}, "crop of 9 px is not possible for fields of 8 px"),
    ],
)
def test_wrong_preprocessing(change, message):
    record = Preprocessing(8, (0.5,) * 4, (0.5,) * 4).record()
    with pytest.raises(InputError, match=message):
        Preprocessing.from_record({**record, **change})
    with pytest.raises(InputError, match="not a preprocessing record"):
        Preprocessing.from_record({**record, "colour": 1})


def test_stains_are_put_into_the_order_of_the_network():
    scaling = Preprocessing(1, (0.0, 0.5), (1.0, 0.25), ("yellow", "green"))
    batch = torch.tensor([0.1, 0.75, 0.2, 0.4]).view(1, 4, 1, 1)
    assert torch.allclose(scaling.scale(batch).flatten(), torch.tensor([0.4, 1.0]))


def test_each_field_is_standardised_by_its_own_values():
    scaling = Preprocessing(2, stains=("blue", "red"), scaling="standardised")
    batch = torch.rand(3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    batch[1, 2] = 0.25  # a blank stain
    got = scaling.scale(batch)
    for field, scaled in zip(batch.numpy(), got.numpy()):
        for stain, own in zip((2, 0), scaled):
            values = field[stain].astype(np.float64)
            wanted = (values - values.mean()) / (values.std() + 1e-7)
            np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(got[1, 0], torch.zeros(2, 2))


def test_one_minimum_and_maximum_for_all_stains_that_the_network_sees():
    scaling = Preprocessing(1, stains=("red", "green"), scaling="min_max")
    batch = torch.tensor([0.2, 0.6, 0.0, 1.0]).view(1, 4, 1, 1)
    wanted = torch.tensor([0.0, 0.4 / (0.4 + 1e-6)])
    assert torch.allclose(scaling.scale(batch).flatten(), wanted)


def test_crops_are_the_corners_and_the_middle():
    batch = np.arange(25).reshape(1, 1, 5, 5)
    scaling = Preprocessing(5, (0.5,) * 4, (0.5,) * 4, crop=3)
    assert scaling.input_size == 3
    assert [crop[0, 0, 0, 0] for crop in scaling.crops(batch, 5)] == [0, 2, 10, 12, 6]
    (middle,) = scaling.crops(batch)
    assert middle.shape == (1, 1, 3, 3) and middle[0, 0, 0, 0] == 6
    whole = Preprocessing(5, (0.5,) * 4, (0.5,) * 4)
    assert whole.input_size == 5 and next(whole.crops(batch)) is batch
    for wrong, n, message in (
        (whole, 5, "need a crop"), (scaling, 3, "n is 3"),
        (Preprocessing(9, (0.5,) * 4, (0.5,) * 4, crop=7), 1, "7 px is not possible"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            next(wrong.crops(batch, n))


def test_records_of_versions_with_one_choice_are_read():
    old = {
        "size": 8, "mean": [0.1] * 4, "sd": [0.2] * 4,
        "stains": ["red", "green", "blue", "yellow"],
    }  # fmt: skip
    assert Preprocessing.from_record(old) == Preprocessing(8, (0.1,) * 4, (0.2,) * 4)
