"""Similarity of fields: nearest neighbours, domains, and covariate shift from train to test."""

from hpastack.similarity.adversarial import AdversarialCheck, adversarial_check
from hpastack.similarity.components import field_components, reference_columns
from hpastack.similarity.domains import (
    domain_agreement,
    domain_clusters,
    domain_folds,
    domains_of_components,
)
from hpastack.similarity.neighbours import (
    SIMILARITIES,
    NeighbourScores,
    label_votes,
    nearest_fields,
    neighbour_scores,
    unit_vectors,
)
from hpastack.similarity.order import telling_columns
from hpastack.similarity.unusual import unusual_features

__all__ = [
    "AdversarialCheck",
    "NeighbourScores",
    "SIMILARITIES",
    "adversarial_check",
    "domain_agreement",
    "domain_clusters",
    "domain_folds",
    "domains_of_components",
    "field_components",
    "label_votes",
    "nearest_fields",
    "neighbour_scores",
    "reference_columns",
    "telling_columns",
    "unit_vectors",
    "unusual_features",
]
