"""Extraction of features or embeddings from a catalogue of fields into a store."""

from hpastack.extraction.current import store_record, store_state
from hpastack.extraction.embeddings import extract_embeddings, weights_record
from hpastack.extraction.engine import Extraction
from hpastack.extraction.handcrafted import (
    extract_features,
    fields_without_nuclei,
    handcrafted_columns,
    handcrafted_record,
    n_smaller,
)
from hpastack.extraction.settings import EmbeddingSettings, HandcraftedSettings

__all__ = [
    "EmbeddingSettings",
    "Extraction",
    "HandcraftedSettings",
    "extract_embeddings",
    "extract_features",
    "fields_without_nuclei",
    "handcrafted_columns",
    "handcrafted_record",
    "n_smaller",
    "store_record",
    "store_state",
    "weights_record",
]
