"""The stack: CNN predictions and features -> calibrated labels."""

from hpastack.stack.classifier import StackClassifier, load_stack
from hpastack.stack.explaining import column_importance, field_reasons, write_explanations
from hpastack.stack.files import check_replaceable, read_manifest
from hpastack.stack.new_fields import (
    notes_on_means,
    predict_fields,
    read_prior_shift,
    shifted_probabilities,
)
from hpastack.stack.score_tables import SCORES
from hpastack.stack.settings import StackRecipe, StackSettings
from hpastack.stack.stores import (
    GatheredStores,
    choose_stores,
    gather_label_free,
    gather_stores,
)

__all__ = [
    "SCORES",
    "GatheredStores",
    "StackClassifier",
    "StackRecipe",
    "StackSettings",
    "check_replaceable",
    "choose_stores",
    "column_importance",
    "field_reasons",
    "gather_label_free",
    "gather_stores",
    "load_stack",
    "notes_on_means",
    "predict_fields",
    "read_manifest",
    "read_prior_shift",
    "shifted_probabilities",
    "write_explanations",
]
