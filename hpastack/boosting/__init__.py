"""Gradient-boosted trees that start from a margin, one model per label and library."""

from hpastack.boosting.libraries import LIBRARIES, library, staged
from hpastack.boosting.lightgbm_text import check_lightgbm_text
from hpastack.boosting.lightgbm_trees import LightGBM
from hpastack.boosting.shared_bins import SharedBins
from hpastack.boosting.tree_settings import TreeSettings

__all__ = [
    "LIBRARIES",
    "LightGBM",
    "SharedBins",
    "TreeSettings",
    "check_lightgbm_text",
    "library",
    "staged",
]
