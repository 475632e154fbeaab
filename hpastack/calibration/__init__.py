"""Calibration of scores, correction for prior shift, and thresholds."""

from hpastack.calibration.calibrators import CALIBRATORS, Calibration, Calibrator, fit_calibration
from hpastack.calibration.logistic import (
    STRENGTH,
    fields_per_cluster,
    fit_logistic,
    log_losses,
    weighted,
)
from hpastack.calibration.prior_shift import read_prevalences, saerens_priors, shift_priors
from hpastack.calibration.sloped import MIN_POSITIVES
from hpastack.calibration.threshold_search import POLICIES, ThresholdSearch
from hpastack.calibration.thresholds import (
    apply_thresholds,
    best_thresholds,
    threshold_intervals,
)

__all__ = [
    "CALIBRATORS",
    "Calibration",
    "Calibrator",
    "MIN_POSITIVES",
    "POLICIES",
    "STRENGTH",
    "ThresholdSearch",
    "apply_thresholds",
    "best_thresholds",
    "fields_per_cluster",
    "fit_calibration",
    "fit_logistic",
    "log_losses",
    "read_prevalences",
    "saerens_priors",
    "shift_priors",
    "weighted",
    "threshold_intervals",
]
