"""Scores of multi-label predictions, with cluster-bootstrap intervals."""

from hpastack.metrics.calibration_error import (
    N_BINS,
    expected_calibration_error,
    squared_calibration_error,
)
from hpastack.metrics.confusions import confusions
from hpastack.metrics.curves import (
    ReliabilityBins,
    precision_recall,
    reliability_bins,
    thinned_curve,
    wilson_interval,
)
from hpastack.metrics.resampling import (
    cluster_bootstrap,
    cluster_draws,
    macro_interval,
    score_interval,
)
from hpastack.metrics.scores import (
    LOG_LOSS_EDGE,
    average_precisions,
    brier_score,
    brier_scores,
    f1_scores,
    macro_average_precision,
    macro_f1,
    multilabel_log_loss,
    multilabel_log_losses,
)

__all__ = [
    "LOG_LOSS_EDGE",
    "N_BINS",
    "ReliabilityBins",
    "average_precisions",
    "brier_score",
    "brier_scores",
    "cluster_bootstrap",
    "cluster_draws",
    "confusions",
    "expected_calibration_error",
    "f1_scores",
    "macro_average_precision",
    "macro_f1",
    "macro_interval",
    "multilabel_log_loss",
    "multilabel_log_losses",
    "precision_recall",
    "reliability_bins",
    "score_interval",
    "squared_calibration_error",
    "thinned_curve",
    "wilson_interval",
]
