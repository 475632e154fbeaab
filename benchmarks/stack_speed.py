"""Time of the stack: compared with scikit-learn, as a command, and by number of fields and labels.

    python -m benchmarks.stack_speed [--data DIR] [--parts same_trees command fields labels]

All on the 11,702 test fields with ten networks and 15 image features. Every
measurement runs in a separate process, with two workers. Quote ratios, because
machines differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import hpastack as hs
from benchmarks import REAL_DATA
from benchmarks.memory import peak_megabytes
from benchmarks.scores import cross_fitted_labels
from benchmarks.stack_data import N_FOLDS, N_LABELS, RealSet, silver_set
from hpastack.metrics import macro_average_precision, macro_f1

#: Trees per label, fold and library, the same for both.
N_TREES = 100

WORKERS = 2


def same_trees(data: Path) -> dict:
    """Time 100 trees of each library per label and fold, by scikit-learn and by the stack."""
    from lightgbm import LGBMClassifier
    from scipy.special import expit
    from sklearn.multioutput import MultiOutputClassifier
    from xgboost import XGBClassifier

    real = silver_set(data)
    fold, y = real.folds(), real.y.to_numpy()
    found = {}
    start = time.perf_counter()
    added = _fold_models(real, fold)
    found["stack"] = (time.perf_counter() - start, expit(added))
    models = {
        "lightgbm": LGBMClassifier(n_estimators=N_TREES, n_jobs=1, verbose=-1),
        "xgboost": XGBClassifier(n_estimators=N_TREES, tree_method="hist", n_jobs=1),
    }
    x = real.X.to_numpy(dtype=np.float32)
    for name, model in models.items():
        start, scores = time.perf_counter(), np.zeros(y.shape)
        for k in range(N_FOLDS):
            rest = fold != k
            fitted = MultiOutputClassifier(model, n_jobs=WORKERS).fit(x[rest], y[rest])
            for label, values in enumerate(fitted.predict_proba(x[~rest])):
                scores[~rest, label] = values[:, 1]
        found[name] = (time.perf_counter() - start, scores)
    result: dict = {
        name: {
            "seconds": seconds,
            "macro_f1": macro_f1(y, cross_fitted_labels(y, scores, fold)),
            "macro_ap": macro_average_precision(y, scores),
        }
        for name, (seconds, scores) in found.items()
    }
    others = result["lightgbm"]["seconds"] + result["xgboost"]["seconds"]
    result["times_faster"] = others / result["stack"]["seconds"]
    return result


def _fold_models(real: RealSet, fold) -> np.ndarray:
    """Fit the consensus and both libraries without each fold; return log-odds of their mean."""
    from hpastack.boosting import TreeSettings
    from hpastack.parallel import Workers
    from hpastack.stack.column_blocks import sorted_columns
    from hpastack.stack.cross_fitting import CrossFitter
    from hpastack.stack.fitted import LeaveTwoOut
    from hpastack.stack.settings import StackSettings

    y = real.y.to_numpy()
    inputs = sorted_columns(real.X, N_LABELS, StackSettings(cnns=real.cnns))
    clusters = np.unique(real.clusters, return_inverse=True)[1]
    learnable = np.stack([y[fold != k].sum(axis=0) >= 5 for k in range(N_FOLDS)])
    fitter = CrossFitter(
        inputs, y, clusters, fold, learnable,
        n_components=1, n_screened=None, workers=Workers(WORKERS),
    )  # fmt: skip
    consensus = fitter.fit_consensus()
    settings = [TreeSettings(rounds=N_TREES)] * N_FOLDS
    # The number of trees is fixed, so nothing has to be chosen without pairs of folds.
    nothing_to_choose = LeaveTwoOut(
        np.zeros((N_FOLDS, *y.shape), dtype=np.float32),
        np.full((N_FOLDS, N_LABELS), N_TREES),
        np.ones((N_FOLDS, N_LABELS)),
    )
    rows = np.arange(len(y))
    logits = consensus.nested_margin(fold)[fold, rows].astype(float)
    for name in ("lightgbm", "xgboost"):
        part = fitter.fit_without_one_fold(
            name, settings, [nothing_to_choose] * N_FOLDS, consensus.margins, seeds=[0]
        )
        logits += part.added[fold, rows] / 2
    return logits


def command(data: Path) -> dict:
    """Time `pipelines.stack`: without a cache, and again with another threshold policy."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _workspace(silver_set(data), work)
        result: dict = {}
        for what, options in (
            ("anew", []),
            ("other thresholds", ["--set", "thresholds=global"]),
            ("same again", ["--no-cache", "--jobs", "1"]),
        ):
            start = time.perf_counter()
            _run("stack", *options, "--overwrite", work=work)
            result[what] = time.perf_counter() - start
            text = (work / "submissions" / "stack.csv").read_bytes()
            if what == "anew":
                first = text
        result["same bytes with one worker and without the cache"] = text == first
        return result


