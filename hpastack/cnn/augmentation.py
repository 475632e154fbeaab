"""How fields are changed before a CNN sees them in training."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hpastack.backbones._torch import torch
from hpastack.cnn.settings import CnnSettings
from hpastack.fields import PROTEIN, STAIN_INDEX, STAINS

# Stains that tell where things are, and may be missing; without the protein there is no label.
_REFERENCES = [number for stain, number in STAIN_INDEX.items() if stain != PROTEIN]


def rotated(batch: torch.Tensor, view: int) -> torch.Tensor:
    """Rotate a batch of fields by multiples of 90 degrees, and flip it.

    Parameters
    ----------
    batch : Tensor, shape (n, 4, s, s)
    view : int
        0 to 3 quarter turns; 4 to 7 the same, flipped.

    Returns
    -------
    Tensor
    """
    batch = torch.rot90(batch, view % 4, dims=(2, 3)) if view % 4 else batch
    return batch.flip(3) if view >= 4 else batch


@dataclass(frozen=True)
class Augmentation:
    """What is changed at random about the fields of a batch; made by `draw_augmentation`.

    Attributes
    ----------
    views : ndarray of int, shape (n,)
        As `rotated`.
    corners : ndarray of int, shape (n, 2)
        Of the square that is seen, in the padded field.
    factors : ndarray of float, shape (n,)
        By which fields are enlarged.
    gains, offsets : ndarray of float, shape (n, 4)
        By which a stain's values are multiplied and raised.
    dropped : ndarray of int, shape (n,)
        The stain that is black, or -1.
    cuts : ndarray of int, shape (n, 2)
        Corners of the black squares.
    """

    views: np.ndarray
    corners: np.ndarray
    factors: np.ndarray
    gains: np.ndarray
    offsets: np.ndarray
    dropped: np.ndarray
    cuts: np.ndarray

    def of(self, rows: np.ndarray | slice) -> Augmentation:
        """Return what is changed about some of the fields."""
        return Augmentation(
            **{field.name: getattr(self, field.name)[rows] for field in fields(self)}
        )


def draw_augmentation(n: int, rng: np.random.Generator, settings: CnnSettings) -> Augmentation:
    """Draw what is to be changed about the fields of a batch.

    Parameters
    ----------
    n : int
        Fields.
    rng : numpy.random.Generator
    settings : CnnSettings
        Its `turns`, `shift`, `crop`, `zoom`, `brightness`, `offset`, `stain_dropout` and
        `cutout`.

    Returns
    -------
    Augmentation
    """
    n_stains = len(STAINS)
    seen = settings.crop or settings.size
    room = settings.size - seen + 2 * _margin(settings)
    width = _cut_width(settings, seen)
    dropped = rng.choice(_REFERENCES, size=n)
    return Augmentation(
        views=rng.integers(8, size=n) if settings.turns else np.zeros(n, dtype=int),
        corners=rng.integers(room + 1, size=(n, 2)),
        factors=1 + settings.zoom * rng.uniform(-1, 1, size=n),
        gains=1 + settings.brightness * rng.uniform(-1, 1, size=(n, n_stains)),
        offsets=settings.offset * rng.uniform(-1, 1, size=(n, n_stains)),
        dropped=np.where(rng.random(n) < settings.stain_dropout, dropped, -1),
        cuts=rng.integers(seen - width + 1, size=(n, 2)),
    )


def augment(batch: torch.Tensor, augmentation: Augmentation, settings: CnnSettings) -> torch.Tensor:
    """Change fields in ways that leave their labels as they are.

    Parameters
    ----------
    batch : Tensor of float, shape (n, 4, size, size)
        Values in [0, 1], on any device.
    augmentation : Augmentation
        Of these fields.
    settings : CnnSettings
        As `draw_augmentation`.

    Returns
    -------
    Tensor, shape (n, 4, crop or size, crop or size)
        Values may rise above 1, but do not fall below 0.
    """
    device = batch.device
    if settings.turns:
        changed = torch.empty_like(batch)
        for view in np.unique(augmentation.views):
            rows = torch.from_numpy(np.flatnonzero(augmentation.views == view)).to(device)
            changed[rows] = rotated(batch[rows], int(view))
        batch = changed
    margin, seen = _margin(settings), settings.crop or settings.size
    if margin or seen < settings.size:
        padded = torch.nn.functional.pad(batch, (margin,) * 4)
        batch = torch.stack(
            [
                field[:, y : y + seen, x : x + seen]
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
        width = _cut_width(settings, seen)
        for field, (y, x) in zip(batch, augmentation.cuts):
            field[:, y : y + width, x : x + width] = 0
    return batch


def _margin(settings: CnnSettings) -> int:
    """Return by how many pixels a field is padded, so that it can be moved."""
    return round(settings.shift * (settings.crop or settings.size))


def _cut_width(settings: CnnSettings, side: int) -> int:
    return max(1, round(settings.cutout * side)) if settings.cutout else 0


@dataclass(frozen=True)
class Mixing:
    """Which field is laid over each of a batch, and in which share.

    Attributes
    ----------
    share : float
        Of the first field; 1 for no mixing.
    other : Tensor of int64, shape (n,)
        The row of the second.

    References
    ----------
    .. [1] H. Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018.
       https://arxiv.org/abs/1710.09412
    """

    share: float
    other: torch.Tensor

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Mix what belongs to the fields: their pixels, their targets.

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
    """Draw how the fields of a batch are mixed.

    Parameters
    ----------
    n : int
        Fields.
    rng : numpy.random.Generator
    alpha : float
        Of the beta distribution, the same on both sides, that the share of the first field is
        drawn from; 0 leaves all as it is.
    device : torch.device

    Returns
    -------
    Mixing
    """
    share = float(rng.beta(alpha, alpha)) if alpha else 1.0
    return Mixing(share, torch.from_numpy(rng.permutation(n)).to(device))


def _zoomed(batch: torch.Tensor, factors: np.ndarray) -> torch.Tensor:
    """Enlarge each field about its middle by its factor; what comes in from outside is black."""
    matrices = torch.zeros(len(batch), 2, 3, dtype=batch.dtype, device=batch.device)
    inverse = torch.from_numpy(1 / factors).to(batch.device, batch.dtype)
    matrices[:, 0, 0] = matrices[:, 1, 1] = inverse
    grid = torch.nn.functional.affine_grid(matrices, list(batch.shape), align_corners=False)
    return torch.nn.functional.grid_sample(batch, grid, align_corners=False)
