"""Go all the way on synthetic fields: from drawing them to a submission and its true score."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy.special import expit

from hpastack.calibration import apply_thresholds, best_thresholds
from hpastack.catalogue import read_catalogue
from hpastack.errors import InputError
from hpastack.labels import HPA_2018
from hpastack.metrics import macro_average_precision, macro_f1
from hpastack.stack import load_stack
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._steps import run_step

_CNN = "cnn_small"
# Written into the workspace first: --overwrite removes a folder only where this stands.
_MARK = ".hpastack-demo"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    parser = command_parser(
        "demo",
        "Draw synthetic fields, prepare, cluster, fine-tune a small CNN, extract features, stack, "
        "submit, report; then compare the cross-validated score with the true one.",
        "python -m pipelines.demo --workspace demo",
    )
    parser.add_argument("--train", type=int, default=1200, metavar="N", help="training fields")
    parser.add_argument("--test", type=int, default=800, metavar="M", help="test fields")
    parser.add_argument("--size", type=int, default=128, metavar="S", help="their side in pixels")
    parser.add_argument("--epochs", type=int, metavar="N", help="of the CNN (default: its recipe)")
    parser.add_argument("--seed", type=int, default=0)
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    _clear(workspace.root, args.overwrite)
    fields = workspace.root / "synthetic"
    shared = ["--workspace", workspace.root]
    if args.jobs:
        shared += ["--jobs", args.jobs]
    seconds = {
        "synthesize": run_step(
            "synthesize", fields.resolve(), "--train", args.train, "--test", args.test,
            "--size", args.size, "--seed", args.seed,
            # A milder tail than the real one, or the rare labels of so few fields have no wells.
            "--tail", 0.35, "--min-train-wells", 6, "--min-test-wells", 2, *shared,
        ),
        "prepare": run_step("prepare", fields, "--groups", fields / "groups.csv", *shared),
        "cluster": run_step("cluster", "--n-splits", 4, *shared),
        "finetune": run_step(
            "finetune", _CNN, *(["--set", f"epochs={args.epochs}"] if args.epochs else []), *shared
        ),
        "extract": run_step(
            "extract", "handcrafted", "--set", f"size={args.size}", *shared
        ),
        "stack": run_step("stack", *shared),
        "report": run_step("report", workspace.models / "stack", *shared),
    }  # fmt: skip
    _print_scores(workspace, fields / "test_truth.csv")
    total = sum(seconds.values())
    print(f"{total:.0f} s: " + ", ".join(f"{name} {time:.0f}" for name, time in seconds.items()))
    print(f"wrote {workspace.root}/; look at {workspace.reports / 'stack.html'}")


def _clear(root: Path, overwrite: bool) -> None:
    if root.exists() and any(root.iterdir()):
        if not (root / _MARK).is_file():
            raise InputError(f"{root} holds something else than a demo; name another --workspace")
        if not overwrite:
            raise InputError(f"{root} holds a demo; give --overwrite to make it again")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).write_text("Made by python -m pipelines.demo; may be removed.\n")


def _print_scores(workspace: Workspace, truth_file: Path) -> None:
    catalogue = read_catalogue(workspace.catalogue)
    train, test = (catalogue[catalogue["split"] == split] for split in ("train", "test"))
    truth = pd.read_csv(truth_file, dtype=str).set_index("Id")["Target"].loc[test.index]
    y_train, y_test = HPA_2018.indicator(train["target"]), HPA_2018.indicator(truth)
    with open_store(workspace.store(_CNN)) as store:
        cnn_train, cnn_test = (
            expit(store.to_frame(part.index).to_numpy(dtype=float)) for part in (train, test)
        )
    cnn_labels = apply_thresholds(cnn_test, best_thresholds(y_train, cnn_train))

    stack = load_stack(workspace.models / "stack")
    with_test = [workspace.store(name) for name in (_CNN, "handcrafted")]
    frames = []
    for path in with_test:
        with open_store(path) as store:
            frames.append(store.to_frame(test.index))
    probabilities = stack.predict_proba(pd.concat(frames, axis=1)).to_numpy()
    labels = apply_thresholds(probabilities, stack.thresholds_)
    table = pd.DataFrame(
        {
            "macro F1, cross-validated": [
                stack.comparison_.loc[_CNN, "macro_f1"], stack.cv_results_["macro_f1"]
            ],
            "macro F1, true": [macro_f1(y_test, cnn_labels), macro_f1(y_test, labels)],
            "macro AP, cross-validated": [
                stack.comparison_.loc[_CNN, "macro_ap"], stack.cv_results_["macro_ap"]
            ],
            "macro AP, true": [
                macro_average_precision(y_test, cnn_test),
                macro_average_precision(y_test, probabilities),
            ],
        },
        index=["CNN alone", "stack"],
    )  # fmt: skip
    print("\nwhat cross-validation promised and the test fields deliver:")
    print(table.T.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    raise SystemExit(main())
