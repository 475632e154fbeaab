"""Write the HTML report of a fitted stack."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpastack.catalogue import training_fields
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import find_packed
from hpastack.files import refuse_existing
from hpastack.folds import read_fold_plan
from hpastack.pictures import Thumbnails
from hpastack.report.embedded import PICTURE_QUALITY, PICTURE_SIZE
from hpastack.report.stack_report import write_report
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options
from pipelines._output import warn, wrote

#: Properties of a workspace whose files and folders the sections show, if they exist.
_PLACES = (
    "clusters", "pairs", "disagreements", "leaks", "folds", "domains", "domain_map", "features",
    "models", "submissions", "reports",
)  # fmt: skip


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "report",
        "Write reports/NAME.html, a self-contained page: scores of a fitted stack and of its "
        "parts, each label with its curves and with correctly and wrongly predicted fields, the "
        "data, and how the stack was made.",
        "models/stack --compare models/without_features",
    )
    add_options(parser, "model")
    parser.add_argument("--compare", nargs="+", type=Path, default=[], metavar="MODEL",
                        help="other stacks of the same fields, for the leaderboard")  # fmt: skip
    parser.add_argument("--pictures", type=int, metavar="N",
                        help="maximum number of pictures of fields; 0 for none "
                        "(default: 400, or as many as fit in 4.5 MB)")  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    if args.pictures is not None and args.pictures < 0:
        raise InputError(f"--pictures is {args.pictures}; it must be at least 0")
    workspace = Workspace(args.workspace)
    model, *rivals = (
        path if path.is_dir() else workspace.root / path for path in (args.model, *args.compare)
    )
    path = workspace.reports / f"{model.resolve().name}.html"
    refuse_existing(path, args.overwrite)
    catalogue = workspace.read_catalogue()
    train = training_fields(catalogue)
    vocabulary = workspace.vocabulary()
    y = pd.DataFrame(vocabulary.indicator(train["target"]), train.index, list(vocabulary))
    clusters = None
    if workspace.folds.is_file():
        clusters = read_fold_plan(workspace.folds).groups
    thumbnails = Thumbnails(
        catalogue, packed=find_packed(workspace.packed), size=PICTURE_SIZE, quality=PICTURE_QUALITY
    )
    places = {name: getattr(workspace, name) for name in _PLACES}
    write_report(
        model,
        y,
        path,
        clusters=clusters,
        catalogue=catalogue,
        compare=rivals,
        thumbnails=thumbnails,
        n_pictures=args.pictures,
        places={name: place for name, place in places.items() if place.exists()},
        jobs=args.jobs,
        overwrite=args.overwrite,
    )
    if thumbnails.faults:
        first = next(iter(thumbnails.faults.values()))
        warn(
            f"no pictures of {counted(len(thumbnails.faults), 'field')}, whose files cannot be "
            f"read: {shorten(thumbnails.faults)} ({first})"
        )
    wrote(f"wrote {path}", path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
