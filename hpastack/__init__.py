"""hpastack: name where a protein sits in a human cell.

Names load when first used, so that importing the package stays quick and
pulls in no torch, lightgbm, xgboost or matplotlib.
"""

from importlib import import_module

__version__ = "0.1.0"

# Where each public name lives. The only list of the public interface.
_HOME = {
    "AdversarialCheck": "adversarial",
    "adversarial_check": "adversarial",
    "read_catalogue": "catalogue",
    "STAINS": "channels",
    "clusters_from_keys": "clusters",
    "label_disagreements": "clusters",
    "leaks": "clusters",
    "weakest_links": "clusters",
    "DownloadReport": "download",
    "download_fields": "download",
    "domain_agreement": "domains",
    "domain_clusters": "domains",
    "domain_folds": "domains",
    "duplicate_clusters": "duplicates",
    "field_hashes": "duplicates",
    "hash_fields": "duplicates",
    "near_duplicates": "duplicates",
    "Preprocessing": "embeddings",
    "create_backbone": "embeddings",
    "embed_batch": "embeddings",
    "embedding_columns": "embeddings",
    "embedding_dimension": "embeddings",
    "features_and_logits": "embeddings",
    "InputError": "errors",
    "describe_columns": "features",
    "feature_columns": "features",
    "field_features": "features",
    "Extraction": "extraction",
    "extract_embeddings": "extraction",
    "extract_features": "extraction",
    "CellMaps": "features.segmentation",
    "segment_cells": "features.segmentation",
    "FoldPlan": "folds",
    "FoldReport": "folds",
    "MultilabelStratifiedGroupKFold": "folds",
    "MultilabelStratifiedGroupShuffleSplit": "folds",
    "RareLabelWarning": "folds",
    "RepeatedMultilabelStratifiedGroupKFold": "folds",
    "fold_report": "folds",
    "read_fold_plan": "folds",
    "read_field": "images",
    "read_stain": "images",
    "HPA_2018": "labels",
    "Vocabulary": "labels",
    "brier_score": "metrics",
    "expected_calibration_error": "metrics",
    "macro_average_precision": "metrics",
    "macro_f1": "metrics",
    "multilabel_log_loss": "metrics",
    "Calibration": "models.calibration",
    "fit_calibration": "models.calibration",
    "finetune_folds": "models.cnn",
    "cnn_neighbour_scores": "models.cnn_neighbours",
    "predict_store": "models.cnn_prediction",
    "CnnSettings": "models.cnn_settings",
    "column_importance": "models.explaining",
    "field_reasons": "models.explaining",
    "saerens_priors": "models.prior_shift",
    "shift_priors": "models.prior_shift",
    "load_stack": "models.stack_files",
    "StackClassifier": "models.stacking",
    "nearest_fields": "neighbours",
    "neighbour_scores": "neighbours",
    "NeighbourScores": "neighbours",
    "unit_vectors": "neighbours",
    "apply_thresholds": "models.thresholds",
    "best_thresholds": "models.thresholds",
    "threshold_intervals": "models.thresholds",
    "PackedFields": "packed",
    "pack_fields": "packing",
    "compartment_figure": "report.compartment_figure",
    "write_report": "report.stack_report",
    "read_stain_statistics": "brightness",
    "stain_statistics": "brightness",
    "Shard": "shards",
    "export_store": "store",
    "open_store": "store",
    "verify_store": "store",
    "write_submission": "submission",
    "draw_field": "synthetic",
    "synthetic_dataset": "synthetic",
    "Workspace": "workspace",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name):
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'hpastack' has no attribute {name!r}")
    value = getattr(import_module(f"hpastack.{home}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
