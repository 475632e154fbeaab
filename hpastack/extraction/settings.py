"""What a feature set is made with; free of torch, so that recipes can be checked without it."""

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
    """Longer side of a field, in pixels; `original` for fields as they are."""
    enlarge: bool = False
    """Enlarge fields that are smaller than `size`. It adds no detail, but brings fields of mixed
    sizes to the same scale.
    """

    @property
    def pixels(self) -> int | None:
        """Longer side in pixels; None for fields as they are."""
        return None if self.size == "original" else self.size

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict."""
        return asdict(self)


@settings
class EmbeddingSettings:
    """Embeddings of every field by a backbone; the keys of a recipe of type ``embedding``."""

    backbone: str
    """Model name of timm, or a published network."""
    weights: str = "pretrained"
    """`pretrained`, `random`, or a file or folder of weights. `pretrained` is downloaded once; a
    path starts at the current folder.
    """
    stem: Annotated[str, one_of(STEMS)] = "average"
    """How three colour filters become one for each stain. See `hpastack.create_backbone`."""
    stains: Annotated[list[Annotated[str, one_of(STAINS)]], Field(min_length=1)] | None = None
    """Stains that the network sees, in its order; those of the weights, or all, if null."""
    size: _Pixels = 512
    """Longer side of a field, in pixels; it is padded to a square."""
    crop: _Pixels | None = None
    """Side of the square in the middle that the network sees; as the weights say if null."""
    statistics: str | None = None
    """Table of mean and standard deviation of each stain, to scale fields by. Made by the command
    `statistics`; its path starts at the workspace. Those of the weights if null.
    """
    pool: str | None = None
    """How the last map is pooled, if not as the backbone does. timm's `global_pool`, or `gem`, a
    generalised mean with a learned exponent, for networks with maps (not vision transformers).
    """
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Fields that pass through the backbone together on a GPU."""
    seed: int = 0
    """Seed of everything that is drawn at random."""
    compile: bool = False
    """Compile the backbone first: up to a minute of waiting, then faster. Pays on a GPU with many
    fields; needs a C++ compiler on a CPU.
    """
    storage: Literal["float32", "float16"] = "float32"
    """Precision in the store; `float16` has three digits and half the size. A value above 65504 is
    then an error.
    """

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict, without those that are left to the backbone."""
        return {key: value for key, value in asdict(self).items() if value is not None}
