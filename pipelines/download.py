"""Download images of the Human Protein Atlas."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpastack.download import (
    FAILED_TABLE,
    HPA_URL,
    check_template,
    download_fields,
    read_field_ids,
    stain_files,
)
from hpastack.errors import counted
from hpastack.fields import STAINS
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import SKIPPED, add_options
from pipelines._output import answer, report, warn, wrote


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "download",
        "Download the listed fields of the Human Protein Atlas, one file per stain, to "
        "FOLDER/<antibody>/<plate>_<well>_<field>_<stain>.jpg. A file is kept only if it is "
        "complete, decodable and has its stain's colour; existing complete files are not "
        "downloaded again, except with --overwrite. Files that could not be downloaded are listed "
        f"in FOLDER/{FAILED_TABLE}.",
        "ids.csv hpa --workspace work",
        jobs=4,
    )
    parser.add_argument(
        "ids", type=Path, metavar="IDS",
        help="CSV with the ids in a column Id or image_id: <antibody>_<plate>_<well>_<field>",
    )  # fmt: skip
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder for the files, relative to the workspace",
    )  # fmt: skip
    parser.add_argument(
        "--url", default=HPA_URL, metavar="TEMPLATE",
        help="address of a file, with placeholders for antibody, plate, well, field and stain "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--stains", nargs="+", choices=STAINS, default=list(STAINS), metavar="STAIN",
        help=f"stains to download, of {', '.join(STAINS)} (default: all)",
    )  # fmt: skip
    add_options(parser, "--limit", "--on-error", on_error="skip")
    parser.add_argument(
        "--rate", type=float, default=5.0, metavar="N",
        help="maximum number of requests per second, all jobs together (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--retries", type=int, default=5, metavar="N",
        help="number of further requests for a file after a temporary failure "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS",
        help="time without any data after which a request fails (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="download nothing; only print what would be downloaded",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command with parsed options."""
    check_template(args.url)
    image_ids = read_field_ids(args.ids)[: args.limit]
    folder = args.workspace / args.folder
    if args.dry_run:
        first = next(stain_files(image_ids, folder, args.url, args.stains))
        answer(
            f"{len(image_ids) * len(args.stains):,} files of {counted(len(image_ids), 'field')}, "
            f"the first {first.url} as {first.path}"
        )
        return 0
    download = download_fields(
        image_ids, folder, url=args.url, stains=args.stains, jobs=args.jobs, rate=args.rate,
        retries=args.retries, timeout=args.timeout, overwrite=args.overwrite,
        on_error=args.on_error,
    )  # fmt: skip
    if download.failures:
        failed = folder / FAILED_TABLE
        warn(f"failed: {counted(len(download.failures), 'file')}, listed in {failed}")
    wrote(
        f"{folder}: {download.n_complete:,} of {counted(download.n_fields, 'field')} complete; "
        f"fetched {counted(download.n_fetched, 'file')} ({download.n_bytes / 1e6:,.1f} MB), "
        f"{download.n_there:,} there already",
        *([folder] if download.n_fetched else []),
    )
    report(
        n_fields=download.n_fields, n_complete=download.n_complete, n_fetched=download.n_fetched,
        n_there=download.n_there, n_failed=len(download.failures), n_bytes=download.n_bytes,
    )  # fmt: skip
    return SKIPPED if download.failures else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
