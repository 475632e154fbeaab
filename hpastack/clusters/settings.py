"""Settings of the search for near-duplicates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from hpastack.clusters.hashing import HASH_BYTES
from hpastack.fields import STAINS
from hpastack.settings import Field, Must, settings

# Below half the bits, the number that differ by chance.
_Bits = Annotated[int, Field(ge=0, le=4 * HASH_BYTES - 1)]
_Similarity = Annotated[float, Field(gt=0, le=1)]
_EachStain = Must(lambda bits: set(bits) == set(STAINS), f"one for each of {', '.join(STAINS)}")


@settings
class DuplicateSettings:
    """Criteria for near-duplicates; the keys of a recipe of type ``duplicates``."""

    max_distance: _Bits | Annotated[dict[str, _Bits], _EachStain] = 48
    """Maximum number of bits, of 256, in which the hashes of a stain may differ. Noise and
    brightness change up to about 40 bits; unrelated fields differ in about 128, and hardly ever in
    fewer than 64. One number, or one for each stain.
    """
    min_stains: Annotated[int, Field(ge=1, le=len(STAINS))] = 3
    """Number of stains that must agree; an empty stain never agrees."""
    shifted: bool = True
    """Search for shifted copies too."""
    min_correlation: _Similarity = 0.88
    """Minimum correlation of the overlapping parts of a shifted copy and its original."""
    min_similarity: _Similarity = 0.38
    """Minimum similarity of the power spectra of two fields for them to be registered. Lower values
    find copies with larger shifts, but take longer.
    """
    mirrored: bool = False
    """Search for mirrored copies too; three times the work."""
    embedding: str | None = None
    """Name of a store of embeddings to compare as well."""
    min_cosine: _Similarity = 0.98
    """Minimum cosine of two embeddings after subtraction of the mean embedding."""

    def record(self) -> dict[str, Any]:
        """Return the settings as a dict that can be written as JSON."""
        return asdict(self)
