"""Measure the intensity statistics of each stain."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hpastack.errors import counted
from hpastack.fields import stain_statistics
from hpastack.files import atomic_write, refuse_existing
from hpastack.files.text_table import text_table
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options, positive
from pipelines._output import report, show, table_width, wrote


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "statistics",
        "Measure mean, standard deviation, percentiles and the share of saturated pixels of each "
        "stain over all fields, and write them to data/stains.csv, which a recipe of embeddings "
        "can use as its statistics.",
        "--size 512",
    )
    parser.add_argument(
        "--size", type=positive, metavar="PIXELS",
        help="longer side to which fields are resized first (default: not resized)",
    )  # fmt: skip
    add_options(parser, "--limit")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    path = workspace.stain_statistics
    refuse_existing(path, args.overwrite)
    catalogue = workspace.read_catalogue().head(args.limit)
    table = stain_statistics(catalogue, args.size, jobs=args.jobs)
    with atomic_write(path) as temporary:
        table.to_csv(temporary, lineterminator="\n")
    columns = {
        str(name): [f"{value:.4f}" for value in table[name]]
        for name in table.drop(columns="n_fields")
    }
    show(text_table(list(table.index), columns, table_width(), "stain"))
    wrote(f"{path}: {counted(len(catalogue), 'field')}", path)
    report(n_fields=len(catalogue), stains=table.T.to_dict())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
