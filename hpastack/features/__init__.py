"""Hand-crafted features of four-stain fields, in the families listed in `FAMILIES`."""

from hpastack.features.compartments.regions import N_RINGS, REGIONS, cell_regions
from hpastack.features.grey_levels import field_levels
from hpastack.features.measuring import field_features
from hpastack.features.orientation import canonical_position
from hpastack.features.registry import (
    FAMILIES,
    Family,
    chosen_families,
    columns_of_stains,
    describe_columns,
    feature_columns,
    undefined_columns,
)
from hpastack.features.segmentation import CellMaps, segment_cells

__all__ = [
    "CellMaps",
    "FAMILIES",
    "Family",
    "N_RINGS",
    "REGIONS",
    "canonical_position",
    "cell_regions",
    "chosen_families",
    "columns_of_stains",
    "describe_columns",
    "feature_columns",
    "field_features",
    "field_levels",
    "segment_cells",
    "undefined_columns",
]
