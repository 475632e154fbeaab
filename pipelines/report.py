"""Write the HTML report of a fitted stack."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from hpastack.catalogue import training_fields
from hpastack.files import refuse_existing
from hpastack.folds import read_fold_plan
from hpastack.report.stack_report import write_report
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options


def make_parser() -> CommandParser:
    """Make the parser of the command."""
    parser = command_parser(
        "report",
        "Write reports/NAME.html, one page that needs nothing else: scores, labels, "
        "calibration and confusions of a fitted stack, and how it was made.",
        "models/stack",
    )
    add_options(parser, "model")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    model = args.model if args.model.is_dir() else workspace.root / args.model
    path = workspace.reports / f"{model.resolve().name}.html"
    refuse_existing(path, args.overwrite)
    catalogue = workspace.read_catalogue()
    train = training_fields(catalogue)
    vocabulary = workspace.vocabulary()
    y = pd.DataFrame(vocabulary.indicator(train["target"]), train.index, list(vocabulary))
    clusters = None
    if workspace.folds.is_file():
        clusters = read_fold_plan(workspace.folds).groups
    write_report(model, y, path, clusters=clusters, overwrite=args.overwrite)
    print(f"wrote {path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
