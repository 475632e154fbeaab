"""Whether the score that a stack reports of itself is the one that new fields get.

On simulated data sets, whose test set is large enough to tell the truth, the
reported (nested) and the naive scores stand beside three true ones:

- **one member**: a test field is predicted by one fold model of each CNN. This
  is what an out-of-fold score promises, as each training field was predicted by
  one fold model too. Mean over the members.
- **one member, in samples**: the same on test fields cut into samples as large
  as the training set, the scores averaged. F1 and average precision of a label
  with ten positives are not on average what they are with hundreds, so this is
  the score most like the reported one;
- **all members**: the stack is applied to each member and its calibrated
  probabilities are averaged, which is what one would do with new fields. The
  mean of five networks is better than the single networks that were scored, so
  this may be better than what was promised.

Two policies of thresholds: `shrunk`, the default, and `per-label`, each label's
own best, which is what many would do and what flatters most.

Some training sets hold harder fields than others, which moves every reported
score of one data set alike and hides a small bias. The plain mean of the CNNs
shows how much: nothing is fitted in it, so its average precision out of fold
and on new fields differ by that luck alone. The last lines take it off.
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import pandas as pd

from benchmarks.simulated_predictions import (
    Simulation,
    fit_stack,
    mean_and_error,
    simulate,
    stack_probabilities,
)
from hpastack.calibration import apply_thresholds
from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.metrics import macro_average_precision, macro_f1
from hpastack.stack.consensus import clipped_logits

SEEDS = range(10)
POLICIES = ("shrunk", "per-label")
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
    print("\nhonesty: reported less true score, mean over data sets and its standard error")
    print(_differences(table).to_string(index=False))
    print("\nhonesty: macro_ap, the same less the luck of the training fields")
    for reported in ("nested", "naive"):
        off = table["macro_ap", reported] - table["macro_ap", "one member"]
        mean, error = mean_and_error(off - table["macro_ap", "luck"])
        print(f"{reported} less one member: {mean:+.4f}, standard error {error:.4f}")


def _compare(simulation: Simulation) -> dict[tuple[str, str], float]:
    with tempfile.TemporaryDirectory() as folder:
        # The same boosters for both.
        stacks = [fit_stack(simulation, thresholds=one, cache=folder) for one in POLICIES]
    y = simulation.y_test.to_numpy()
    members = stack_probabilities(stacks[0].set_params(cache=None), simulation.members)
    samples = _samples(simulation)
    found = {}
    for score, stack in zip(SCORES, [*stacks, stacks[0]]):
        name = score.split(",")[0]
        found[score, "nested"] = stack.cv_results_[name]
        found[score, "naive"] = stack.cv_results_[f"naive_{name}"]

    def add(truth, values):
        for score, value in zip(SCORES, np.mean(values, axis=0)):
            found[score, truth] = value

    def scores(rows, probabilities):
        p, truth = probabilities[rows], y[rows]
        f1 = [macro_f1(truth, apply_thresholds(p, stack.thresholds_)) for stack in stacks]
        return (*f1, macro_average_precision(truth, p))

    everything = slice(None)
    add("one member", [scores(everything, member) for member in members])
    add(
        "one member, in samples",
        [scores(sample, member) for member in members for sample in samples],
    )
    add("all members", [scores(everything, members.mean(axis=0))])
    plain = [macro_average_precision(y, _plain_mean(simulation, t)) for t in simulation.members]
    of_train = macro_average_precision(simulation.y, _plain_mean(simulation, simulation.X))
    found["macro_ap", "luck"] = of_train - float(np.mean(plain))
    return found


def _plain_mean(simulation: Simulation, table: pd.DataFrame) -> np.ndarray:
    """Return the mean log-odds of the CNNs, shape (n, n_labels)."""
    labels = simulation.y.columns
    said = [table[[f"{cnn}__{label}" for label in labels]] for cnn in simulation.cnns]
    return np.mean([clipped_logits(values, are_logits=False) for values in said], axis=0)


def _samples(simulation: Simulation) -> list[np.ndarray]:
    """Cut the test fields into samples as large as the training set, clusters whole."""
    n_samples = len(simulation.y_test) // len(simulation.y)
    if n_samples < 2:
        return [np.arange(len(simulation.y_test))]
    # With the labels spread evenly, as each training set holds the same number of each.
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


if __name__ == "__main__":
    main()
