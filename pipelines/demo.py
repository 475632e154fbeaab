"""The whole path on synthetic fields: from images to a submission and its true score."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy.special import expit

from hpastack.calibration import apply_thresholds, best_thresholds
from hpastack.catalogue import test_fields, training_fields
from hpastack.errors import InputError
from hpastack.labels import HPA_2018
from hpastack.metrics import macro_average_precision, macro_f1
from hpastack.stack import load_stack
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options
from pipelines._output import report, show
from pipelines._steps import run_step

_CNN = "cnn_small"
# Written into the workspace first: --overwrite removes a folder only where this stands.
_MARK = ".hpastack-demo"


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "demo",
        "Generate synthetic fields, prepare and cluster them, fine-tune a small CNN, extract "
        "features, stack, write a submission and a report; then compare the cross-validated scores "
        "with the true ones.",
        "--workspace demo",
    )
    add_options(parser, "--train", "--test", "--size", "--seed", train=1000, test=250, size=128)
    parser.add_argument(
        "--epochs", type=int, default=7, metavar="N", help="epochs of the CNN (default: 7)"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
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
            "--tail", 0.35, "--min-train-wells", _wells_per_label(args.train, 6),
            "--min-test-wells", _wells_per_label(args.test, 2), *shared,
        ),
        "prepare": run_step("prepare", fields, "--groups", fields / "groups.csv", *shared),
        "cluster": run_step("cluster", "--n-splits", 4, *shared),
        "finetune": run_step(
            "finetune", _CNN, "--set", f"epochs={args.epochs}", *shared
        ),
        "extract": run_step("extract", "handcrafted", *shared),
        "stack": run_step("stack", *shared),
        "report": run_step("report", workspace.models / "stack", *shared),
    }  # fmt: skip
    scores = _true_scores(workspace, fields / "test_truth.csv")
    show("\ncross-validated scores, and the scores on the true labels of the test fields:")
    show(scores.T.to_string(float_format="{:.3f}".format), wrapped=False)
    report(seconds=seconds, scores=scores.T.to_dict())
    show(_closing(workspace, seconds))


_CLOSING = """
{seconds}

What was made, in {root}/:
  synthetic/                 images, labels, wells, and the true labels of the test fields
  data/                      catalogue, near-duplicates, clusters, fold plan
  features/                  out-of-fold predictions of a small CNN, hand-crafted features
  models/                    the CNN of each fold, and the stack
  submissions/stack.csv      labels of the test fields
  reports/stack.html         the report: open it in a browser

What to look at:
  hpastack store --workspace {root}
  hpastack view {image_id} --workspace {root}
  hpastack review models/stack --workspace {root}

With your own data:
  prediction files           hpastack quickstack --help
  a folder of images         hpastack prepare --help, then hpastack run --route retrain --help
"""


def _closing(workspace: Workspace, seconds: dict[str, float]) -> str:
    """Return what was made, where, what to look at, and what to do next."""
    steps = ", ".join(f"{name} {time:.0f}" for name, time in seconds.items())
    return _CLOSING.format(
        seconds=f"{sum(seconds.values()):.0f} s: {steps}",
        root=workspace.root,
        image_id=test_fields(workspace.read_catalogue()).index[0],
    ).rstrip()


def _wells_per_label(n_fields: int, most: int) -> int:
    """Return in how many wells each label can occur."""
    # A well has about four fields, and two of the labels that are rare.
    return min(most, 2 * (n_fields // 5) // len(HPA_2018))


def _clear(root: Path, overwrite: bool) -> None:
    if root.exists() and any(root.iterdir()):
        if not (root / _MARK).is_file():
            raise InputError(f"{root} is not a demo's; choose another folder", "workspace")
        if not overwrite:
            raise InputError(f"{root} is an existing demo; pass overwrite=True", "overwrite")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).write_text("Made by hpastack demo; may be removed.\n", encoding="utf-8")


def _true_scores(workspace: Workspace, truth_file: Path) -> pd.DataFrame:
    """Return cross-validated and true scores of the CNN and of the stack."""
    catalogue = workspace.read_catalogue()
    train, test = training_fields(catalogue), test_fields(catalogue)
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
    columns = pd.concat(frames, axis=1)
    probabilities, labels = stack.predict_proba(columns).to_numpy(), stack.predict(columns)
    return pd.DataFrame(
        {
            "macro F1, cross-validated": [
                stack.comparison_.loc[_CNN, "macro_f1"], stack.cv_results_["macro_f1"]
            ],
            "macro F1, true": [
                macro_f1(y_test, predicted, absent="skip")
                for predicted in (cnn_labels, labels.to_numpy())
            ],
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
