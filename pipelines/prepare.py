"""Check image files and label tables, write the catalogue of a workspace, pack its fields."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from hpastack.catalogue import (
    COLUMNS,
    DEFAULT_SOURCE,
    DROPPED,
    LABEL_TABLES,
    NOT_ASKED_FOR,
    TEST_TABLES,
    Change,
    changes_text,
    collect_fields,
    combine_fields,
    correct_targets,
    fill_groups,
    fill_pixel_sizes,
    join_groups,
    join_spellings,
    list_fields,
    parse_pixel_size,
    scale_by_depth,
    training_fields,
    write_catalogue,
)
from hpastack.catalogue.collecting import has_paths
from hpastack.catalogue.folders import all_files
from hpastack.catalogue.patterns import SCHEMES, NamedFiles, find_named_files, fits_pattern
from hpastack.catalogue.table import OPTIONAL_COLUMNS, part_of_stains
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import FORMATS, STAINS, BadField, pack_fields, parse_channels
from hpastack.fields.checking import Inspection, inspect_fields
from hpastack.fields.levels import parse_bits
from hpastack.fields.multichannel import unknown_planes
from hpastack.fields.paths import PIXEL_SIZE
from hpastack.fields.stains import parse_stains
from hpastack.files import publish_text, read_id_table, refuse_existing
from hpastack.labels import Locations, Vocabulary, read_locations
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import SKIPPED, add_options, positive
from pipelines._output import report, show, warn, wrote


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    ending, *others = (image_format.SUFFIXES[0] for image_format in FORMATS.values())
    parser = command_parser(
        "prepare",
        "Check every image file and write data/catalogue.csv. IMAGES is a folder with files named "
        f"<Id>_<red|green|blue|yellow>{ending} (or {', '.join(others)}), as in the competition and "
        "the Human Protein Atlas, or <Id>.tif (.ome.tif) with the stains as channels; subfolders "
        "are searched, other files ignored. Or IMAGES is a CSV file with the columns image_id, "
        "red, green, blue, yellow and, if known, target, split and groups. Fields that were "
        "dropped or got other labels are listed in data/changes.csv, with the reason.",
        "human-protein-atlas --workspace work",
    )
    parser.add_argument(
        "images", type=Path, metavar="IMAGES", nargs="*",
        help="one or more folders, or one table with paths; omit it with --labels for fields "
        "without images, to work with predictions made elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, metavar="CSV",
        help="labels of the training fields: Id,Target, or one column of 0 and 1 per label; "
        "other columns are groups (default: "
        f"{', '.join(LABEL_TABLES)} in IMAGES, or next to a folder named like train)",
    )  # fmt: skip
    parser.add_argument(
        "--test", type=Path, metavar="CSV", action="append", default=[],
        help="ids of the test fields, in the order of the submission; can be repeated (default: "
        f"{TEST_TABLES[0]}, or that of a stage, in IMAGES or next to a folder named like test; "
        "otherwise every field without labels)",
    )  # fmt: skip
    parser.add_argument(
        "--groups", type=Path, metavar="CSV",
        help="table of groups: Id and columns such as well, plate, antibody, cell line",
    )  # fmt: skip
    parser.add_argument(
        "--drop-unlabelled", action="store_true",
        help="drop fields without a label in a table of labels (default: an error)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-spellings", action="store_true",
        help="keep group values separate that differ only in case, separators, date format, .0, "
        "leading zeros or HPA before the number of an antibody (default: they are merged, and "
        "listed)",
    )  # fmt: skip
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="CSV",
        help="Id,Target: labels that replace those of the tables",
    )
    parser.add_argument(
        "--extra", type=Path, metavar="DIR_OR_CSV", action="append", default=[],
        help="more training fields: a folder with its own table of labels, a table of labels in "
        "the folder of its images, or a table with paths; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--locations", type=Path, metavar="CSV",
        help="name,label: the labels that additional location names stand for, for tables with "
        "labels by name",
    )  # fmt: skip
    parser.add_argument(
        "--channels", metavar="STAIN=N", nargs="*", default=[],
        help="number (from 0) or channel name of each stain in a TIFF with several planes: "
        "red=0,green=1,blue=2,yellow=3 (default: by the names in the file); with --pattern, the "
        "value of {channel}",
    )  # fmt: skip
    parser.add_argument(
        "--pattern", metavar="NAME",
        help="pattern of file names, for IMAGES and each --extra that matches it, such as "
        f"'{{plate}}_{{well}}_{{field}}_w{{channel}}.tif', where {{}} matches anything, or "
        f"{', '.join(SCHEMES)}; it can include folders, separated by /. The result is shown for "
        "the first fields",
    )  # fmt: skip
    parser.add_argument(
        "--stains", metavar="STAIN", nargs="*", default=[],
        help="stains of the fields, if not all four, such as: red green blue",
    )  # fmt: skip
    parser.add_argument(
        "--bits", default="auto", metavar="auto|N",
        help="number of bits that the values in 16-bit files use, 8 to 16: a 12-bit camera writes "
        "values up to 4095 (default: detected for IMAGES and each --extra, and printed)",
    )  # fmt: skip
    parser.add_argument(
        "--pixel-size", metavar="MICROMETRES",
        help="size of a pixel of the files, for scale bars (default: from OME-XML in the files or "
        "the column pixel_size of a table with paths)",
    )  # fmt: skip
    parser.add_argument(
        "--source", default=DEFAULT_SOURCE, metavar="NAME",
        help="source of IMAGES in the catalogue; that of extra fields is the name of their folder "
        "or table (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--vocabulary", type=Path, metavar="FILE",
        help="label names, one per line in the order of their ids; copied to data/vocabulary.txt "
        "(default: that file if it exists, otherwise the 28 labels of HPA 2018)",
    )  # fmt: skip
    add_options(parser, "--on-error")
    parser.add_argument(
        "--pack", type=positive, metavar="SIZE",
        help="also write every field, decoded, to data/fields.h5 with this longer side in pixels, "
        "for networks to read; without IMAGES, pack the fields of the existing catalogue, or "
        "resume an interrupted run",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command with parsed options."""
    # These two options take all words up to the next option, including IMAGES after them.
    places = [word for word in args.channels if "=" not in word and Path(word).exists()]
    places += [word for word in args.stains if word not in STAINS and Path(word).exists()]
    args.images += map(Path, places)
    args.channels = [word for word in args.channels if word not in places]
    args.stains = [word for word in args.stains if word not in places]
    workspace = Workspace(args.workspace)
    if args.pack is None:
        return _prepare(args, workspace)
    status = 0
    if args.images:
        status = _prepare(args, workspace)
    elif any((
        args.labels, args.test, args.groups, args.corrections, args.extra, args.vocabulary,
        args.locations, args.channels, args.bits != "auto", args.stains,
        args.pattern, args.pixel_size,
    )):  # fmt: skip
        raise InputError("--pack with other options needs IMAGES; add IMAGES or omit the options")
    packed = pack_fields(
        workspace.packed, workspace.read_catalogue(), args.pack, jobs=args.jobs,
        overwrite=args.overwrite,
    )  # fmt: skip
    wrote(
        f"packed {counted(len(packed), 'field')} at {packed.size} px: {packed.path} "
        f"({packed.path.stat().st_size / 1e9:.3f} GB)",
        packed.path,
    )
    return status


