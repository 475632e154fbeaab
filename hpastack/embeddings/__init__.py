"""Backbones that see the four stains, their weights, and the vectors they give.

A backbone carries the `Preprocessing` that its weights expect as
``model.preprocessing``; everything that applies the backbone scales with it.
"""

from hpastack.embeddings.backbone import create_backbone
from hpastack.embeddings.device import (
    autocast,
    choose_device,
    gpu_memory_guard,
    network_precision,
    to_device,
)
from hpastack.embeddings.heads import check_features_and_logits, features_and_logits
from hpastack.embeddings.kinds import embedding_kind
from hpastack.embeddings.preprocessing import Preprocessing
from hpastack.embeddings.public_models import PUBLIC_MODELS, PublicModel
from hpastack.embeddings.stems import STEMS, adapt_stem
from hpastack.embeddings.vectors import (
    embed_batch,
    embedding_columns,
    embedding_dimension,
    network_inputs,
)
from hpastack.embeddings.weights import (
    read_weights_record,
    save_weights,
    weight_file,
    write_tensors,
)

__all__ = [
    "PUBLIC_MODELS",
    "Preprocessing",
    "PublicModel",
    "STEMS",
    "adapt_stem",
    "autocast",
    "check_features_and_logits",
    "choose_device",
    "create_backbone",
    "embed_batch",
    "embedding_columns",
    "embedding_dimension",
    "embedding_kind",
    "features_and_logits",
    "gpu_memory_guard",
    "network_inputs",
    "network_precision",
    "read_weights_record",
    "save_weights",
    "to_device",
    "weight_file",
    "write_tensors",
]
