"""Measure how bright each stain of the fields is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hpastack.catalogue import read_catalogue
from hpastack.errors import InputError
from hpastack.fields import stain_statistics
from hpastack.files import published
from hpastack.workspace import Workspace
from pipelines._command import _positive, command_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    parser = command_parser(
        "statistics",
        "Measure mean, sd, percentiles and saturated pixels of each stain over every field, into "
        "data/stains.csv. A recipe of embeddings takes it as its statistics.",
        "python -m pipelines.statistics --size 512",
    )
    parser.add_argument(
        "--size", type=_positive, metavar="PIXELS",
        help="longer side of the fields when measured (default: as they are)",
    )  # fmt: skip
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N fields")
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    place = workspace.require(workspace.catalogue, "python -m pipelines.prepare IMAGES")
    path = workspace.stain_statistics
    if path.exists() and not args.overwrite:
        raise InputError(f"{path} exists; give --overwrite to replace it")
    catalogue = read_catalogue(place).head(args.limit)
    table = stain_statistics(catalogue, args.size, threads=args.jobs)
    with published(path) as temporary:
        table.to_csv(temporary, lineterminator="\n")
    print(table.drop(columns="n_fields").round(5).to_string())
    print(f"{path}: {len(catalogue):,} fields")


if __name__ == "__main__":
    raise SystemExit(main())
