"""Preprocessing of fields for a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hpastack.backbones._torch import torch
from hpastack.errors import InputError, shorten
from hpastack.fields import STAIN_INDEX, STAINS

#: Ways to scale a field, see `Preprocessing`.
SCALINGS = ("fixed", "standardised", "min_max")
#: Ways to bring a field to its size, see `Preprocessing`.
RESIZES = ("longer_side",)

# Added to the denominator, so that a constant stain becomes 0: the values with which the networks
# that use these scalings were trained.
_STANDARDISED_FLOOR = 1e-7
_MIN_MAX_FLOOR = 1e-6


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that converts a field to the input on which a model was trained.

    A field in [0, 1], with the stains red, green, blue, yellow, is resized and optionally cropped
    to a square, its stains are reordered for the network, and their values are scaled.

    Parameters
    ----------
    size : int
        Side of the field, in pixels.
    mean, sd : tuple of float, one for each of `stains`, in their order
        Mean and standard deviation, for values in [0, 1]; empty unless `scaling` is ``fixed``.
    stains : tuple of str
        The input channels of the network, in order: any of the four stains, without duplicates.
    scaling : {"fixed", "standardised", "min_max"}
        ``fixed``: each stain becomes ``(x - mean) / sd``. ``standardised``: the same with the
        mean and standard deviation of the stain in this field. ``min_max``: the field becomes
        ``(x - min) / (max - min)``, with a common minimum and maximum of all its stains. The
        last two are computed from the input of the network: from the crop, if there is one.
    crop : int, optional
        Side of the square of the field that is the input of the network, in pixels. Default: the
        whole field.
    resize : {"longer_side"}
        ``longer_side``: the longer side of the field is resized to `size` pixels, and the rest
        of the square is filled with zeros.

    Raises
    ------
    InputError
        If the number of means and standard deviations does not match the stains, an `sd` is not
        above 0, a stain is unknown or duplicate, a scaling or resizing is unknown, or the crop
        is larger than the field.
    """

    size: int
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    stains: tuple[str, ...] = STAINS
    scaling: str = "fixed"
    crop: int | None = None
    resize: str = "longer_side"

    def __post_init__(self) -> None:
        unknown = [stain for stain in self.stains if stain not in STAINS]
        if unknown or not self.stains or len(set(self.stains)) < len(self.stains):
            raise InputError(
                f"preprocessing: stains are {shorten(self.stains)}; they must be any of "
                f"{', '.join(STAINS)}, without duplicates"
            )
        if self.scaling not in SCALINGS:
            raise InputError(
                f"preprocessing: scaling {self.scaling!r} is unknown; it must be one of "
                f"{', '.join(SCALINGS)}"
            )
        if self.resize not in RESIZES:
            raise InputError(
                f"preprocessing: resize {self.resize!r} is unknown; it must be one of "
                f"{', '.join(RESIZES)}"
            )
        n_numbers = len(self.stains) if self.scaling == "fixed" else 0
        if len(self.mean) != n_numbers or len(self.sd) != n_numbers:
            requirement = (
                f"one mean and one sd are needed for each of {', '.join(self.stains)}"
                if n_numbers
                else f"scaling {self.scaling} uses the values of each field; omit mean and sd"
            )
            raise InputError(f"preprocessing: {requirement}")
        if not all(sd > 0 for sd in self.sd):
            raise InputError(f"preprocessing: every sd must be above 0, not {self.sd}")
        if self.crop is not None and not 0 < self.crop <= self.size:
            raise InputError(
                f"preprocessing: a crop of {self.crop} px is not possible for fields of "
                f"{self.size} px"
            )

    @property
    def input_size(self) -> int:
        """Side of the input of the network, in pixels: that of the crop, or of the field."""
        return self.size if self.crop is None else self.crop

    def crops(self, batch: Any, n: int = 1) -> Iterator[Any]:
        """Generate the crops of a batch of fields that are inputs of the network.

        Parameters
        ----------
        batch : Tensor or ndarray, shape (n, n_stains, h, w)
        n : {1, 5}, default=1
            Number of crops. 1: the centre; 5: the four corners, then the centre.

        Yields
        ------
        Tensor or ndarray
            Views with sides of `input_size` pixels; the batch itself without a `crop`.

        Raises
        ------
        InputError
            If `n` is another number, the fields are smaller than the crop, or five crops are
            requested without a `crop`.
        """
        if n not in (1, 5):
            raise InputError(f"n is {n}; the number of crops must be 1 or 5")
        if self.crop is None:
            if n == 5:
                raise InputError("five crops of a field need a crop that is smaller than the field")
            yield batch
            return
        side, (height, width) = self.crop, batch.shape[2:]
        if side > height or side > width:
            raise InputError(
                f"a crop of {side} px is not possible for fields of {height} x {width} px"
            )
        low, left = height - side, width - side
        corners = [(0, 0), (0, left), (low, 0), (low, left)] if n == 5 else []
        for y, x in [*corners, (low // 2, left // 2)]:
            yield batch[:, :, y : y + side, x : x + side]

    def scale(self, batch: torch.Tensor) -> torch.Tensor:
        """Reorder the stains of a batch for the network, and scale them.

        Parameters
        ----------
        batch : Tensor of float, shape (n, 4, h, w)
            Values in [0, 1]; stains red, green, blue, yellow.

        Returns
        -------
        Tensor, shape (n, len(stains), h, w)
            On the same device.

        Examples
        --------
        >>> green_first = Preprocessing(1, (0.5, 0.0), (0.25, 1.0), ("green", "red"))
        >>> field = torch.tensor([0.1, 0.75, 0.2, 0.3]).view(1, 4, 1, 1)
        >>> green_first.scale(field).flatten().tolist()
        [1.0, 0.10000000149011612]
        """
        if self.stains != STAINS:
            batch = batch[:, [STAIN_INDEX[stain] for stain in self.stains]]
        if self.scaling == "standardised":
            sd, mean = torch.std_mean(batch, dim=(2, 3), correction=0, keepdim=True)
            return (batch - mean) / (sd + _STANDARDISED_FLOOR)
        if self.scaling == "min_max":
            low = batch.amin(dim=(1, 2, 3), keepdim=True)
            high = batch.amax(dim=(1, 2, 3), keepdim=True)
            return (batch - low) / (high - low + _MIN_MAX_FLOOR)
        shape = (1, len(self.stains), 1, 1)
        mean = torch.tensor(self.mean, dtype=batch.dtype, device=batch.device).view(shape)
        sd = torch.tensor(self.sd, dtype=batch.dtype, device=batch.device).view(shape)
        return (batch - mean) / sd

    def record(self) -> dict[str, Any]:
        """Return the preprocessing as a dict that can be written as JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Preprocessing:
        """Create a preprocessing from its record.

        Parameters
        ----------
        record : dict
            Made by `record`. Records of older versions lack the keys that had only one choice.

        Returns
        -------
        Preprocessing

        Raises
        ------
        InputError
            If a key is missing or unknown, or a value is invalid.
        """
        try:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in record.items()
            }
            return cls(**values)
        except (AttributeError, TypeError):
            raise InputError(f"not a preprocessing record: {shorten(record)}") from None
