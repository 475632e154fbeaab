"""Generate a synthetic data set in the layout of the competition."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hpastack.errors import InputError
from hpastack.files import refuse_existing
from hpastack.pictures import contact_sheet, write_png
from hpastack.synthetic import check_folder, synthetic_dataset, write_dataset
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options
from pipelines._output import report, wrote


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "synthesize",
        "Generate labelled four-stain fields with wells, near-duplicates and cell lines, and write "
        "them in the layout of the competition: train/, test/, train.csv, sample_submission.csv. "
        "The true labels of the test fields are in test_truth.csv, wells and cell lines in "
        "groups.csv.",
        "data/synthetic --train 800 --test 200 --size 256",
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="folder to create")
    add_options(parser, "--train", "--test", "--size", "--seed", train=800, test=200, size=256)
    parser.parameter_options |= {"n_train": "--train", "n_test": "--test"}
    parser.add_argument(
        "--tail", type=float, default=1.0, metavar="X",
        help="imbalance of the labels: 1 the real long tail (default), 0 equally frequent labels",
    )  # fmt: skip
    for split in ("train", "test"):
        parser.add_argument(
            f"--min-{split}-wells", type=int, default=0, metavar="N",
            help=f"minimum number of {split} wells in which each label occurs (default: 0)",
        )  # fmt: skip
    parser.add_argument(
        "--duplicates", type=float, default=0.04, metavar="X",
        help="share of fields that are near-duplicates of training fields (default: 0.04)",
    )  # fmt: skip
    parser.add_argument(
        "--cell-line-shift", type=float, default=0.3, metavar="X",
        help="how much the cell lines of test and train differ, 0 to 1 (default: 0.3)",
    )  # fmt: skip
    parser.add_argument(
        "--contact-sheet", metavar="PNG",
        help="also draw one field per label on one picture; without DIR, draw only that",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    if args.folder is None and args.contact_sheet is None:
        raise InputError("nothing to do: pass a folder DIR or --contact-sheet PNG")
    sheet = args.workspace / args.contact_sheet if args.contact_sheet else None
    if sheet is not None:
        refuse_existing(sheet, args.overwrite)
    if args.folder is not None:
        folder = args.workspace / args.folder
        check_folder(folder, overwrite=args.overwrite)
        dataset = synthetic_dataset(
            args.train,
            args.test,
            size=args.size,
            seed=args.seed,
            tail=args.tail,
            min_train_wells=args.min_train_wells,
            min_test_wells=args.min_test_wells,
            duplicates=args.duplicates,
            cell_line_shift=args.cell_line_shift,
        )
        write_dataset(folder, dataset, overwrite=args.overwrite, jobs=args.jobs)
    if sheet is not None:
        write_png(sheet, contact_sheet(size=args.size, seed=args.seed))
        wrote(f"wrote a contact sheet of all labels to {sheet}", sheet)
    if args.folder is not None:
        wrote(f"wrote {args.train} training and {args.test} test fields to {folder}", folder)
        report(n_train=args.train, n_test=args.test)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
