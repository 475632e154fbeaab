"""The stack beside what people use instead, on three real sets.

    python -m benchmarks.stack --cache DIR [--data DIR] [--sets oof,holdout,silver]
                               [--only NAME ...] [--again NAME ...]

Every system of a set is judged on the same folds, which keep clusters whole.
What is fitted is fitted on the other folds; thresholds of a fold are chosen on
the out-of-fold scores of the other folds. Out-of-fold scores are kept in the
cache, so that a rerun with ``--again stack`` fits the stack alone.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

import hpastack as hs
from benchmarks import REAL_DATA
from benchmarks.alternatives import (
    EIGHTH_PLACE,
    cnn_alone,
    eighth_place,
    lightgbm_on_all,
    logistic_regression,
    mean_of_cnns,
    stacking_classifier,
    xgboost_on_all,
)
from benchmarks.scores import (
    SCORES,
    Result,
    cross_fitted_labels,
    paired_scores,
    plain_scores,
    table_row,
    timed,
    verdict,
)
from benchmarks.stack_data import SETS, RealSet
from hpastack.metrics import macro_f1

#: Name of a system: how its scores are made and how its thresholds are chosen. The CNNs alone
#: come before them, consensus and stack in between; see `systems_of`.
ALTERNATIVES = {
    "mean": (mean_of_cnns, "global"),
    "mean-shrunk": (mean_of_cnns, "shrunk"),
    "logistic": (logistic_regression, "shrunk"),
    "lightgbm": (lightgbm_on_all, "shrunk"),
    "xgboost": (xgboost_on_all, "shrunk"),
    "stacking": (stacking_classifier, "shrunk"),
    "eighth": (eighth_place(1), "per-label"),
    "eighth-5": (eighth_place(5), "per-label"),
}

TITLES = {
    "mean": "mean of CNNs, one threshold",
    "mean-shrunk": "mean of CNNs, thresholds as the stack's",
    "consensus": "consensus",
    "stack": "stack",
    "logistic": "logistic regression, own columns",
    "lightgbm": "LightGBM, all columns",
    "xgboost": "XGBoost, all columns",
    "stacking": "StackingClassifier, own columns",
    "eighth": "scheme of the 8th place, cut down, 3 votes",
    "eighth-5": "scheme of the 8th place, cut down, 15 votes",
}

#: Members of the stack with CNNs, each alone with the consensus that it starts from.
MEMBERS = tuple(f"member:{name}" for name in ("lightgbm", "xgboost", "pooled", "linear"))

#: What the others are compared with.
REFERENCES = ("mean", "stack")


def systems_of(real: RealSet) -> dict:
    """List the systems of a set: scores and threshold policy, None for parts of the stack."""
    alone = {f"cnn:{cnn}": (cnn_alone(cnn), "shrunk") for cnn in real.cnns}
    first = {name: ALTERNATIVES[name] for name in ("mean", "mean-shrunk")}
    parts = dict.fromkeys(("consensus", *MEMBERS, "stack"))
    return {**alone, **first, **parts, **ALTERNATIVES}


def new_stack(real: RealSet, jobs: int):
    """Make the stack as it comes, without intervals of its own: they would cost time."""
    return hs.StackClassifier(cnns=real.cnns, n_jobs=jobs, n_bootstrap=0)


def fit_stack(real: RealSet, fold, jobs: int) -> tuple[dict[str, Result], object]:
    """Fit the stack; return what it and its parts give out of fold, and the stack itself.

    Each member stands as ``member:<name>``, with the consensus that it starts from.
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


def results_of(real: RealSet, fold, names, cache: Path, *, again=(), jobs=2) -> dict[str, Result]:
    """Fit the systems named, or take them from the cache."""
    systems, digest = systems_of(real), real.digest(fold)
    y = real.y.to_numpy()
    if any(systems[name] is None and _matches(name, again) for name in names):
        again = (*again, "consensus", "member", "stack")  # one fit makes them all

    def path(name):
        return cache / f"{real.name}-{name.replace(':', '-')}-{digest}.npz"

    results: dict[str, Result] = {}
    for name in names:
        if name in results:
            continue
        if path(name).exists() and not _matches(name, again):
            results[name] = _read(path(name))
            if systems[name] is not None:
                # Thresholds take moments and shall follow the library.
                scores, policy = results[name].scores, systems[name][1]
                labels = cross_fitted_labels(y, scores, fold, policy)
                results[name] = replace(results[name], labels=labels)
            continue
        if systems[name] is None:
            found, stack = fit_stack(real, fold, jobs)
            print(f"{real.name}: what the stack says of itself")
            print(stack.comparison_.to_string(float_format="{:.4f}".format))
        else:
            make, policy = systems[name]
            scores, seconds = timed(make, real, fold)
            found = {name: Result(scores, cross_fitted_labels(y, scores, fold, policy), *seconds)}
        for made, result in found.items():
            _write(path(made), result)
            print(f"{real.name}: {made} took {_seconds(result)} s", flush=True)
        results.update({made: result for made, result in found.items() if made in names})
    return {name: results[name] for name in names}