def _prepare(args: argparse.Namespace, workspace: Workspace) -> int:
    changes_file = workspace.changes
    # Existing changes alone are no error: a run killed before writing its catalogue leaves them.
    refuse_existing(workspace.catalogue, args.overwrite)
    vocabulary = workspace.vocabulary()
    if args.vocabulary is not None:
        vocabulary = Vocabulary.read(args.vocabulary)
        if vocabulary != workspace.vocabulary():
            refuse_existing(workspace.vocabulary_file, args.overwrite)
    _reject_unwritable(workspace.data)

    bits = parse_bits(args.bits)
    size = None if args.pixel_size is None else parse_pixel_size(args.pixel_size)
    if size is not None and not args.images:
        raise InputError("--pixel-size needs IMAGES")
    fields, changes = _collect(args, vocabulary)
    found = Inspection(fields[[]], [], {}, {})
    if args.images:
        found = inspect_fields(fields, jobs=args.jobs)
    facts, bad = found.facts, found.bad
    if bad and args.on_error == "raise":
        others = f" (further bad fields: {len(bad) - 1})" if len(bad) > 1 else ""
        raise InputError(f"{_describe(bad[0])}{others}; --on-error skip drops bad fields")
    if not len(facts):
        raise InputError(f"all fields are bad; the first of {len(bad)}: {_describe(bad[0])}")
    catalogue = fields.loc[facts.index].join(facts)
    if args.images:
        depths = scale_by_depth(catalogue, found.levels, bits)
        catalogue = depths.catalogue
        for message in depths.messages:
            show(message)
        for warning in depths.warnings:
            warn(warning)

    catalogue = fill_pixel_sizes(catalogue, found.pixel_sizes, size)
    if PIXEL_SIZE in catalogue:
        known = catalogue[PIXEL_SIZE].dropna()
        sizes = " to ".join(f"{size:g}" for size in sorted({known.min(), known.max()}))
        n_fields = counted(len(catalogue), "field")
        show(f"pixel size: {sizes} µm, known for {len(known):,} of {n_fields}")

    if args.vocabulary is not None:
        publish_text(workspace.vocabulary_file, "".join(f"{name}\n" for name in vocabulary))
    if bad:
        lost = [item.image_id for item in bad if fields.loc[item.image_id, "split"] == "test"]
        show(f"dropped {len(bad)} of {counted(len(fields), 'field')} because of bad files")
        if lost:
            show(f"test fields among them, which the submission will lack: {shorten(lost)}")
    changes = _final_changes(changes, bad, fields)
    if changes:
        publish_text(changes_file, changes_text(changes))
        n_dropped = sum(change.change == DROPPED for change in changes)
        wrote(
            f"wrote {changes_file}: {counted(n_dropped, 'field')} dropped, "
            f"{counted(len(changes) - n_dropped, 'change of labels', 'changes of labels')}",
            changes_file,
        )
    else:
        changes_file.unlink(missing_ok=True)
    write_catalogue(workspace.catalogue, catalogue, workspace.root)
    n_train = len(training_fields(catalogue))
    wrote(
        f"wrote {workspace.catalogue}: {counted(n_train, 'training field')}, "
        f"{counted(len(catalogue) - n_train, 'test field')}",
        workspace.catalogue,
    )
    report(
        n_train=n_train, n_test=len(catalogue) - n_train, n_bad=len(bad), n_changes=len(changes),
    )  # fmt: skip
    return SKIPPED if bad else 0


