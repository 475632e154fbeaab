"""Adaptation of first layers for three colours to the stains."""

from __future__ import annotations

from collections.abc import Sequence

from hpastack.backbones._torch import torch
from hpastack.backbones.network import Network
from hpastack.errors import InputError
from hpastack.fields import STAINS

_COLOURS = ("red", "green", "blue")


def adapt_stem(filters: torch.Tensor, stem: str, stains: Sequence[str] = STAINS) -> torch.Tensor:
    """Adapt the filters of a first layer for colour images to the stains.

    Parameters
    ----------
    filters : Tensor, shape (n_filters, 3, h, w)
        Filters for the channels red, green and blue.
    stem : {"average", "copy", "repeat"}
        As `create_backbone`.
    stains : sequence of str
        The input channels of the network, in order.

    Returns
    -------
    Tensor, shape (n_filters, len(stains), h, w)

    Raises
    ------
    InputError
        If `stem` is not one of these.

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
        of_colour = {colour: filters[:, k : k + 1] for k, colour in enumerate(_COLOURS)}
        chosen = [of_colour.get(stain, mean) for stain in stains]
    elif stem == "repeat":
        chosen = [filters[:, k % 3 : k % 3 + 1] for k in range(len(stains))]
    else:
        raise InputError(
            f"stem {stem!r} does not adapt filters; use 'average', 'copy' or 'repeat'", "stem"
        )
    return torch.cat(chosen, dim=1) * (filters.shape[1] / len(stains))


def stem_names(model: Network) -> tuple[str, ...]:
    """Return the names, among a model's weights, of the filters of its input layers."""
    layers = model.pretrained_cfg.get("first_conv") or ()
    layers = (layers,) if isinstance(layers, str) else layers
    return tuple(f"{layer}.weight" for layer in layers)


def is_other_width(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Return whether filters differ from the expected shape only in the number of channels."""
    return (
        len(shape) == len(wanted) == 4
        and shape[1] != wanted[1]
        and (shape[0], *shape[2:]) == (wanted[0], *wanted[2:])
    )
