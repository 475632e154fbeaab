"""Gradient-boosted trees that start from a margin, one model per label and library."""

from hpastack.boosting.libraries import LIBRARIES, BoostingLibrary, library, staged
from hpastack.boosting.lightgbm_trees import LightGBM
from hpastack.boosting.shared_bins import SharedBins
from hpastack.boosting.tree_settings import AtStage, TreeSettings

__all__ = [
    "AtStage",
    "BoostingLibrary",
    "LIBRARIES",
    "LightGBM",
    "SharedBins",
    "TreeSettings",
    "library",
    "staged",
]
