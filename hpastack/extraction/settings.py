"""Settings of feature sets; importable without torch, so that recipes can be checked without it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from hpastack.backbones import STEMS
from hpastack.features import FAMILIES
from hpastack.fields import STAINS
from hpastack.settings import Field, distinct, one_of, settings

_Pixels = Annotated[int, Field(ge=16, le=16_384)]


@settings
class HandcraftedSettings:
    """Hand-crafted features of every field; the keys of a recipe of type ``handcrafted``."""

    families: Annotated[
        list[Annotated[str, one_of(FAMILIES)]], Field(min_length=1), AfterValidator(distinct)
    ]
    """Families of features to measure."""
    size: _Pixels | Literal["original"] = 512
    """Longer side of a field, in pixels; `original` for the original size."""
    enlarge: bool = False
    """Enlarge fields that are smaller than `size`. It adds no detail, but brings fields of mixed
    sizes to the same scale.
    """

    @property
    def pixels(self) -> int | None:
        """Longer side in pixels; None for the original size."""
        return None if self.size == "original" else self.size

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-serialisable dict."""
        return asdict(self)


@settings
class EmbeddingSettings:
    """Embeddings of every field by a backbone; the keys of a recipe of type ``embedding``."""

    backbone: str
    """Model name in timm, or a published network."""
    weights: str = "pretrained"
    """`pretrained`, `random`, or a file or folder of weights. `pretrained` is downloaded once; a
    path is relative to the current folder.
    """
    stem: Annotated[str, one_of(STEMS)] = "average"
    """How the filters of the first layer for three colours are adapted to the stains. See
    `hpastack.create_backbone`.
    """
    stains: Annotated[list[Annotated[str, one_of(STAINS)]], Field(min_length=1)] | None = None
    """Input stains of the network, in order; if null, those of the weights, or all."""
    size: _Pixels = 512
    """Longer side of a field, in pixels; it is padded to a square."""
    crop: _Pixels | None = None
    """Side of the central square crop that is the input of the network; if null, that of the
    weights.
    """
    statistics: str | None = None
    """Table of mean and standard deviation of each stain, to normalise fields with. Made by the
    command `statistics`; its path is relative to the workspace. If null, those of the weights.
    """
    pool: str | None = None
    """Pooling of the last feature map, if other than the backbone's own: timm's `global_pool`, or
    `gem`, a generalised mean with a learned exponent, for networks with feature maps (not vision
    transformers).
    """
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Number of fields per batch on a GPU."""
    seed: int = 0
    """Seed of all random numbers."""
    compile: bool = False
    """Compile the backbone first, which takes up to a minute and makes it faster. Worthwhile on a
    GPU with many fields; needs a C++ compiler on a CPU.
    """
    storage: Literal["float32", "float16"] = "float32"
    """Precision in the store; `float16` has three digits and half the size. A value above 65504 is
    then an error.
    """

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-serialisable dict, without those that are null."""
        return {key: value for key, value in asdict(self).items() if value is not None}
