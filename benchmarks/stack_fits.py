"""Fits of the stack for the benchmarks, and their shared options."""

from __future__ import annotations

import argparse
from pathlib import Path

import hpastack as hs
from benchmarks import REAL_DATA
from benchmarks.scores import Result, cross_fitted_labels, timed
from benchmarks.stack_data import RealSet


def new_stack(real: RealSet, jobs: int):
    """Make a stack with default settings, but without intervals, to save time."""
    return hs.StackClassifier(cnns=real.cnns, n_jobs=jobs, n_bootstrap=0)


def fit_stack(real: RealSet, fold, jobs: int) -> tuple[dict[str, Result], object]:
    """Fit the stack; return the out-of-fold results of it and its parts, and the stack itself.

    Each member is ``member:<name>``, on top of the consensus.
    """

    def fitted():
        stack = new_stack(real, jobs)
        return stack.fit(real.X, real.y, groups=real.clusters, folds=fold)

    stack, seconds = timed(fitted)
    probabilities, labels = stack.oof_probabilities_.to_numpy(), stack.oof_labels_.to_numpy()
    parts = {"consensus": stack.oof_consensus_} | {
        f"member:{name}": values for name, values in stack.oof_members_.items()
    }
    y, policy = real.y.to_numpy(), stack.thresholds
    results = {
        name: Result(values.to_numpy(), cross_fitted_labels(y, values.to_numpy(), fold, policy))
        for name, values in parts.items()
    }
    return results | {"stack": Result(probabilities, labels, *seconds, jobs)}, stack


def command_line(description: str) -> argparse.ArgumentParser:
    """Make the options that the benchmarks of the stack share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="the real data")
    parser.add_argument("--jobs", type=int, default=2, help="threads of the stack")
    return parser
