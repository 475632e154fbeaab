"""Folds for multi-label data that never split a cluster, and the plan that records them."""

from hpastack.folds.plan import (
    FoldPlan,
    audit_folds,
    check_plan,
    fold_digest,
    labels_digest,
    make_fold_plan,
    read_fold_plan,
    read_fold_table,
    write_fold_plan,
)
from hpastack.folds.report import FoldReport, fold_report, labels_missing_from_folds
from hpastack.folds.splitter import (
    ALGORITHM_VERSION,
    MultilabelStratifiedGroupKFold,
    MultilabelStratifiedGroupShuffleSplit,
    RareLabelWarning,
    RepeatedMultilabelStratifiedGroupKFold,
)

__all__ = [
    "ALGORITHM_VERSION",
    "FoldPlan",
    "FoldReport",
    "MultilabelStratifiedGroupKFold",
    "MultilabelStratifiedGroupShuffleSplit",
    "RareLabelWarning",
    "RepeatedMultilabelStratifiedGroupKFold",
    "audit_folds",
    "check_plan",
    "fold_digest",
    "fold_report",
    "labels_digest",
    "labels_missing_from_folds",
    "make_fold_plan",
    "read_fold_plan",
    "read_fold_table",
    "write_fold_plan",
]
