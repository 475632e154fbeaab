"""The stack compared with alternatives: real sets, a workspace, sets without CNNs.

    python -m benchmarks.stack --cache DIR [--data DIR] [--sets NAME ...] [--only NAME ...]
                               [--again NAME ...] [--autogluon SECONDS] [--workspace DIR]
                               [--jobs N]

The real sets are oof, holdout and silver; ``--workspace`` adds the stores of a workspace, such
as the demo's; `benchmarks.without_cnns` lists the others. All systems of a set are evaluated on the
same folds, which keep clusters whole. Models are fitted on the other folds; thresholds of
a fold are chosen on the out-of-fold scores of the other folds. Out-of-fold scores are kept in the
cache, so that a rerun with ``--again stack`` fits the stack alone; those of the small sets
without CNNs are computed each time. AutoGluon is included if it is installed and gets a time limit
in seconds per label and fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import without_cnns
from benchmarks.alternatives import (
    EIGHTH_PLACE,
    System,
    autogluon,
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
    difference_cell,
    paired_scores,
    plain_scores,
    table_row,
    timed,
    verdict,
)
from benchmarks.stack_data import SETS, RealSet, workspace_set
from benchmarks.stack_fits import command_line, fit_stack
from hpastack.metrics import macro_f1

#: Name of a system: the function for its scores, and its threshold policy. The CNNs alone
#: come before them, consensus and stack in between; see `systems_of`.
ALTERNATIVES = {
    "mean": (mean_of_cnns, "global"),
    "mean-shrunk": (mean_of_cnns, "shrunk"),
    "logistic": (logistic_regression, "shrunk"),
    "lightgbm": (lightgbm_on_all, "shrunk"),
    "xgboost": (xgboost_on_all, "shrunk"),
    "stacking": (stacking_classifier, "shrunk"),
    **{
        name: (system, "shrunk")
        for name, system in without_cnns.ALTERNATIVES.items()
        if name not in ("LightGBM", "XGBoost", "logistic regression")
    },
    "eighth": (eighth_place(1), "per-label"),
    "eighth-5": (eighth_place(5), "per-label"),
}

TITLES = {
    "mean": "mean of CNNs, one threshold",
    "mean-shrunk": "mean of CNNs, thresholds as the stack's",
    "consensus": "consensus",
    "stack": "stack",
    "logistic": "logistic regression, columns of the label",
    "lightgbm": "LightGBM, all columns",
    "xgboost": "XGBoost, all columns",
    "stacking": "StackingClassifier, columns of the label",
    "eighth": "scheme of the 8th place, reduced, 3 votes",
    "eighth-5": "scheme of the 8th place, reduced, 15 votes",
}

#: Members of the stack with CNNs, each alone on top of the consensus.
MEMBERS = tuple(f"member:{name}" for name in ("lightgbm", "xgboost", "pooled", "linear"))

#: Systems that the others are compared with.
REFERENCES = ("mean", "stack")


def systems_of(real: RealSet, further: Mapping[str, System]) -> dict:
    """List the systems of a set: scores and threshold policy, None for parts of the stack."""
    alone = {f"cnn:{cnn}": (cnn_alone(cnn), "shrunk") for cnn in real.cnns}
    first = {name: ALTERNATIVES[name] for name in ("mean", "mean-shrunk")}
    parts = dict.fromkeys(("consensus", *MEMBERS, "stack"))
    added = {name: (system, "shrunk") for name, system in further.items()}
    return {**alone, **first, **parts, **ALTERNATIVES, **added}


def results_of(
    real: RealSet, fold, systems: dict, cache: Path, *, again=(), jobs=2
) -> dict[str, Result]:
    """Fit systems of `systems_of`, or load them from the cache."""
    names, digest = list(systems), real.digest(fold)
    y = real.y.to_numpy()
    if any(systems[name] is None and _matches(name, again) for name in names):
        again = (*again, "consensus", "member", "stack")  # all come from one fit

    def path(name):
        return cache / f"{real.name}-{name.replace(':', '-')}-{digest}.npz"

    results: dict[str, Result] = {}
    for name in names:
        if name in results:
            continue
        if path(name).exists() and not _matches(name, again):
            results[name] = _read(path(name))
            if systems[name] is not None:
                # Thresholds are fast to compute, and follow the current code.
                scores, policy = results[name].scores, systems[name][1]
                labels = cross_fitted_labels(y, scores, fold, policy)
                results[name] = replace(results[name], labels=labels)
            continue
        if systems[name] is None:
            found, stack = fit_stack(real, fold, jobs)
            print(f"{real.name}: scores that the stack reports")
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
    """Format the scores of the systems of a set as Markdown."""
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


def main(
    data: Path | None, cache: Path, sets=(), only=(), again=(), jobs=2, autogluon_seconds=0.0,
    workspace: Path | None = None,
) -> None:  # fmt: skip
    further = autogluon(autogluon_seconds)
    cache.mkdir(parents=True, exist_ok=True)
    known = [(name, data, read) for name, read in SETS.items()]
    if workspace is not None:
        known.append(("workspace", workspace, workspace_set))
    for set_name, place, read in known:
        if sets and set_name not in sets:
            continue
        if place is None:
            print(f"no real data beside the checkout: {set_name} needs them")
            continue
        real = read(place)
        fold = real.folds()
        systems = systems_of(real, further)
        chosen = {name: made for name, made in systems.items() if not only or _matches(name, only)}
        results = results_of(real, fold, chosen, cache, again=again, jobs=jobs)
        _print(set_name, real, fold, results)
    words = tuple(word for word in sets if word not in (*SETS, "workspace"))
    if words or not sets:
        without_cnns.main(data, words, jobs, further)


def _print(set_name: str, real: RealSet, fold, results: dict[str, Result]) -> None:
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


if __name__ == "__main__":
    parser = command_line(__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for scores")
    parser.add_argument("--sets", nargs="+", default=(), metavar="NAME",
                        help=f"{', '.join(SETS)}, workspace, or words in the names of sets "
                        "without CNNs (default: all)")  # fmt: skip
    parser.add_argument("--only", nargs="+", default=(),
                        help="names of systems, of the real sets; cnn: all CNNs")  # fmt: skip
    parser.add_argument("--again", nargs="+", default=(), help="fit these again, even if cached")
    parser.add_argument("--autogluon", type=float, default=0, metavar="SECONDS",
                        help="time limit of AutoGluon for each label and fold (default: 0, "
                        "skipped)")  # fmt: skip
    parser.add_argument("--workspace", type=Path, metavar="DIR",
                        help="also the stores of a workspace, such as the demo's")  # fmt: skip
    options = parser.parse_args()
    # Labels with fewer positives than folds are common here.
    warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
    main(
        options.data if options.data.is_dir() else None, options.cache, options.sets,
        options.only, options.again, options.jobs, options.autogluon, options.workspace,
    )  # fmt: skip
