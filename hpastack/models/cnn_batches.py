"""What a CNN is shown while it trains: which fields how often, and changed how."""

from __future__ import annotations

import numpy as np

from hpastack._torch import torch
from hpastack.channels import PROTEIN, STAIN_INDEX
from hpastack.models.cnn_settings import CnnSettings

# Stains that tell where things are, and may be missing; without the protein there is no label.
_REFERENCES = [number for stain, number in STAIN_INDEX.items() if stain != PROTEIN]


def turned(batch, view: int):
    """Turn and mirror a batch of fields.

    Parameters
    ----------
    batch : Tensor, shape (n, 4, s, s)
    view : int
        0 to 3 quarter turns; 4 to 7 the same, mirrored.

    Returns
    -------
    Tensor
    """
    batch = torch.rot90(batch, view % 4, dims=(2, 3)) if view % 4 else batch
    return batch.flip(3) if view >= 4 else batch


def augment(batch, rng: np.random.Generator, settings: CnnSettings):
    """Change fields at random in ways that leave their labels as they are.

    Parameters
    ----------
    batch : Tensor of float, shape (n, 4, s, s)
        Values in [0, 1].
    rng : numpy.random.Generator
    settings : CnnSettings
        Its `turns`, `shift`, `zoom`, `brightness`, `offset`, `stain_dropout` and `cutout`.

    Returns
    -------
    Tensor
        Of the same shape; values may rise above 1, but do not fall below 0.
    """
    n, n_stains, side, _ = batch.shape
    if settings.turns:
        views = rng.integers(8, size=n)
        changed = torch.empty_like(batch)
        for view in np.unique(views):
            rows = torch.from_numpy(np.flatnonzero(views == view)).to(batch.device)
            changed[rows] = turned(batch[rows], int(view))
        batch = changed
    margin = round(settings.shift * side)
    if margin:
        corners = rng.integers(2 * margin + 1, size=(n, 2))
        padded = torch.nn.functional.pad(batch, (margin,) * 4)
        batch = torch.stack(
            [padded[i, :, y : y + side, x : x + side] for i, (y, x) in enumerate(corners)]
        )
    if settings.zoom:
        batch = _zoomed(batch, 1 + settings.zoom * rng.uniform(-1, 1, size=n))
    gains = 1 + settings.brightness * rng.uniform(-1, 1, size=(n, n_stains, 1, 1))
    offsets = settings.offset * rng.uniform(-1, 1, size=(n, n_stains, 1, 1))
    gain, shift = (torch.from_numpy(v).to(batch.device, batch.dtype) for v in (gains, offsets))
    batch = (batch * gain + shift).clamp_(min=0)
    if settings.stain_dropout:
        dropped = rng.random(n) < settings.stain_dropout
        which = rng.choice(_REFERENCES, size=n)
        batch[np.flatnonzero(dropped), which[dropped]] = 0
    if settings.cutout:
        width = max(1, round(settings.cutout * side))
        for field, (y, x) in zip(batch, rng.integers(side - width + 1, size=(n, 2))):
            field[:, y : y + width, x : x + width] = 0
    return batch


def mixed(batch, targets, rng: np.random.Generator, alpha: float):
    """Lay each field of a batch over another one, and mix their targets alike.

    Parameters
    ----------
    batch : Tensor of float, shape (n, 4, s, s)
    targets : Tensor of float, shape (n, n_labels)
    rng : numpy.random.Generator
    alpha : float
        Of the beta distribution, the same on both sides, that the share of the first field is
        drawn from; 0 leaves all as it is.

    Returns
    -------
    batch, targets : Tensor
        Of the same shapes.

    References
    ----------
    .. [1] H. Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018.
       https://arxiv.org/abs/1710.09412
    """
    if alpha == 0:
        return batch, targets
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(batch))).to(batch.device)
    return (
        share * batch + (1 - share) * batch[other],
        share * targets + (1 - share) * targets[other],
    )


def _zoomed(batch, factors: np.ndarray):
    """Enlarge each field about its middle by its factor; what comes in from outside is black."""
    matrices = torch.zeros(len(batch), 2, 3, dtype=batch.dtype, device=batch.device)
    inverse = torch.from_numpy(1 / factors).to(batch.device, batch.dtype)
    matrices[:, 0, 0] = matrices[:, 1, 1] = inverse
    grid = torch.nn.functional.affine_grid(matrices, list(batch.shape), align_corners=False)
    return torch.nn.functional.grid_sample(batch, grid, align_corners=False)


def repeat_factors(indicator: np.ndarray, threshold: float) -> np.ndarray:
    """Say how often each field is shown in an epoch, so that rare labels are seen.

    Parameters
    ----------
    indicator : ndarray of {0, 1}, shape (n, n_labels)
    threshold : float
        Prevalence below which a label counts as rare.

    Returns
    -------
    ndarray of float, shape (n,)
        ``max(1, sqrt(threshold / prevalence))`` of the rarest label of each
        field; 1 for fields without labels.

    References
    ----------
    .. [1] A. Gupta, P. Dollar and R. Girshick, "LVIS: A dataset for large
       vocabulary instance segmentation", CVPR 2019.
       :doi:`10.1109/CVPR.2019.00550`

    Examples
    --------
    >>> repeat_factors(np.array([[1, 0], [1, 0], [1, 0], [1, 1]]), threshold=1.0)
    array([1., 1., 1., 2.])
    """
    prevalence = np.maximum(indicator.mean(axis=0), 1 / max(len(indicator), 1))
    factors = np.maximum(1, np.sqrt(threshold / prevalence))
    return np.where(indicator > 0, factors, 1.0).max(axis=1, initial=1.0)


def repeated_rows(rows: np.ndarray, repeats: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Repeat rows as often as `repeat_factors` says, fractions by chance."""
    whole = np.floor(repeats)
    counts = whole + (rng.random(len(rows)) < repeats - whole)
    return np.repeat(rows, counts.astype(int))
