"""A head that learns which fields belong together: ArcFace over the values of a column."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from hpastack.backbones._torch import torch
from hpastack.errors import InputError, counted

# Keeps the angle's derivative finite where two directions agree.
_NEARLY_ONE = 1 - 1e-6


class ArcFaceHead(torch.nn.Module):
    """Tell groups of fields apart by the direction of their embeddings.

    Each group has a direction of its own. The logit of a group is its cosine to the
    embedding, times `scale`; that of the true group has `margin` added to the
    angle first, so that fields must lie closer to their own group than is needed to be
    told apart.

    Parameters
    ----------
    n_dimensions : int
        Of the embeddings.
    n_groups : int
    scale, margin : float
        As `metric_scale` and `metric_margin` of `CnnSettings`.

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
            A number; 0, with gradients of 0, if no field has a group.
        """
        unit = torch.nn.functional.normalize
        # In full precision, also where the network is not: bfloat16 has no cosine between 0.996
        # and 1, and the angle of 0.996 is a third of the margin.
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = unit(embeddings.float(), dim=1) @ unit(self.directions, dim=1).T
        has_group = groups >= 0
        # Not by picking rows: their number would have to be fetched from the GPU.
        own = cosines.gather(1, groups.clamp(min=0)[:, None]).clamp(-_NEARLY_ONE, _NEARLY_ONE)
        angle = own.acos() + self.margin
        # Past half a turn the cosine would rise again; go on falling in a straight line.
        nearer = torch.where(angle <= math.pi, angle.cos(), -1 - (angle - math.pi))
        logits = cosines.scatter(1, groups.clamp(min=0)[:, None], nearer) * self.scale
        losses = torch.nn.functional.cross_entropy(logits, groups.clamp(min=0), reduction="none")
        return (losses * has_group).sum() / has_group.sum().clamp(min=1)


def group_numbers(catalogue: pd.DataFrame, column: str, rows: np.ndarray) -> np.ndarray:
    """Number the groups that fields of a catalogue belong to.

    Parameters
    ----------
    catalogue : DataFrame, n rows
    column : str
        One of its columns, such as ``antibody``.
    rows : ndarray of int
        The fields that are learned from; others have no group here.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0 on, in the order of the values; -1 for fields without a value and for those
        that are not in `rows`.

    Raises
    ------
    InputError
        If there is no such column, or the fields have fewer than two values.

    Examples
    --------
    >>> wells = pd.DataFrame({"well": ["b", "a", "", "b", "c"]}, index=list("vwxyz"))
    >>> group_numbers(wells, "well", np.arange(4)).tolist()
    [1, 0, -1, 1, -1]
    """
    if column not in catalogue.columns:
        raise InputError(
            f"metric_group: the catalogue has no column {column!r}; bring it in with "
            "python -m pipelines.prepare --groups"
        )
    values = catalogue[column].iloc[rows].replace("", None)
    codes, names = pd.factorize(values, sort=True)
    if len(names) < 2:
        raise InputError(
            f"metric_group: column {column!r} has {counted(len(names), 'value')} among the "
            "training fields; "
            "there is nothing to tell apart"
        )
    numbers = np.full(len(catalogue), -1, dtype=np.int64)
    numbers[rows] = codes
    return numbers
