"""Check image files and tables of labels; write the catalogue of a workspace; pack its fields."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpastack.catalogue import (
    DEFAULT_SOURCE,
    LABEL_TABLES,
    TEST_TABLE,
    collect_fields,
    combine_fields,
    correct_targets,
    join_groups,
    list_fields,
    publish_text,
    read_catalogue,
    write_catalogue,
)
from hpastack.errors import InputError, shorten
from hpastack.images import BadField, check_fields
from hpastack.labels import Vocabulary
from hpastack.multichannel import parse_channels
from hpastack.packing import pack_fields
from hpastack.workspace import Workspace
from pipelines._command import SKIPPED, _positive, command_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = command_parser(
        "prepare",
        "Check every image file and write data/catalogue.csv. IMAGES is a folder with files\n"
        "named <Id>_<red|green|blue|yellow>.png (or .jpg, .tif), or <Id>.tif (.ome.tif) with the\n"
        "stains as channels; in it or in folders within it; other files are passed over. Or it\n"
        "is a CSV file with the columns image_id, red, green, blue, yellow and, if known,\n"
        "target, split and groups.",
        "python -m pipelines.prepare human-protein-atlas --workspace work",
    )
    parser.add_argument(
        "images", type=Path, metavar="IMAGES", nargs="?",
        help="folder, or table with paths; left out with --labels: fields without images, for "
        "work with predictions made elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, metavar="CSV",
        help=f"labels of the training fields, Id,Target (default: {' or '.join(LABEL_TABLES)} "
        "in IMAGES, if there)",
    )  # fmt: skip
    parser.add_argument(
        "--test", type=Path, metavar="CSV",
        help=f"ids of the test fields in their order (default: {TEST_TABLE} in IMAGES, if there; "
        "else every field without labels)",
    )  # fmt: skip
    parser.add_argument(
        "--groups", type=Path, metavar="CSV",
        help="Id and columns that say what belongs together: well, plate, antibody, cell line",
    )  # fmt: skip
    parser.add_argument(
        "--corrections", type=Path, metavar="CSV", help="Id,Target: labels to use instead"
    )
    parser.add_argument(
        "--extra", type=Path, metavar="DIR_OR_CSV", action="append", default=[],
        help="more training fields: a folder with its own table of labels, or a table with paths; "
        "may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--channels", metavar="STAIN=PLANE,...",
        help="which plane of a TIFF with several is which stain, counted from 0, or the name of "
        "its channel: red=0,green=1,blue=2,yellow=3 (default: by the names in the file)",
    )  # fmt: skip
    parser.add_argument(
        "--source", default=DEFAULT_SOURCE, metavar="NAME",
        help="what to call IMAGES in the catalogue; extra fields are called after their folder or "
        "table (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--vocabulary", type=Path, metavar="FILE",
        help="label names, one a line in the order of their ids; kept as data/vocabulary.txt "
        "(default: that file if there, else the 28 of HPA 2018)",
    )  # fmt: skip
    parser.add_argument(
        "--on-error", choices=("raise", "skip"), default="raise",
        help="stop at bad files, or set their fields aside, list them in data/bad_files.csv and "
        f"leave with status {SKIPPED} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--pack", type=_positive, metavar="SIZE",
        help="also decode every field once, into data/fields.h5, at this longer side in pixels: "
        "networks then read them from there. Without IMAGES: the fields of the catalogue that is "
        "there; goes on where it was stopped",
    )  # fmt: skip
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    workspace = Workspace(args.workspace)
    if args.pack is None:
        return _prepare(args, workspace)
    status = 0
    if args.images is not None:
        status = _prepare(args, workspace)
    elif any((
        args.labels, args.test, args.groups, args.corrections, args.extra, args.vocabulary,
        args.channels,
    )):  # fmt: skip
        raise InputError("--pack needs images: name IMAGES, or give no other option with it")
    place = workspace.require(workspace.catalogue, "python -m pipelines.prepare IMAGES")
    packed = pack_fields(
        workspace.packed, read_catalogue(place), args.pack, threads=args.jobs,
        overwrite=args.overwrite,
    )  # fmt: skip
    print(
        f"packed {len(packed)} fields at {packed.size} px: {packed.path} "
        f"({packed.path.stat().st_size / 1e9:.3f} GB)"
    )
    return status


def _prepare(args: argparse.Namespace, workspace: Workspace) -> int:
    bad_files = workspace.data / "bad_files.csv"
    _refuse_existing([workspace.catalogue, bad_files], args.overwrite)
    vocabulary = workspace.vocabulary()
    if args.vocabulary is not None:
        vocabulary = Vocabulary.read(args.vocabulary)
        if vocabulary != workspace.vocabulary():
            _refuse_existing([workspace.vocabulary_file], args.overwrite)
    _refuse_unwritable(workspace.data)

    fields = _collect(args, vocabulary)
    facts: pd.DataFrame = fields[[]]
    bad: list[BadField] = []
    if args.images is not None:
        facts, bad = check_fields(fields, threads=args.jobs)
    if bad and args.on_error == "raise":
        others = f" (bad fields besides: {len(bad) - 1})" if len(bad) > 1 else ""
        raise InputError(f"{_describe(bad[0])}{others}; --on-error skip sets bad fields aside")
    if not len(facts):
        raise InputError(f"no good field; the first of {len(bad)} bad ones: {_describe(bad[0])}")
    catalogue = fields.loc[facts.index].join(facts)

    if args.vocabulary is not None:
        publish_text(workspace.vocabulary_file, "".join(f"{name}\n" for name in vocabulary))
    if bad:
        table = pd.DataFrame(bad, columns=["image_id", "file", "reason"])
        publish_text(bad_files, table.to_csv(index=False, lineterminator="\n"))
        lost = [item.image_id for item in bad if fields.loc[item.image_id, "split"] == "test"]
        print(f"set aside {len(bad)} of {len(fields)} fields, listed in {bad_files}")
        if lost:
            print(f"test fields among them, which the submission will lack: {shorten(lost)}")
    else:
        bad_files.unlink(missing_ok=True)
    write_catalogue(workspace.catalogue, catalogue, workspace.root)
    n_train = int((catalogue["split"] == "train").sum())
    print(
        f"wrote {workspace.catalogue}: {n_train} training fields, "
        f"{len(catalogue) - n_train} test fields"
    )
    return SKIPPED if bad else 0


def _collect(args: argparse.Namespace, vocabulary: Vocabulary) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    if args.images is None:
        if args.labels is None or args.extra:
            raise InputError("name a folder of IMAGES; only --labels and --test can do without")
        parts.append(list_fields(args.labels, args.test, vocabulary=vocabulary, source=args.source))
    places = [] if args.images is None else [(args.images, args.source)]
    for place, source in [*places, *((p, _name(p)) for p in args.extra)]:
        is_extra = bool(parts)
        found = collect_fields(
            place, None if is_extra else args.labels, None if is_extra else args.test,
            vocabulary=vocabulary, source=source, training_only=is_extra,
            channels=None if args.channels is None else parse_channels(args.channels),
        )  # fmt: skip
        if found.left_out:
            print(
                f"left out, because no table names them: {len(found.left_out)} of the fields in "
                f"{place} ({shorten(found.left_out, 3)})"
            )
        parts.append(found.fields)
    fields = combine_fields(*parts)
    if args.corrections is not None:
        fields, n_changed = correct_targets(fields, args.corrections, vocabulary)
        print(f"corrected labels after {args.corrections}: {n_changed} of {len(fields)} fields")
    if args.groups is not None:
        fields, names = join_groups(fields, args.groups)
        for name in names:
            n_known = int((fields[name] != "").sum())
            print(f"group {name}: known for {n_known} of {len(fields)} fields")
    return fields


def _name(place: Path) -> str:
    return place.absolute().stem if place.is_file() else place.absolute().name


def _describe(bad: BadField) -> str:
    return f"field {bad.image_id}: " + (f"{bad.file}: " if bad.file else "") + bad.reason


def _refuse_existing(paths: list[Path], overwrite: bool) -> None:
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]} exists already; --overwrite replaces it")


def _refuse_unwritable(folder: Path) -> None:
    # Checking the files takes long: a folder that cannot be written is said first.
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryDirectory(dir=place).cleanup()
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {place}: {error.strerror}") from None


if __name__ == "__main__":
    raise SystemExit(main())