def _write(path: Path, result: Result) -> None:
    np.savez_compressed(path, **vars(result))


def _read(path: Path) -> Result:
    with np.load(path) as kept:
        return Result(**{key: value if value.ndim else value.item() for key, value in kept.items()})


def _matches(name: str, chosen) -> bool:
    # "cnn" stands for every CNN.
    return name in chosen or name.split(":")[0] in chosen


def table(real: RealSet, fold, results: dict[str, Result]) -> str:
    """Write the scores of the systems of a set as Markdown."""
    y, clusters = real.y.to_numpy(), real.clusters.to_numpy()
    scores, differences = paired_scores(y, results, clusters)
    references = [name for name in REFERENCES if name in results]
    head = [
        "",
        "macro F1",
        "F1, one threshold",
        "macro AP",
        "ECE",
        "Brier",
        "log loss",
        "s (processor)",
    ]
    for name in references:
        title = {"mean": "mean of CNNs", "stack": "stack"}[name]
        head += [f"{score} − {title}" for score in ("F1", "AP", "log loss")]
    lines = [table_row(head), table_row(["---"] * len(head))]
    for name, result in results.items():
        plain = plain_scores(y, result)
        one = macro_f1(y, cross_fitted_labels(y, result.scores, fold, "global"))
        cells = [
            TITLES.get(name, name.partition(":")[2]),
            _with_interval(*scores[name]["f1"]),
            f"{one:.3f}",
            _with_interval(*scores[name]["ap"]),
            *(f"{plain[key]:.4f}" for key in ("ece", "brier", "log loss")),
            _seconds(result),
        ]
        for other in references:
            same = name == other
            cells += [
                "" if same else difference_cell(differences[name, other][key]) for key in SCORES
            ]
        lines.append(table_row(cells))
    if "stack" in results:
        lines += ["", verdict(results, scores, differences)]
    return "\n".join(lines)


def _seconds(result: Result) -> str:
    if np.isnan(result.seconds):
        return ""
    return f"{result.seconds:.0f} ({result.processor_seconds:.0f})"


def _with_interval(value, low, high) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def difference_cell(triple) -> str:
    return "{:+.4f} ({:+.4f} to {:+.4f})".format(*triple)


def calibration_check(y, results: dict[str, Result]) -> str:
    """Compare the probabilities of the stack with those of the raw mean of the CNNs."""
    stack, mean = (plain_scores(y, results[name]) for name in ("stack", "mean"))
    ece, loss = stack["ece"] / mean["ece"], stack["log loss"] / mean["log loss"]
    verdict = "at most half" if ece <= 0.5 else "more than half"
    below = "lower" if loss < 1 else "not lower"
    return (
        f"calibration: ECE of the stack {stack['ece']:.4f}, of the mean {mean['ece']:.4f}, ratio "
        f"{ece:.2f} ({verdict}); log loss {stack['log loss']:.4f} and {mean['log loss']:.4f}, "
        f"ratio {loss:.2f} ({below}); ECE over the labels with positives"
    )


def main(data: Path, cache: Path, sets=tuple(SETS), only=(), again=(), jobs=2) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    for set_name in sets:
        real = SETS[set_name](data)
        fold = real.folds()
        names = [name for name in systems_of(real) if not only or _matches(name, only)]
        results = results_of(real, fold, names, cache, again=again, jobs=jobs)
        print(
            f"\n## {set_name}: {len(real.X):,} fields, {real.clusters.nunique():,} clusters, "
            f"{len(real.cnns)} CNNs, {len(real.features)} features\n"
        )
        print(table(real, fold, results))
        threads = "; ".join(
            f"{name} on {result.threads} threads"
            for name, result in results.items()
            if result.threads > 1
        )
        print(f"\nSeconds on one thread{'; ' + threads if threads else ''}.")
        print(
            "Thresholds: combined for the stack and its parts, one for all for the mean, each "
            "label's own for the 8th place, shrunk for the others."
        )
        if {"eighth", "eighth-5"} & set(results):
            settings = ", ".join(f"{key} {value}" for key, value in EIGHTH_PLACE.items())
            print(f"The scheme of the 8th place was run with {settings}, outer folds once.")
        if {"stack", "mean"} <= set(results):
            print(calibration_check(real.y.to_numpy(), results), flush=True)


def command_line(description: str) -> argparse.ArgumentParser:
    """Make the options that the benchmarks of the stack share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="the real data")
    parser.add_argument("--jobs", type=int, default=2, help="threads of the stack")
    return parser


if __name__ == "__main__":
    parser = command_line(__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="where scores are kept")
    parser.add_argument("--sets", default=",".join(SETS), help="comma separated")
    parser.add_argument("--only", nargs="+", default=(), help="names of systems; cnn: all CNNs")
    parser.add_argument("--again", nargs="+", default=(), help="fit these though they are kept")
    options = parser.parse_args()
    # Labels with fewer positives than folds are the rule here.
    warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
    main(
        options.data, options.cache, options.sets.split(","), options.only, options.again,
        options.jobs,
    )  # fmt: skip
