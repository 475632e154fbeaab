"""Near-duplicate fields: hashes, and the searches that find pairs with them.

Three searches. Perceptual hashes find copies that were not moved, however
noisy or bright. Shifted and mirrored copies, which no such hash survives, are
found by the fine structure of their power spectra, which moving a picture
leaves alone, and confirmed by laying one thumbnail over the other. Embeddings
find what a network takes for the same.
"""

from hpastack.duplicates.embedded import embedding_pairs
from hpastack.duplicates.hashing import (
    FieldHashes,
    field_hashes,
    field_thumbnail,
    hash_catalogue,
    hash_fields,
)
from hpastack.duplicates.in_place import duplicate_pairs
from hpastack.duplicates.search import PAIR_COLUMNS, duplicate_clusters, near_duplicates
from hpastack.duplicates.shifted import shifted_pairs

__all__ = [
    "PAIR_COLUMNS",
    "FieldHashes",
    "duplicate_clusters",
    "duplicate_pairs",
    "embedding_pairs",
    "field_hashes",
    "field_thumbnail",
    "hash_catalogue",
    "hash_fields",
    "near_duplicates",
    "shifted_pairs",
]
