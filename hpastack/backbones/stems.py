"""First layers for three colours, turned into first layers for stains."""

from __future__ import annotations

from collections.abc import Sequence

from hpastack.backbones._torch import torch
from hpastack.backbones.network import Network
from hpastack.errors import InputError
from hpastack.fields import STAINS

_COLOURS = ("red", "green", "blue")


def adapt_stem(filters: torch.Tensor, stem: str, stains: Sequence[str] = STAINS) -> torch.Tensor:
    """Turn the filters of a first layer for colour pictures into filters for stains.

    Parameters
    ----------
    filters : Tensor, shape (n_filters, 3, h, w)
        For red, green and blue light.
    stem : {"average", "copy", "repeat"}
        As `create_backbone`.
    stains : sequence of str
        Those that the network sees, in its order.

    Returns
    -------
    Tensor, shape (n_filters, len(stains), h, w)

    Raises
    ------
    InputError
        If `stem` is none of these.

    Examples
    --------
    >>> filters = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    >>> adapt_stem(filters, "copy").flatten().tolist()
    [0.75, 1.5, 4.5, 2.25]
    """
    mean = filters.mean(dim=1, keepdim=True)
    if stem == "average":
        chosen = [mean] * len(stains)
    elif stem == "copy":
        own = {colour: filters[:, k : k + 1] for k, colour in enumerate(_COLOURS)}
        chosen = [own.get(stain, mean) for stain in stains]
    elif stem == "repeat":
        chosen = [filters[:, k % 3 : k % 3 + 1] for k in range(len(stains))]
    else:
        raise InputError(f"stem {stem!r} does not adapt filters")
    return torch.cat(chosen, dim=1) * (filters.shape[1] / len(stains))


def stem_names(model: Network) -> tuple[str, ...]:
    """Name the filters of the layers that see the stains, as the model's weights name them."""
    layers = model.pretrained_cfg.get("first_conv") or ()
    layers = (layers,) if isinstance(layers, str) else layers
    return tuple(f"{layer}.weight" for layer in layers)


def is_other_width(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Say whether filters differ from those wanted in the number of their channels only."""
    return (
        len(shape) == len(wanted) == 4
        and shape[1] != wanted[1]
        and (shape[0], *shape[2:]) == (wanted[0], *wanted[2:])
    )