def _collect(args: argparse.Namespace, vocabulary: Vocabulary) -> tuple[pd.DataFrame, list[Change]]:
    more = {} if args.locations is None else read_locations(args.locations)
    try:
        locations = Locations(vocabulary, more)
    except InputError as error:
        raise InputError(f"{args.locations}: {error}") from None
    if not args.images and args.labels is None:
        raise InputError("IMAGES is missing; only --labels and --test work without it")
    parts: list[pd.DataFrame] = []
    changes: list[Change] = []
    stains = parse_stains(" ".join(args.stains)) if args.stains else STAINS
    channels = parse_channels(",".join(args.channels), stains) if args.channels else None
    if args.pattern is not None and not all(place.is_dir() for place in args.images or [Path("")]):
        raise InputError("--pattern needs folders as IMAGES")
    unmapped = Counter[str]()
    for place, source in [(None, args.source), *((path, _name(path)) for path in args.extra)]:
        is_extra = place is not None
        if args.images:
            named = _named(args, place, channels, stains)
            found = collect_fields(
                place or args.images, None if is_extra else args.labels,
                [] if is_extra else args.test, locations=locations, source=source,
                training_only=is_extra, channels=channels, drop_unlabelled=args.drop_unlabelled,
                by_pattern=named, stains=stains,
            )  # fmt: skip
        else:
            if is_extra and place.is_dir():
                raise InputError(f"{place}: without IMAGES, --extra needs a table of labels")
            found = list_fields(
                place or args.labels, [] if is_extra else args.test, locations=locations,
                source=source, drop_unlabelled=args.drop_unlabelled,
            )  # fmt: skip
        parts.append(found.fields)
        changes += found.changes
        unmapped += found.unmapped
    if len(stains) < len(STAINS):
        parts = [part_of_stains(part, stains) for part in parts]
    fields = combine_fields(*parts)
    for warning in unknown_planes(fields[[*stains]].to_numpy()):
        warn(warning)
    changes = _first_changes(changes, fields)
    if unmapped:
        names = [f"{name} ({count})" for name, count in unmapped.most_common()]
        shown = "; ".join(names)
        show(f"names of locations without a label (number of fields in brackets): {shown}")
    dropped = [change for change in changes if change.change == DROPPED]
    unnamed = [change.image_id for change in dropped if change.reason == NOT_ASKED_FOR]
    unlabelled = [change.image_id for change in dropped if change.reason != NOT_ASKED_FOR]
    for ids, why in ((unnamed, "not in any table"), (unlabelled, "without any label")):
        if ids:
            show(f"dropped, {why}: {counted(len(ids), 'field')} ({shorten(ids, 3)})")
    if args.corrections is not None:
        fields, corrected = correct_targets(fields, args.corrections, locations=locations)
        changes += corrected
        show(
            f"labels corrected by {args.corrections}: {len(corrected)} of "
            f"{counted(len(fields), 'field')}"
        )
    if args.groups is not None:
        fields, _ = join_groups(fields, args.groups)
    fields, notes = join_spellings(fill_groups(fields), visible=not args.keep_spellings)
    for text in notes:
        show(text)
    for name in [name for name in fields.columns if name not in (*COLUMNS, *OPTIONAL_COLUMNS)]:
        n_known = int((fields[name] != "").sum())
        show(f"group {name}: known for {n_known} of {counted(len(fields), 'field')}")
    return fields, changes


