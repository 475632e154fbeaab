"""Augmentation of training fields."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hpastack.backbones._torch import torch
from hpastack.cnn.settings import CnnSettings
from hpastack.fields import PROTEIN, STAIN_INDEX, STAINS

# Reference stains, which stain dropout may set to 0; never the protein, which the labels are of.
_REFERENCES = [number for stain, number in STAIN_INDEX.items() if stain != PROTEIN]


def rotated(batch: torch.Tensor, view: int) -> torch.Tensor:
    """Return a batch of fields rotated by a multiple of 90 degrees and optionally flipped.

    Parameters
    ----------
    batch : Tensor, shape (n, 4, s, s)
    view : int
        0 to 3: rotated by so many times 90 degrees; 4 to 7: the same, flipped horizontally.

    Returns
    -------
    Tensor
    """
    batch = torch.rot90(batch, view % 4, dims=(2, 3)) if view % 4 else batch
    return batch.flip(3) if view >= 4 else batch


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation parameters of a batch of fields; created by `draw_augmentation`.

    Attributes
    ----------
    views : ndarray of int, shape (n,)
        As in `rotated`.
    corners : ndarray of int, shape (n, 2)
        Top left corners (y, x) of the crops in the padded fields, in pixels.
    factors : ndarray of float, shape (n,)
        Zoom factors.
    gains, offsets : ndarray of float, shape (n, 4)
        Factors and offsets of the values of each stain.
    dropped : ndarray of int, shape (n,)
        Index of the stain that is set to 0, or -1.
    cuts : ndarray of int, shape (n, 2)
        Top left corners (y, x) of the squares that are set to 0, in pixels.
    """

    views: np.ndarray
    corners: np.ndarray
    factors: np.ndarray
    gains: np.ndarray
    offsets: np.ndarray
    dropped: np.ndarray
    cuts: np.ndarray

    def of(self, rows: np.ndarray | slice) -> Augmentation:
        """Return the parameters of some of the fields."""
        return Augmentation(
            **{field.name: getattr(self, field.name)[rows] for field in fields(self)}
        )


def draw_augmentation(n: int, rng: np.random.Generator, settings: CnnSettings) -> Augmentation:
    """Return random augmentation parameters for a batch of fields.

    Parameters
    ----------
    n : int
        Number of fields.
    rng : numpy.random.Generator
    settings : CnnSettings
        Its `turns`, `shift`, `crop`, `zoom`, `brightness`, `offset`, `stain_dropout` and
        `cutout`.

    Returns
    -------
    Augmentation
    """
    n_stains = len(STAINS)
    side = settings.crop or settings.size
    room = settings.size - side + 2 * _margin(settings)
    width = _cut_width(settings, side)
    dropped = rng.choice(_REFERENCES, size=n)
    return Augmentation(
        views=rng.integers(8, size=n) if settings.turns else np.zeros(n, dtype=int),
        corners=rng.integers(room + 1, size=(n, 2)),
        factors=1 + settings.zoom * rng.uniform(-1, 1, size=n),
        gains=1 + settings.brightness * rng.uniform(-1, 1, size=(n, n_stains)),
        offsets=settings.offset * rng.uniform(-1, 1, size=(n, n_stains)),
        dropped=np.where(rng.random(n) < settings.stain_dropout, dropped, -1),
        cuts=rng.integers(side - width + 1, size=(n, 2)),
    )


def augment(batch: torch.Tensor, augmentation: Augmentation, settings: CnnSettings) -> torch.Tensor:
    """Return augmented fields, with transformations that preserve the labels.

    Parameters
    ----------
    batch : Tensor of float, shape (n, 4, size, size)
        Values in [0, 1], on any device.
    augmentation : Augmentation
        The parameters of these fields.
    settings : CnnSettings
        As in `draw_augmentation`.

    Returns
    -------
    Tensor, shape (n, 4, crop or size, crop or size)
        Values may exceed 1, but are never below 0.
    """
    device = batch.device
    if settings.turns:
        changed = torch.empty_like(batch)
        for view in np.unique(augmentation.views):
            rows = torch.from_numpy(np.flatnonzero(augmentation.views == view)).to(device)
            changed[rows] = rotated(batch[rows], int(view))
        batch = changed
    margin, side = _margin(settings), settings.crop or settings.size
    if margin or side < settings.size:
        padded = torch.nn.functional.pad(batch, (margin,) * 4)
        batch = torch.stack(
            [
                field[:, y : y + side, x : x + side]
                for field, (y, x) in zip(padded, augmentation.corners)
            ]
        )
    if settings.zoom:
        batch = _zoomed(batch, augmentation.factors)
    gains, offsets = (
        torch.from_numpy(values[:, :, None, None]).to(device, batch.dtype)
        for values in (augmentation.gains, augmentation.offsets)
    )
    batch = (batch * gains + offsets).clamp_(min=0)
    if settings.stain_dropout:
        black = np.flatnonzero(augmentation.dropped >= 0)
        batch[black, augmentation.dropped[black]] = 0
    if settings.cutout:
        width = _cut_width(settings, side)
        for field, (y, x) in zip(batch, augmentation.cuts):
            field[:, y : y + width, x : x + width] = 0
    return batch


def _margin(settings: CnnSettings) -> int:
    """Return the padding in pixels that allows for the largest shift."""
    return round(settings.shift * (settings.crop or settings.size))


def _cut_width(settings: CnnSettings, side: int) -> int:
    return max(1, round(settings.cutout * side)) if settings.cutout else 0


@dataclass(frozen=True)
class Mixing:
    """Mixup of a batch: the second field of each pair and the weight of the first.

    Attributes
    ----------
    share : float
        Weight of the first field; 1 for no mixing.
    other : Tensor of int64, shape (n,)
        Row of the second field.

    References
    ----------
    .. [1] H. Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018.
       https://arxiv.org/abs/1710.09412
    """

    share: float
    other: torch.Tensor

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Return mixed values of the fields, such as pixels or targets.

        Parameters
        ----------
        values : Tensor of float, shape (n, ...)

        Returns
        -------
        Tensor
            Of the same shape.
        """
        if self.share == 1:
            return values
        return self.share * values + (1 - self.share) * values[self.other]


def draw_mixing(n: int, rng: np.random.Generator, alpha: float, device: torch.device) -> Mixing:
    """Return a random mixup of the fields of a batch.

    Parameters
    ----------
    n : int
        Number of fields.
    rng : numpy.random.Generator
    alpha : float
        Parameter of the symmetric beta distribution of the weight of the first field; 0 for no
        mixing.
    device : torch.device

    Returns
    -------
    Mixing
    """
    share = float(rng.beta(alpha, alpha)) if alpha else 1.0
    return Mixing(share, torch.from_numpy(rng.permutation(n)).to(device))


def _zoomed(batch: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """Return each field zoomed about its centre by its factor; areas outside it are 0."""
    matrices = torch.zeros(len(batch), 2, 3, dtype=batch.dtype, device=batch.device)
    inverse = torch.from_numpy(1 / factors).to(batch.device, batch.dtype)
    matrices[:, 0, 0] = matrices[:, 1, 1] = inverse
    grid = torch.nn.functional.affine_grid(matrices, list(batch.shape), align_corners=False)
    return torch.nn.functional.grid_sample(batch, grid, align_corners=False)
