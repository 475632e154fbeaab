"""What the classifier of a network sees, and what it says."""

from __future__ import annotations

import math

from hpastack.backbones._torch import torch
from hpastack.backbones.network import Network
from hpastack.errors import InputError


def features_and_logits(model: Network, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the classifier of a model sees, and what it says, in one forward pass.

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone` with a classifier; see `check_features_and_logits`.
    inputs : Tensor of float, shape (n, n_stains, h, w)
        Scaled by the model's preprocessing, on its device.

    Returns
    -------
    features : Tensor, shape (n, n_dimensions)
        Pooled; in training mode with the dropout that stands before the classifier.
    logits : Tensor, shape (n, n_labels)
        Those that ``model(inputs)`` gives.

    Notes
    -----
    Gradients flow through both. Nothing is kept on the model, so that threads may share it.
    """
    features = model.forward_head(model.forward_features(inputs), pre_logits=True)
    return features, model.get_classifier()(features)


def check_features_and_logits(model: Network) -> None:
    """Refuse a model whose logits are not its classifier applied to its pooled features.

    Compares `features_and_logits` with the model itself on a made-up field, once.

    Parameters
    ----------
    model : torch.nn.Module
        Of `create_backbone`, on any device, in any mode; it is left as it was.

    Raises
    ------
    InputError
        If the model has no classifier, has several, or does more between features and logits.
    """
    name = model.pretrained_cfg.get("architecture") or type(model).__name__
    remedy = "use another backbone where both are needed"
    if not model.num_classes:
        raise InputError(f"backbone {name} has no classifier, so it gives no logits")
    if not isinstance(model.get_classifier(), torch.nn.Module):
        raise InputError(f"backbone {name} has more than one classifier; {remedy}")
    like, side = next(model.parameters()), model.preprocessing.input_size
    shape = (1, len(model.preprocessing.stains), side, side)
    ramp = torch.linspace(-1, 1, math.prod(shape), dtype=like.dtype, device=like.device)
    inputs = ramp.view(shape)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            wanted = model(inputs)
            features, logits = features_and_logits(model, inputs)
        same = features.ndim == 2 and logits.shape == wanted.shape
        # 1e-3 of the largest: sums in another order, and TF32 on a GPU.
        same = same and bool((logits - wanted).abs().max() <= 1e-3 * wanted.abs().max())
    except (AttributeError, RuntimeError, TypeError):
        same = False
    finally:
        for module in training:
            module.training = True
    if not same:
        raise InputError(
            f"backbone {name} does not apply one classifier to its pooled features; {remedy}"
        )
