"""Check image files and tables of labels; write the catalogue of a workspace; pack its fields."""

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
    """Make the parser of the command."""
    ending, *others = (image_format.SUFFIXES[0] for image_format in FORMATS.values())
    parser = command_parser(
        "prepare",
        "Check every image file and write data/catalogue.csv. IMAGES is a folder with files named "
        f"<Id>_<red|green|blue|yellow>{ending} (or {', '.join(others)}), or <Id>.tif (.ome.tif) "
        "with the stains as channels; in it or in folders within it; other files are ignored. So "
        "the competition and the Human Protein Atlas have them. Or it is a CSV file with the "
        "columns image_id, red, green, blue, yellow and, if known, target, split and groups. "
        "Fields that were dropped or got other labels are listed in data/changes.csv, with the "
        "reason.",
        "human-protein-atlas --workspace work",
    )
    parser.add_argument(
        "images", type=Path, metavar="IMAGES", nargs="*",
        help="folder, several, or one table with paths; left out with --labels: fields without "
        "images, for work with predictions made elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, metavar="CSV",
        help="labels of the training fields, Id,Target, or a column of 0 and 1 for each label; "
        "other columns are groups (default: "
        f"{', '.join(LABEL_TABLES)} in IMAGES, or beside a folder called like train)",
    )  # fmt: skip
    parser.add_argument(
        "--test", type=Path, metavar="CSV", action="append", default=[],
        help="ids of the test fields in their order; may be given several times (default: "
        f"{TEST_TABLES[0]}, or that of a stage, in IMAGES or beside a folder called like test; "
        "else every field without labels)",
    )  # fmt: skip
    parser.add_argument(
        "--groups", type=Path, metavar="CSV",
        help="Id and columns that say what belongs together: well, plate, antibody, cell line",
    )  # fmt: skip
    parser.add_argument(
        "--drop-unlabelled", action="store_true",
        help="leave out fields that a table of labels names and gives no label (default: an error)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-spellings", action="store_true",
        help="values of groups that differ in case, separators, the form of a date, .0, leading "
        "zeros or HPA before the number of an antibody are different; otherwise they are joined, "
        "and named",
    )  # fmt: skip
    parser.add_argument(
        "--corrections", type=Path, metavar="CSV", help="Id,Target: labels to use instead"
    )
    parser.add_argument(
        "--extra", type=Path, metavar="DIR_OR_CSV", action="append", default=[],
        help="more training fields: a folder with its own table of labels, a table of labels in "
        "the folder of its images, or a table with paths; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--locations", type=Path, metavar="CSV",
        help="name,label: what further names of places stand for, where a table gives labels by "
        "name",
    )  # fmt: skip
    parser.add_argument(
        "--channels", metavar="STAIN=N", nargs="*", default=[],
        help="which plane of a TIFF with several is which stain, counted from 0, or the name of "
        "its channel: red=0,green=1,blue=2,yellow=3 (default: by the names in the file); with "
        "--pattern, its {channel}",
    )  # fmt: skip
    parser.add_argument(
        "--pattern", metavar="NAME",
        help="what other names of files mean, in IMAGES and in each --extra that has such, as in "
        f"'{{plate}}_{{well}}_{{field}}_w{{channel}}.tif', where {{}} is anything, or "
        f"{', '.join(SCHEMES)}; folders before it, with /, count too. What is understood is shown "
        "for the first fields",
    )  # fmt: skip
    parser.add_argument(
        "--stains", metavar="STAIN", nargs="*", default=[],
        help="the stains that the fields have, where these are not all four: red green blue",
    )  # fmt: skip
    parser.add_argument(
        "--bits", default="auto", metavar="auto|N",
        help="how many bits the values of 16-bit files use, 8 to 16: a camera of 12 bits writes up "
        "to 4095 (default: found for IMAGES and for each --extra, and said)",
    )  # fmt: skip
    parser.add_argument(
        "--pixel-size", metavar="MICROMETRES",
        help="per pixel of the files, for the scale bars of pictures (default: what OME-XML of the "
        "files or a column pixel_size of a table with paths says)",
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
    add_options(parser, "--on-error")
    parser.add_argument(
        "--pack", type=positive, metavar="SIZE",
        help="also decode every field once, into data/fields.h5, at this longer side in pixels: "
        "networks then read them from there. Without IMAGES: the fields of the catalogue that is "
        "there; goes on where it was stopped",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command with parsed options."""
    # These two take all words up to the next option; IMAGES behind them are none of theirs.
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
        raise InputError("--pack needs images: name IMAGES, or give no other option with it")
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
    # Not for the changes alone: a run killed before its catalogue was written leaves them.
    refuse_existing(workspace.catalogue, args.overwrite)
    vocabulary = workspace.vocabulary()
    if args.vocabulary is not None:
        vocabulary = Vocabulary.read(args.vocabulary)
        if vocabulary != workspace.vocabulary():
            refuse_existing(workspace.vocabulary_file, args.overwrite)
    _refuse_unwritable(workspace.data)

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
        others = f" (bad fields besides: {len(bad) - 1})" if len(bad) > 1 else ""
        raise InputError(f"{_describe(bad[0])}{others}; --on-error skip sets bad fields aside")
    if not len(facts):
        raise InputError(f"no good field; the first of {len(bad)} bad ones: {_describe(bad[0])}")
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
        show(f"pixel size: {sizes} µm, known for {len(known)} of {len(catalogue)} fields")

    if args.vocabulary is not None:
        publish_text(workspace.vocabulary_file, "".join(f"{name}\n" for name in vocabulary))
    if bad:
        lost = [item.image_id for item in bad if fields.loc[item.image_id, "split"] == "test"]
        show(f"set aside {len(bad)} of {counted(len(fields), 'field')} because of bad files")
        if lost:
            show(f"test fields among them, which the submission will lack: {shorten(lost)}")
    changes = _final_changes(changes, bad, fields)
    if changes:
        publish_text(changes_file, changes_text(changes))
        n_dropped = sum(change.change == DROPPED for change in changes)
        wrote(
            f"wrote {changes_file}: {counted(n_dropped, 'field')} dropped, "
            f"{counted(len(changes) - n_dropped, 'time')} other labels",
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
        raise InputError("name a folder of IMAGES; only --labels and --test can do without")
    parts: list[pd.DataFrame] = []
    changes: list[Change] = []
    stains = parse_stains(" ".join(args.stains)) if args.stains else STAINS
    channels = parse_channels(",".join(args.channels), stains) if args.channels else None
    if args.pattern is not None and not all(place.is_dir() for place in args.images or [Path("")]):
        raise InputError("--pattern needs IMAGES that are folders")
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
                raise InputError(f"{place}: without IMAGES, --extra takes a table of labels")
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
        show(f"names of places that are no label, and how many fields have them: {shown}")
    dropped = [change for change in changes if change.change == DROPPED]
    unnamed = [change.image_id for change in dropped if change.reason == NOT_ASKED_FOR]
    unlabelled = [change.image_id for change in dropped if change.reason != NOT_ASKED_FOR]
    for ids, why in ((unnamed, "no table names them"), (unlabelled, "no label is left of them")):
        if ids:
            show(f"left out, because {why}: {counted(len(ids), 'field')} ({shorten(ids, 3)})")
    if args.corrections is not None:
        fields, corrected = correct_targets(fields, args.corrections, locations=locations)
        changes += corrected
        show(
            f"corrected labels after {args.corrections}: {len(corrected)} of "
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
    """Return the fields that --pattern finds in IMAGES, or in a folder of --extra that fits it."""
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
    # What one place leaves out may be a field of another, where both are one folder.
    return [
        change
        for change in dict.fromkeys(changes)
        if change.reason != NOT_ASKED_FOR or change.image_id not in fields.index
    ]


def _final_changes(
    changes: list[Change], bad: list[BadField], fields: pd.DataFrame
) -> list[Change]:
    """Put the fields with bad files behind the other changes; other labels of theirs are none."""
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


def _refuse_unwritable(folder: Path) -> None:
    # Checking the files takes long: a folder that cannot be written is said first.
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
