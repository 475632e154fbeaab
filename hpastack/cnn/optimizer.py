"""The optimizer, its learning rate schedule, and the running mean of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpastack.backbones import Network
from hpastack.backbones._torch import torch
from hpastack.cnn.settings import CnnSettings

# The learning rate ends at this share of its highest value.
_FINAL_RATE = 0.01


def rate_at(done: float, warm_up: float) -> float:
    """Return the learning rate as a share of its highest value.

    Parameters
    ----------
    done : float
        Completed share of the training.
    warm_up : float
        Share of the training in which the rate rises.

    Returns
    -------
    float

    Examples
    --------
    >>> [round(rate_at(done, 0.5), 3) for done in (0, 0.25, 0.5, 0.75, 1)]
    [0.01, 0.505, 1.0, 0.505, 0.01]
    """
    if done < warm_up:
        return _FINAL_RATE + (1 - _FINAL_RATE) * done / warm_up
    angle = math.pi * (done - warm_up) / max(1 - warm_up, 1e-9)
    return _FINAL_RATE + (1 - _FINAL_RATE) * (1 + math.cos(angle)) / 2


def start_at_prevalence(model: Network, prevalence: torch.Tensor) -> None:
    """Set the biases of the classifier so that it initially predicts the prevalences.

    This saves the epochs in which a network would only learn that most labels
    are rare. A classifier without biases is not changed.

    Parameters
    ----------
    model : torch.nn.Module
    prevalence : Tensor, shape (n_labels,)
    """
    bias = getattr(model.get_classifier(), "bias", None)
    if bias is not None:
        with torch.no_grad():
            bias.copy_(torch.logit(prevalence))


def make_optimizer(
    modules: Sequence[torch.nn.Module], settings: CnnSettings, device: torch.device
) -> torch.optim.AdamW:
    """Return AdamW for the weights of some modules.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        On `device`.
    settings : CnnSettings
        Its `learning_rate` and `weight_decay`; biases and norms have no weight decay.
    device : torch.device

    Returns
    -------
    torch.optim.AdamW
    """
    weights = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=device.type == "cuda")


def update_average(
    average: torch.nn.Module, model: torch.nn.Module, decay: float, n_steps: int
) -> None:
    """Update the exponential running mean of a model's weights in place.

    Parameters
    ----------
    average, model : torch.nn.Module
        Of the same architecture.
    decay : float
        As `ema_decay` in `CnnSettings`.
    n_steps : int
        Steps of the optimizer so far.
    """
    # A smaller decay at first, or the running mean would long retain the initial weights.
    decay = min(decay, (1 + n_steps) / (10 + n_steps))
    with torch.no_grad():
        latest = model.state_dict()
        for key, value in average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(latest[key], 1 - decay)
            else:
                value.copy_(latest[key])