def _named(
    args: argparse.Namespace,
    extra: Path | None,
    channels: Mapping[str, int | str] | None,
    stains: Sequence[str],
) -> NamedFiles | None:
    """Return the fields that --pattern finds in IMAGES, or in a matching folder of --extra."""
    if args.pattern is None:
        return None
    places = args.images
    if extra is not None:
        if extra.is_file() and has_paths(read_id_table(extra)):
            return None
        places = [extra if extra.is_dir() else extra.parent]
    files = all_files([Path(os.path.abspath(place)) for place in places if place.is_dir()])
    if extra is not None and not fits_pattern(files, args.pattern):
        return None
    named = find_named_files(files, args.pattern, channels, stains)
    for line in named.summary:
        show(line)
    return named


def _first_changes(changes: list[Change], fields: pd.DataFrame) -> list[Change]:
    # If two sources are one folder, a field that one of them ignores may belong to the other.
    return [
        change
        for change in dict.fromkeys(changes)
        if change.reason != NOT_ASKED_FOR or change.image_id not in fields.index
    ]


def _final_changes(
    changes: list[Change], bad: list[BadField], fields: pd.DataFrame
) -> list[Change]:
    """Return the changes with bad fields last, and without changes of their labels."""
    dropped = {item.image_id for item in bad}
    kept = [
        change for change in changes if change.change == DROPPED or change.image_id not in dropped
    ]
    targets = fields["target"]
    return kept + [
        Change(item.image_id, DROPPED, item.reason, item.file, targets[item.image_id])
        for item in bad
    ]


def _name(place: Path) -> str:
    return place.absolute().stem if place.is_file() else place.absolute().name


def _describe(bad: BadField) -> str:
    return f"field {bad.image_id}: " + (f"{bad.file}: " if bad.file else "") + bad.reason


def _reject_unwritable(folder: Path) -> None:
    # Before the files are checked, which takes long.
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryDirectory(dir=place).cleanup()
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {place}: {error.strerror}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
