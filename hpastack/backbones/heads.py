"""Pooled features and logits of a network in one forward pass."""

from __future__ import annotations

import math

from hpastack.backbones._torch import torch
from hpastack.backbones.network import Network
from hpastack.errors import InputError


def features_and_logits(model: Network, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the input and the output of the classifier of a model, in one forward pass.

    Parameters
    ----------
    model : torch.nn.Module
        From `create_backbone`, with a classifier; see `check_features_and_logits`.
    inputs : Tensor of float, shape (n, n_stains, h, w)
        Scaled by the model's preprocessing, on its device.

    Returns
    -------
    features : Tensor, shape (n, n_dimensions)
        Pooled features; in training mode after the dropout before the classifier.
    logits : Tensor, shape (n, n_labels)
        The same as ``model(inputs)``.

    Notes
    -----
    Gradients flow through both. No state is stored in the model, so threads may share it.
    """
    features = model.forward_head(model.forward_features(inputs), pre_logits=True)
    return features, model.get_classifier()(features)


def check_features_and_logits(model: Network) -> None:
    """Check that the logits of a model are its classifier applied to its pooled features.

    Compares `features_and_logits` with the output of the model on one artificial input.

    Parameters
    ----------
    model : torch.nn.Module
        From `create_backbone`, on any device, in any mode; it is not changed.

    Raises
    ------
    InputError
        If the model has no classifier, several classifiers, or further operations between
        features and logits.
    """
    name = model.pretrained_cfg.get("architecture") or type(model).__name__
    remedy = "use another backbone where both features and logits are needed"
    if not model.num_classes:
        raise InputError(f"backbone {name} has no classifier, so it has no logits")
    if not isinstance(model.get_classifier(), torch.nn.Module):
        raise InputError(f"backbone {name} has more than one classifier; {remedy}")
    parameter, side = next(model.parameters()), model.preprocessing.input_size
    shape = (1, len(model.preprocessing.stains), side, side)
    ramp = torch.linspace(-1, 1, math.prod(shape), dtype=parameter.dtype, device=parameter.device)
    inputs = ramp.view(shape)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(inputs)
            features, logits = features_and_logits(model, inputs)
        same = features.ndim == 2 and logits.shape == outputs.shape
        # 1e-3 of the largest, for sums in a different order and TF32 on a GPU.
        same = same and bool((logits - outputs).abs().max() <= 1e-3 * outputs.abs().max())
    except (AttributeError, RuntimeError, TypeError):
        same = False
    finally:
        for module in training:
            module.training = True
    if not same:
        raise InputError(
            f"backbone {name} does not apply one classifier to its pooled features; {remedy}"
        )
