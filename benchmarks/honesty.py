"""Whether the score that a stack reports is the score on new fields.

On simulated data sets, with a test set large enough for accurate scores, the
reported (nested) and the naive scores are compared with three true ones:

- **one member**: a test field is predicted by one fold model of each CNN. This
  is what an out-of-fold score estimates, as each training field was predicted by
  one fold model too. Mean over the members;
- **one member, in samples**: the same on test fields split into samples of the
  size of the training set, the scores averaged. F1 and average precision of a label
  with ten positives differ on average from those with hundreds, so this is
  the score most like the reported one;
- **all members**: the stack is applied to each member and its calibrated
  probabilities are averaged, as one would do for new fields. The
  mean of five networks is better than the single networks that were scored, so
  this may be better than the estimate.

Two threshold policies: `combined`, the default, and `per-label`, the best
threshold of each label, a common choice and the most optimistic one.

Some training sets contain harder fields than others, which shifts all reported
scores of a data set and hides a small bias. The plain mean of the CNNs shows by
how much: nothing is fitted in it, so its average precision out of fold and on new
fields differs only by this sampling variation. The last lines subtract it.

    python -m benchmarks.honesty [--real] [--stack] [--data DIR]

With ``--real`` instead, on the real training fields: 20 samples of 2,000 of them,
with whole clusters, give the reported (*promised*) score; all other fields give the
true (*delivered*) one, over the labels with positives among the 2,000. Printed are
the mean difference, and how many of the 20 intervals contain the true score. The mean of
the CNNs with Platt calibration and shrunk thresholds takes seconds; with
``--stack`` the stack is fitted on each of the 20.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.degraded import drawn_fields
from benchmarks.scores import cross_fitted_labels
from benchmarks.simulated_predictions import (
    Simulation,
    fit_stack,
    label_probabilities,
    mean_and_error,
    simulate,
    stack_probabilities,
)
from benchmarks.stack_data import RealSet, oof_set
from benchmarks.stack_fits import command_line, new_stack
from hpastack.calibration import apply_thresholds, best_thresholds, fit_calibration
from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.metrics import (
    cluster_draws,
    expected_calibration_error,
    macro_average_precision,
    macro_f1,
    multilabel_log_loss,
)
from hpastack.stack.consensus import clipped_logits
from hpastack.stack.score_tables import OutOfFold, probability_scores, score_rows, summary

SEEDS = range(10)
POLICIES = ("combined", "per-label")
SCORES = (*(f"macro_f1, {policy}" for policy in POLICIES), "macro_ap")

#: A reported score may be off by this much, on average.
TOLERANCE = 0.01

_TRUTHS = ("one member", "one member, in samples", "all members")


def main(seeds=SEEDS, n_train: int = 2000, n_test: int = 16_000) -> None:
    rows = []
    for seed in seeds:
        start = time.perf_counter()
        rows.append(_compare(simulate(seed, n_train=n_train, n_test=n_test)))
        print(f"honesty: data set {seed} took {time.perf_counter() - start:.0f} s", flush=True)
    table = pd.DataFrame(rows, index=pd.Index(seeds, name="data set"))
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    for score in SCORES:
        print(f"\nhonesty: {score}, {n_train:,} training and {n_test:,} test fields")
        print(table[score].to_string(float_format="{:.3f}".format))
    print("\nhonesty: reported minus true score, mean over data sets and its standard error")
    print(_differences(table).to_string(index=False))
    print("\nhonesty: macro_ap, the same minus the sampling variation of the training fields")
    for reported in ("nested", "naive"):
        off = table["macro_ap", reported] - table["macro_ap", "one member"]
        mean, error = mean_and_error(off - table["macro_ap", "sampling"])
        print(f"{reported} minus one member: {mean:+.4f}, standard error {error:.4f}")


def _compare(simulation: Simulation) -> dict[tuple[str, str], float]:
    with tempfile.TemporaryDirectory() as folder:
        # The same boosters for both.
        stacks = [fit_stack(simulation, thresholds=one, cache=folder) for one in POLICIES]
    y = simulation.y_test.to_numpy()
    for stack in stacks:
        stack.set_params(cache=None)
    members = stack_probabilities(stacks[0], simulation.members)
    given_by = [label_probabilities(stack, simulation.members) for stack in stacks]
    samples = _samples(simulation)
    found = {}
    for score, stack in zip(SCORES, [*stacks, stacks[0]]):
        name = score.split(",")[0]
        found[score, "nested"] = stack.cv_results_[name]
        found[score, "naive"] = stack.cv_results_[f"naive_{name}"]

    def add(truth, values):
        for score, value in zip(SCORES, np.mean(values, axis=0)):
            found[score, truth] = value

    def scores(rows, probabilities, *given_by):
        truth = y[rows]
        f1 = [
            macro_f1(truth, apply_thresholds(values[rows], stack.thresholds_), absent="skip")
            for stack, values in zip(stacks, given_by)
        ]
        return (*f1, macro_average_precision(truth, probabilities[rows]))

    everything = slice(None)
    of_members = list(zip(members, *given_by))
    add("one member", [scores(everything, *member) for member in of_members])
    add(
        "one member, in samples",
        [scores(sample, *member) for member in of_members for sample in samples],
    )
    add("all members", [scores(everything, *np.mean([members, *given_by], axis=1))])
    plain = [macro_average_precision(y, _plain_mean(simulation, t)) for t in simulation.members]
    of_train = macro_average_precision(simulation.y, _plain_mean(simulation, simulation.X))
    found["macro_ap", "sampling"] = of_train - float(np.mean(plain))
    return found


def _plain_mean(simulation: Simulation, table: pd.DataFrame) -> np.ndarray:
    """Return the mean log-odds of the CNNs, shape (n, n_labels)."""
    labels = simulation.y.columns
    said = [table[[f"{cnn}__{label}" for label in labels]] for cnn in simulation.cnns]
    return np.mean([clipped_logits(values, are_logits=False) for values in said], axis=0)


def _samples(simulation: Simulation) -> list[np.ndarray]:
    """Split the test fields into samples of the size of the training set, with whole clusters."""
    n_samples = len(simulation.y_test) // len(simulation.y)
    if n_samples < 2:
        return [np.arange(len(simulation.y_test))]
    # Stratified, as each training set has the same number of positives of each label.
    splitter = MultilabelStratifiedGroupKFold(n_samples, random_state=0)
    number = splitter.fold_numbers(simulation.y_test, simulation.clusters_test)
    return [np.flatnonzero(number == k) for k in range(n_samples)]


def _differences(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for score in SCORES:
        for reported in ("nested", "naive"):
            for truth in _TRUTHS:
                mean, error = mean_and_error(table[score, reported] - table[score, truth])
                rows.append(
                    {
                        "score": score,
                        "reported": reported,
                        "true": truth,
                        "difference": f"{mean:+.4f}",
                        "standard error": f"{error:.4f}",
                        f"within {TOLERANCE}": "yes" if abs(mean) <= TOLERANCE else "no",
                    }
                )
    return pd.DataFrame(rows)


#: A function that fits a system to a sample and predicts other fields: the scores that it promises,
#: as in `StackClassifier.cv_results_`, and its predictions for the others.
System = Callable[[RealSet, RealSet], tuple[dict[str, Any], OutOfFold]]


def on_real_fields(
    whole: RealSet, system: System, n_samples: int = 20, n_fields: int = 2000
) -> pd.DataFrame:
    """Print and return the promised and delivered scores of each sample of real fields."""
    rows = []
    for seed in range(n_samples):
        sample = drawn_fields(whole, n_fields, seed)
        others = whole.rows("others", ~whole.clusters.isin(sample.clusters))
        promised, of_others = system(sample, others)
        for score, delivered in _delivered(sample, others, of_others).items():
            low, high = promised[f"{score}_interval"]
            rows.append((score, promised[score], delivered, low <= delivered <= high))
    table = pd.DataFrame(rows, columns=["score", "promised", "delivered", "held"])
    print(f"\nhonesty: {n_samples} samples of {n_fields:,} real fields, with whole clusters")
    for score, part in table.groupby("score", sort=False):
        mean, error = mean_and_error(part["promised"] - part["delivered"])
        print(
            f"{score}: promised {part['promised'].mean():.4f}, delivered "
            f"{part['delivered'].mean():.4f}, difference {mean:+.4f}, standard error {error:.4f}; "
            f"in the interval {part['held'].sum()} of {len(part)}"
        )
    return table


def _delivered(sample: RealSet, others: RealSet, of_others: OutOfFold) -> dict[str, float]:
    # Macro scores over the same labels as the promised ones.
    held = sample.y.to_numpy().any(axis=0)
    y, p = others.y.to_numpy(), of_others.probabilities
    return {
        "macro_f1": macro_f1(y[:, held], of_others.labels[:, held]),
        "macro_ap": macro_average_precision(y[:, held], p[:, held]),
        "log_loss": multilabel_log_loss(y, p),
        "ece": expected_calibration_error(y[:, held], p[:, held], clusters=others.clusters),
    }


def mean_of_cnns(sample: RealSet, others: RealSet) -> tuple[dict[str, Any], OutOfFold]:
    """Calibrate the mean of the CNNs, out of fold for the promised scores."""
    y, clusters, fold = sample.y.to_numpy(), sample.clusters.to_numpy(), sample.folds()
    mean = sample.log_odds().mean(axis=0)

    def calibrated(rows: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
        fits = [fit_calibration(mean[rows, k], y[rows, k], clusters[rows]) for k in range(len(y.T))]
        return np.stack([expit(fit(log_odds[:, k])) for k, fit in enumerate(fits)], axis=1)

    p = np.zeros(y.shape)
    for k in range(fold.max() + 1):
        p[fold == k] = calibrated(fold != k, mean[fold == k])
    out_of_fold = OutOfFold(p, cross_fitted_labels(y, p, fold))
    systems = dict.fromkeys(("stack", "naive", "consensus"), out_of_fold)
    draws = cluster_draws(clusters)
    scored = dict.fromkeys(systems, probability_scores(y, p, clusters, fold, draws))
    rows = score_rows(y, systems, scored)
    promised = summary(y, clusters, systems, rows, scored, draws, start="consensus")
    of_others = calibrated(np.full(len(y), True), others.log_odds().mean(axis=0))
    return promised, OutOfFold(
        of_others, apply_thresholds(of_others, best_thresholds(y, p, policy="shrunk"))
    )


def fitted_stack(jobs: int) -> System:
    """Return the stack as a system."""

    def system(sample: RealSet, others: RealSet) -> tuple[dict[str, Any], OutOfFold]:
        stack = new_stack(sample, jobs).set_params(n_bootstrap=200)
        stack.fit(sample.X, sample.y, groups=sample.clusters, folds=sample.folds())
        p = stack.predict_proba(others.X).to_numpy()
        return stack.cv_results_, OutOfFold(p, stack.predict(others.X).to_numpy())

    return system


if __name__ == "__main__":
    parser = command_line(__doc__.splitlines()[0])
    parser.add_argument("--real", action="store_true", help="on the real training fields")
    parser.add_argument("--stack", action="store_true", help="with --real: fit the stack")
    options = parser.parse_args()
    if options.real:
        system = fitted_stack(options.jobs) if options.stack else mean_of_cnns
        on_real_fields(oof_set(options.data), system)
    else:
        main()
