"""Loss functions over the labels of a field."""

from __future__ import annotations

from hpastack.backbones._torch import torch
from hpastack.cnn.settings import CnnSettings

# Replaces a target of 0 before taking its logarithm; far below any relevant target.
_NOTHING = 1e-30


def label_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    settings: CnnSettings,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean loss over fields and labels.

    Parameters
    ----------
    logits, targets : Tensor, shape (n, n_labels)
        Targets are from 0 to 1; with smoothing or mixup they lie between.
    settings : CnnSettings
        Its `loss` and the parameters of that loss.
    weights : Tensor, shape (n_labels,), optional
        Weight of each label; default: equal weights.

    Returns
    -------
    Tensor
        A scalar. ``bce``, ``focal`` and ``asymmetric`` are means over fields
        and labels; ``lsep`` is a mean over fields.

    Notes
    -----
    ``lsep`` is a ranking loss, ``log(1 + sum of exp(s_j - s_i))`` over all pairs of a
    positive label i and a negative label j of a field. It does not determine the
    overall level of the logits, so they must be calibrated and thresholds chosen
    afterwards, as a stack does.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal loss for dense object detection", ICCV
       2017. :doi:`10.1109/ICCV.2017.324`
    .. [2] T. Ridnik et al., "Asymmetric loss for multi-label classification",
       ICCV 2021. :doi:`10.1109/ICCV48922.2021.00015`
    .. [3] Y. Li, Y. Song and J. Luo, "Improving pairwise ranking for multi-label
       image classification", CVPR 2017. :doi:`10.1109/CVPR.2017.199`
    """
    if settings.loss == "lsep":
        return _pairwise(logits, targets, weights)
    if settings.loss == "asymmetric":
        losses = _asymmetric(logits, targets, settings)
    else:
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, targets, reduction="none"
        )
    if settings.loss == "focal":
        # |target - probability| is 1 - p_t of the paper, also for smoothed targets.
        losses = losses * (targets - logits.sigmoid()).abs() ** settings.focal_gamma
    return (losses if weights is None else losses * weights).mean()


def label_weights(prevalence: torch.Tensor, power: float) -> torch.Tensor | None:
    """Return the weight of each label in a loss.

    Parameters
    ----------
    prevalence : Tensor, shape (n_labels,)
        Share of the training fields with the label, above 0.
    power : float
        0 for equal weights, 1 for weights in inverse proportion to the
        prevalence.

    Returns
    -------
    Tensor, shape (n_labels,), or None
        With mean 1; None for equal weights.
    """
    if power == 0:
        return None
    weights = prevalence**-power
    return weights / weights.mean()


def _asymmetric(logits: torch.Tensor, targets: torch.Tensor, settings: CnnSettings) -> torch.Tensor:
    present = logits.sigmoid()
    # Negative labels with a probability below the clip do not contribute.
    absent = (1 - present + settings.asymmetric_clip).clamp(max=1)
    losses = -(
        targets * present.clamp(min=1e-8).log() + (1 - targets) * absent.clamp(min=1e-8).log()
    )
    right = present * targets + absent * (1 - targets)
    gamma = settings.positive_gamma * targets + settings.negative_gamma * (1 - targets)
    return losses * (1 - right) ** gamma


def _pairwise(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    # The sum over pairs is a product of two sums: of exp(s_j) and of exp(-s_i).
    has = targets if weights is None else targets * weights
    has_not = 1 - targets if weights is None else (1 - targets) * weights
    above = torch.logsumexp(logits + has_not.clamp(min=_NOTHING).log(), dim=1)
    below = torch.logsumexp(has.clamp(min=_NOTHING).log() - logits, dim=1)
    return torch.nn.functional.softplus(above + below).mean()
