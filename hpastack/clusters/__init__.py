"""Near-duplicate fields: perceptual hashes and the searches for duplicate pairs.

There are three searches. Perceptual hashes find copies that were not shifted,
whatever their noise or brightness. Shifted and mirrored copies, whose
perceptual hashes differ, are found by the fine structure of their power
spectra, which does not depend on position, and confirmed by registering their
thumbnails. Embeddings find fields that look alike to a network.
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
