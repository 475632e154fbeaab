"""Boosters that start from a margin, one per label and library, and a multi-label forest."""

from hpastack.boosting.forest import PULLS, Forest, Trees
from hpastack.boosting.libraries import LIBRARIES, BoostingLibrary, library
from hpastack.boosting.lightgbm_trees import LightGBM
from hpastack.boosting.shared_bins import SharedBins
from hpastack.boosting.tree_settings import AtStage, TreeSettings

__all__ = [
    "AtStage",
    "BoostingLibrary",
    "Forest",
    "LIBRARIES",
    "LightGBM",
    "PULLS",
    "SharedBins",
    "TreeSettings",
    "Trees",
    "library",
]
