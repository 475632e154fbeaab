"""The learning rate, the running mean and the start of a training."""

import pytest
import torch

from hpastack.cnn import CnnSettings
from hpastack.cnn.optimizer import make_optimizer, rate_at, update_average


def test_rate_falls_from_the_top():
    assert rate_at(0.0, 0.0) == 1.0
    assert rate_at(1.0, 0.1) == pytest.approx(0.01)
    assert rate_at(0.1, 0.1) == 1.0


def test_biases_and_norms_do_not_decay():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    settings = CnnSettings("test_resnet", weight_decay=0.3, learning_rate=0.1)
    decaying, others = make_optimizer([model], settings, torch.device("cpu")).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert [tuple(p.shape) for p in decaying["params"]] == [(3, 2)]
    assert [tuple(p.shape) for p in others["params"]] == [(3,)] * 3
    assert decaying["lr"] == others["lr"] == 0.1


def test_running_mean_worked_by_hand():
    average, model = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.num_batches_tracked.fill_(7)
    # In the first step the memory is short: 2 / 11 of the old and 9 / 11 of the new.
    update_average(average, model, 0.9, n_steps=1)
    assert average.weight.item() == pytest.approx((2 * 1 + 9 * 2) / 11)
    assert average.num_batches_tracked.item() == 7
    with torch.no_grad():
        average.weight.fill_(1.0)
    update_average(average, model, 0.9, n_steps=1000)
    assert average.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 2)
