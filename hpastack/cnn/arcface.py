"""Metric learning: an ArcFace head over the values of a catalogue column."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from hpastack.backbones._torch import torch
from hpastack.errors import InputError, counted

# Keeps the derivative of acos finite for parallel directions.
_NEARLY_ONE = 1 - 1e-6


class ArcFaceHead(torch.nn.Module):
    """An ArcFace head, which classifies groups of fields by the direction of their embeddings.

    Each group has a learned direction. The logit of a group is the cosine between its
    direction and the embedding, times `scale`. For the true group `margin` is first added to
    the angle, so that fields must be closer to their own group than classification requires.

    Parameters
    ----------
    n_dimensions : int
        Number of dimensions of the embeddings.
    n_groups : int
    scale, margin : float
        As `metric_scale` and `metric_margin` in `CnnSettings`.

    References
    ----------
    .. [1] J. Deng et al., "ArcFace: Additive angular margin loss for deep face
       recognition", CVPR 2019. :doi:`10.1109/CVPR.2019.00482`
    """

    def __init__(self, n_dimensions: int, n_groups: int, *, scale: float, margin: float) -> None:
        super().__init__()
        self.directions = torch.nn.Parameter(torch.empty(n_groups, n_dimensions))
        torch.nn.init.xavier_uniform_(self.directions)
        self.scale = scale
        self.margin = margin

    def forward(self, embeddings: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of the groups.

        Parameters
        ----------
        embeddings : Tensor of float32, shape (n, n_dimensions)
        groups : Tensor of int64, shape (n,)
            Group of each field; -1 for none.

        Returns
        -------
        Tensor
            A scalar; 0, with zero gradients, if no field has a group.
        """
        unit = torch.nn.functional.normalize
        # In float32 even if the network runs in bfloat16, which has no value between 0.996 and 1:
        # the angle of cosine 0.996 is a third of the margin.
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = unit(embeddings.float(), dim=1) @ unit(self.directions, dim=1).T
        has_group = groups >= 0
        # No selection of rows: it would need a synchronisation with the GPU.
        own = cosines.gather(1, groups.clamp(min=0)[:, None]).clamp(-_NEARLY_ONE, _NEARLY_ONE)
        angle = own.acos() + self.margin
        # Beyond 180 degrees the cosine would increase again; continue with a linear decrease.
        penalised = torch.where(angle <= math.pi, angle.cos(), -1 - (angle - math.pi))
        logits = cosines.scatter(1, groups.clamp(min=0)[:, None], penalised) * self.scale
        losses = torch.nn.functional.cross_entropy(logits, groups.clamp(min=0), reduction="none")
        return (losses * has_group).sum() / has_group.sum().clamp(min=1)


def group_numbers(catalogue: pd.DataFrame, column: str, rows: np.ndarray) -> np.ndarray:
    """Return the group number of each field of a catalogue.

    Parameters
    ----------
    catalogue : DataFrame, n rows
    column : str
        A column of the catalogue, such as ``antibody``.
    rows : ndarray of int
        The training fields; others get no group.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0, in the order of the sorted values; -1 for fields without a value and for those
        that are not in `rows`.

    Raises
    ------
    InputError
        If the column is missing, or the fields have fewer than two distinct values.

    Examples
    --------
    >>> wells = pd.DataFrame({"well": ["b", "a", "", "b", "c"]}, index=list("vwxyz"))
    >>> group_numbers(wells, "well", np.arange(4)).tolist()
    [1, 0, -1, 1, -1]
    """
    if column not in catalogue.columns:
        raise InputError(
            f"metric_group: column {column!r} is missing from the catalogue; add it with "
            "hpastack prepare --groups"
        )
    values = catalogue[column].iloc[rows].replace("", None)
    codes, names = pd.factorize(values, sort=True)
    if len(names) < 2:
        raise InputError(
            f"metric_group: column {column!r} has {counted(len(names), 'value')} among the "
            "training fields; at least 2 are needed"
        )
    numbers = np.full(len(catalogue), -1, dtype=np.int64)
    numbers[rows] = codes
    return numbers
