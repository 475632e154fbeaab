"""Generalised-mean (GeM) pooling."""

from __future__ import annotations

from typing import Any

from hpastack.backbones._torch import timm, torch
from hpastack.errors import InputError


class GemPooling(torch.nn.Module):
    """Pool each feature map of a network by its generalised mean, with a learned exponent.

    ``(mean of x^p)^(1/p)`` over the pixels: the mean for p = 1, approaching the maximum with
    increasing p. Values below 1e-6 are replaced by 1e-6, as powers of negative numbers are not
    real.

    Parameters
    ----------
    p : float, default=3.0
        Initial value of the exponent.

    References
    ----------
    .. [1] F. Radenovic, G. Tolias and O. Chum, "Fine-tuning CNN image retrieval with no human
       annotation", IEEE Trans. Pattern Anal. Mach. Intell. 41(7), 1655-1668, 2019.
       :doi:`10.1109/TPAMI.2018.2846566`

    Examples
    --------
    >>> maps = torch.tensor([1.0, 2.0, 2.0, 3.0]).view(1, 1, 2, 2)
    >>> round(GemPooling()(maps).item(), 4)  # the cube root of 44 / 4
    2.224
    """

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = torch.nn.Parameter(torch.tensor(float(p)))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Pool feature maps of shape (n, channels, h, w) to (n, channels, 1, 1)."""
        # In float32, even if the maps are not: bfloat16 is too imprecise for third powers.
        powers = maps.float().clamp(min=1e-6).pow(self.p)
        return powers.mean(dim=(2, 3), keepdim=True).pow(1 / self.p).to(maps.dtype)


def use_gem_pooling(model: torch.nn.Module, name: str) -> None:
    """Replace the pooling of a timm model by `GemPooling`, in place.

    Parameters
    ----------
    model : torch.nn.Module
        Made by timm with ``global_pool="avg"``.
    name : str
        Name of the backbone, for error messages.

    Raises
    ------
    InputError
        If the model does not pool feature maps, such as a vision transformer.
    """
    pools: list[Any] = [
        module
        for module in model.modules()
        if isinstance(module, timm.layers.SelectAdaptivePool2d)
        and isinstance(module.pool, torch.nn.AdaptiveAvgPool2d)
    ]
    if len(pools) != 1:
        raise InputError(
            f"pool: 'gem' is not possible for backbone {name}, which does not pool feature maps; "
            "omit pool, or use a ResNet, DenseNet, EfficientNet or ConvNeXt",
            "pool",
        )
    pools[0].pool = GemPooling()
    pools[0].pool_type = "gem"


def gem_names(model: torch.nn.Module) -> set[str]:
    """Return the names, among a model's weights, of the exponents of its pooling."""
    return {f"{name}.p" for name, part in model.named_modules() if isinstance(part, GemPooling)}
