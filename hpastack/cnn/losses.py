"""What a CNN is trained to make small: losses over the labels of a field."""

from __future__ import annotations

from hpastack.backbones._torch import torch
from hpastack.cnn.settings import CnnSettings

# Stands for a share of nothing where its logarithm is taken; far below any share that counts.
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
        Targets are from 0 to 1; smoothed ones lie between.
    settings : CnnSettings
        Its `loss`, and what goes with it.
    weights : Tensor, shape (n_labels,), optional
        How much each label counts; all alike if left out.

    Returns
    -------
    Tensor
        A number. ``bce``, ``focal`` and ``asymmetric`` are means over fields
        and labels; ``lsep`` is a mean over fields.

    Notes
    -----
    ``lsep`` puts the labels of a field in order, ``log(1 + sum of exp(s_j - s_i))`` over
    all pairs of a label i that the field has and a label j that it has not. How high
    logits are as a whole it leaves open, so thresholds and probabilities
    have to be found afterwards, as a stack does.

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
    """Say how much each label counts in a loss.

    Parameters
    ----------
    prevalence : Tensor, shape (n_labels,)
        Share of the training fields with the label, above 0.
    power : float
        0 for all alike, 1 for labels that count in inverse proportion to their
        prevalence.

    Returns
    -------
    Tensor, shape (n_labels,), or None
        With mean 1; None if all count alike.
    """
    if power == 0:
        return None
    weights = prevalence**-power
    return weights / weights.mean()


def _asymmetric(logits: torch.Tensor, targets: torch.Tensor, settings: CnnSettings) -> torch.Tensor:
    present = logits.sigmoid()
    # Labels that are all but ruled out count for nothing.
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
