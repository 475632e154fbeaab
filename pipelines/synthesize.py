"""Draw a synthetic data set in the competition's layout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2

from hpastack.errors import InputError
from hpastack.synthetic import check_folder, contact_sheet, synthetic_dataset, write_dataset
from pipelines._command import command_parser, run_command


def main(argv=None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status.
    """
    parser = command_parser(
        "synthesize",
        "Draw labelled four-stain fields, with wells, near-duplicates and cell lines, and write "
        "them as the competition did: train/, test/, train.csv, sample_submission.csv. The truth "
        "of the test fields goes into test_truth.csv, wells and cell lines into groups.csv.",
        "python -m pipelines.synthesize data/synthetic --train 800 --test 200 --size 256",
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="folder to make")
    parser.add_argument("--train", type=int, default=800, metavar="N", help="training fields")
    parser.add_argument("--test", type=int, default=200, metavar="N", help="test fields")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of a field")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--tail", type=float, default=1.0, metavar="X",
        help="how uneven labels are: 1 the real long tail (default), 0 all alike",
    )  # fmt: skip
    for split in ("train", "test"):
        parser.add_argument(
            f"--min-{split}-wells", type=int, default=0, metavar="N",
            help=f"wells of {split} in which each label must at least stand (default: 0)",
        )  # fmt: skip
    parser.add_argument(
        "--duplicates", type=float, default=0.04, metavar="X",
        help="share of near-duplicates of training fields (default: 0.04)",
    )  # fmt: skip
    parser.add_argument(
        "--cell-line-shift", type=float, default=0.3, metavar="X",
        help="how much the cell lines of test differ from train, 0 to 1 (default: 0.3)",
    )  # fmt: skip
    parser.add_argument(
        "--contact-sheet", metavar="PNG",
        help="also draw a field of every label on one picture; alone, draw only that",
    )  # fmt: skip
    return run_command(parser, _run, argv)


def _run(args) -> None:
    if args.folder is None and args.contact_sheet is None:
        raise InputError("nothing to do: name a folder to make, or --contact-sheet PNG")
    sheet = args.workspace / args.contact_sheet if args.contact_sheet else None
    if sheet is not None and sheet.exists() and not args.overwrite:
        raise InputError(f"{sheet}: exists; choose another name or add --overwrite")
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
        write_dataset(
            folder, dataset, overwrite=args.overwrite, n_jobs=args.jobs or -1, progress=True
        )
    if sheet is not None:
        _write_sheet(sheet, contact_sheet(size=args.size, seed=args.seed))
        print(f"wrote a contact sheet of all labels to {sheet}")
    if args.folder is not None:
        print(f"wrote {args.train} training and {args.test} test fields to {folder}")


def _write_sheet(path: Path, sheet) -> None:
    _, encoded = cv2.imencode(".png", sheet[..., ::-1])
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(encoded.tobytes())
    os.replace(partial, path)


if __name__ == "__main__":
    sys.exit(main())
