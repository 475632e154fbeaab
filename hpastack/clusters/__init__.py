"""Near-duplicate fields: hashes, and the searches that find pairs with them.

Three searches. Perceptual hashes find copies that were not moved, however
noisy or bright. Shifted and mirrored copies, which no such hash survives, are
found by the fine structure of their power spectra, which moving a picture
leaves alone, and confirmed by laying one thumbnail over the other. Embeddings
find what a network takes for the same.
"""

from hpastack.clusters.embedded import embedding_pairs
from hpastack.clusters.hashing import (
    FieldHashes,
    field_hashes,
    field_thumbnail,
    hash_catalogue,
    hash_fields,
)
from hpastack.clusters.leaks import leaks, read_leaks, strongest_twins
from hpastack.clusters.links import (
    clusters_from_keys,
    label_disagreements,
    read_assignment,
    weakest_links,
)
from hpastack.clusters.pairs import read_duplicate_lists, unknown_ids
from hpastack.clusters.search import PAIR_COLUMNS, duplicate_clusters, near_duplicates
from hpastack.clusters.settings import DuplicateSettings
from hpastack.clusters.shifted import shifted_pairs
from hpastack.clusters.unshifted import duplicate_pairs

__all__ = [
    "DuplicateSettings",
    "FieldHashes",
    "PAIR_COLUMNS",
    "clusters_from_keys",
    "duplicate_clusters",
    "duplicate_pairs",
    "embedding_pairs",
    "field_hashes",
    "field_thumbnail",
    "hash_catalogue",
    "hash_fields",
    "label_disagreements",
    "leaks",
    "near_duplicates",
    "read_assignment",
    "read_duplicate_lists",
    "read_leaks",
    "shifted_pairs",
    "strongest_twins",
    "unknown_ids",
    "weakest_links",
]