def _workspace(real: RealSet, work: Path) -> None:
    """Make a workspace whose test fields are copies of its training fields under other ids."""
    targets = [t or "0" for t in hs.HPA_2018.targets(real.y.to_numpy())]
    ids, copies = list(real.y.index), [f"copy-{image_id}" for image_id in real.y.index]
    pd.DataFrame({"Id": ids, "Target": targets}).to_csv(work / "train.csv", index=False)
    pd.DataFrame({"Id": copies, "Predicted": "0"}).to_csv(work / "sample.csv", index=False)
    duplicates = real.clusters[real.clusters.duplicated(keep=False)]
    lines = [",".join(members) for members in duplicates.groupby(duplicates).groups.values()]
    (work / "duplicates.txt").write_text("\n".join(lines) + "\n")
    _run("prepare", "--labels", work / "train.csv", "--test", work / "sample.csv", work=work)
    _run("cluster", "--no-images", "--pairs", work / "duplicates.txt", work=work)
    plan = pd.read_csv(work / "data" / "folds.csv")[["image_id", "fold"]]
    plan.to_csv(work / "plan.csv", index=False)
    X = pd.concat([real.X, real.X.set_axis(copies)]).rename_axis("Id")
    for cnn in real.cnns:
        columns = [f"{cnn}__{label}" for label in range(N_LABELS)]
        X[columns].to_csv(work / "table.csv")
        _run(
            "ingest", work / "table.csv", "--name", cnn, "--kind", "out_of_fold",
            "--folds", work / "plan.csv", work=work,
        )  # fmt: skip
    X[real.features].to_csv(work / "table.csv")
    _run(
        "ingest", work / "table.csv", "--name", "stats", "--kind", "target_free",
        "--content", "features", work=work,
    )  # fmt: skip


def _run(name: str, *arguments, work: Path) -> None:
    words = [sys.executable, "-m", f"pipelines.{name}", *map(str, arguments)]
    subprocess.run([*words, "--workspace", work], check=True, capture_output=True)


def grown(data: Path, n_fields: int, n_labels: int) -> dict:
    """Time one fit on some fields and labels; fields beyond the real ones are noisy copies."""
    real = silver_set(data)
    rng = np.random.default_rng(0)
    rows = np.arange(n_fields) % len(real.y)
    labels = np.linspace(0, N_LABELS - 1, n_labels).astype(int)
    table = {}
    for cnn in real.cnns:
        for number, label in enumerate(labels):
            p = np.clip(real.X[f"{cnn}__{label}"].to_numpy()[rows], 1e-4, 1 - 1e-4)
            noisy = np.log(p / (1 - p)) + 0.3 * rng.normal(size=n_fields)
            table[f"{cnn}__{number}"] = (1 / (1 + np.exp(-noisy))).astype(np.float32)
    for name in real.features:
        table[name] = real.X[name].to_numpy()[rows]
    X = pd.DataFrame(table)
    y = real.y.to_numpy()[rows][:, labels]
    # Copies of a field stay together.
    clusters = np.unique(real.clusters, return_inverse=True)[1][rows]
    folds = hs.MultilabelStratifiedGroupKFold(N_FOLDS, random_state=0).fold_numbers(y, clusters)
    before = peak_megabytes()
    start = time.perf_counter()
    hs.StackClassifier(cnns=real.cnns, n_jobs=WORKERS).fit(X, y, groups=clusters, folds=folds)
    return {
        "fields": n_fields,
        "labels": n_labels,
        "seconds": time.perf_counter() - start,
        "peak_megabytes": peak_megabytes(),
        "peak_megabytes_before": before,
    }


def fields(data: Path) -> list[dict]:
    """Time the fit on 11,702, 35,000 and 105,000 fields."""
    return [_alone("grown", data, n, N_LABELS) for n in (11_702, 35_000, 105_000)]


def labels(data: Path) -> list[dict]:
    """Time the fit on 7, 14 and 28 labels."""
    return [_alone("grown", data, 11_702, n) for n in (7, 14, 28)]


def _alone(part: str, data: Path, *numbers: int) -> dict:
    """Run one measurement in a separate process, to measure its memory."""
    code = (
        "import json, sys; from pathlib import Path; from benchmarks import stack_speed; "
        "print(json.dumps(getattr(stack_speed, sys.argv[1])(Path(sys.argv[2]), "
        "*map(int, sys.argv[3:]))))"
    )
    words = [sys.executable, "-c", code, part, str(data), *map(str, numbers)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


PARTS = {"same_trees": same_trees, "command": command, "fields": fields, "labels": labels}


def main(data: Path = REAL_DATA, parts=tuple(PARTS)) -> None:
    for name in parts:
        found = PARTS[name](data) if name in ("fields", "labels") else _alone(name, data)
        rows = found if isinstance(found, list) else [found]
        print(f"stack speed, {name}:")
        for row in rows:
            print("   ", json.dumps(row, default=float))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    main(args.data, args.parts)
