"""Write the HTML report of a fitted stack."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpastack.catalogue import read_catalogue
from hpastack.errors import InputError
from hpastack.folds import read_fold_plan
from hpastack.report.stack_report import write_report
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    parser = command_parser(
        "report",
        "Write reports/NAME.html, one page that needs nothing else: scores, labels, "
        "calibration and confusions of a fitted stack, and how it was made.",
        "python -m pipelines.report models/stack",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="folder of a stack, here or in the workspace"
    )
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    model = args.model if args.model.is_dir() else workspace.root / args.model
    path = workspace.reports / f"{model.resolve().name}.html"
    if path.exists() and not args.overwrite:
        raise InputError(f"{path} exists; give --overwrite to replace it")
    catalogue = read_catalogue(
        workspace.require(workspace.catalogue, "python -m pipelines.prepare")
    )
    train = catalogue[catalogue["split"] == "train"]
    vocabulary = workspace.vocabulary()
    y = pd.DataFrame(vocabulary.indicator(train["target"]), train.index, list(vocabulary))
    clusters = None
    if workspace.folds.is_file():
        clusters = read_fold_plan(workspace.folds).frame["cluster"]
    write_report(model, y, path, clusters=clusters, overwrite=args.overwrite, verbose=True)
    print(f"wrote {path}")


if __name__ == "__main__":
    raise SystemExit(main())
