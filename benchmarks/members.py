"""Loss from keeping only the mean of the fold models' predictions for new fields.

A stack is fitted on out-of-fold predictions, each of one fold model, and its
calibration and thresholds fit predictions of that kind. The mean of five fold
models is less noisy, so its distribution differs slightly. Applied to the
predictions of each fold model (*members*), with its calibrated probabilities
averaged, the stack gets the predictions it was fitted for, but that needs stores
that keep all of them. Both methods are compared on the same simulated fields, for
fold models with a small, medium or large independent error.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks.scores import table_row
from benchmarks.simulated_predictions import (
    Simulation,
    fit_stack,
    label_probabilities,
    mean_and_error,
    simulate,
    stack_probabilities,
)
from hpastack.calibration import apply_thresholds
from hpastack.metrics import expected_calibration_error, macro_average_precision, macro_f1
from hpastack.stack import StackClassifier

SEEDS = range(5)

#: Proportion of a fold model's error that is independent of the others.
NOISE = {"small": 0.05, "medium": 0.15, "large": 0.3}

ONE = "one member"
EACH = "each member, probabilities averaged"
MEANS = {"mean": "mean probability of the members", "logits": "mean log-odds of the members"}

_MEASURES = {
    "macro F1": 4,
    "macro AP": 4,
    "ECE": 5,
    "log loss": 5,
    "labels a field": 3,
}


def main(seeds=SEEDS, n_train: int = 3000, n_test: int = 6000) -> None:
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in NOISE}
    for seed in seeds:
        for name, table in _data_set(seed, n_train, n_test).items():
            found[name].append(table)
        print(f"members: data set {seed} done", flush=True)
    lines = []
    for name, tables in found.items():
        lines += _lines(f"{name} ({NOISE[name]:g})", pd.concat(tables, keys=seeds))
    print(
        f"\nmembers: mean over {len(seeds)} data sets, {n_train:,} training and {n_test:,} test "
        "fields; differences from "
        f"'{EACH}' are paired, with their standard error\n"
    )
    heads = ["independent error", "stack applied to", *_MEASURES]
    print("\n".join([table_row(heads), table_row(["---"] * len(heads)), *lines]))


def _data_set(seed: int, n_train: int, n_test: int) -> dict[str, pd.DataFrame]:
    """Return the measures of every method of predicting new fields, by the size of the noise."""
    stack = None
    found = {}
    for name, share in NOISE.items():
        simulation = simulate(seed, n_train=n_train, n_test=n_test, member_share=share)
        # Training fields do not depend on the share of the fold model: one stack for all.
        if stack is None:
            stack = fit_stack(simulation)
        found[name] = _compare(stack, simulation)
    return found


def _compare(stack: StackClassifier, simulation: Simulation) -> pd.DataFrame:
    """Return the measures of each method of predicting the test fields, one row per method."""
    said = [name for name in simulation.X if name.partition("__")[0] in simulation.cnns]
    log_odds = simulation.X_test.copy()
    values = [member[said].to_numpy(dtype=float) for member in simulation.members]
    log_odds[said] = expit(np.mean([logit(value) for value in values], axis=0))
    tables = [*simulation.members, simulation.X_test, log_odds]
    said = zip(stack_probabilities(stack, tables), label_probabilities(stack, tables))
    *members, of_mean, of_log_odds = said
    y = simulation.y_test.to_numpy()

    def measures(probabilities, given_by):
        return _measures(y, probabilities, apply_thresholds(given_by, stack.thresholds_))

    return pd.DataFrame(
        {
            ONE: pd.DataFrame([measures(*member) for member in members]).mean(),
            EACH: pd.Series(measures(*np.mean(members, axis=0))),
            MEANS["mean"]: pd.Series(measures(*of_mean)),
            MEANS["logits"]: pd.Series(measures(*of_log_odds)),
        }
    ).T


def _measures(y, probabilities, labels) -> dict[str, float]:
    kept = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return {
        "macro F1": macro_f1(y, labels),
        "macro AP": macro_average_precision(y, probabilities),
        "ECE": expected_calibration_error(y, probabilities),
        "log loss": float(-np.log(np.where(y == 1, kept, 1 - kept)).mean()),
        "labels a field": float(labels.sum(axis=1).mean()),
    }


def _lines(name: str, found: pd.DataFrame) -> list[str]:
    """Write the rows of a Markdown table: one row per method, then the differences of the means."""
    by_way = {way: found.xs(way, level=1) for way in (ONE, EACH, *MEANS.values())}
    lines = [
        table_row([name, way, *(f"{rows[m].mean():.{d}f}" for m, d in _MEASURES.items())])
        for way, rows in by_way.items()
    ]
    for way in MEANS.values():
        cells = []
        for measure, digits in _MEASURES.items():
            mean, error = mean_and_error(by_way[way][measure] - by_way[EACH][measure])
            cells.append(f"{mean:+.{digits}f} ± {error:.{digits}f}")
        lines.append(table_row([name, f"{way}, difference", *cells]))
    return lines


if __name__ == "__main__":
    main()
