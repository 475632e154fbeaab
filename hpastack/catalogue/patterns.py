"""Image files of any naming scheme: a pattern says what the parts of their names mean."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hpastack.catalogue.table import COLUMNS, OPTIONAL_COLUMNS
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import STAINS, plane_paths
from hpastack.fields.multichannel import stains_meant
from hpastack.files import check_ids

# What stands for each name in a pattern; any other name is a group, and part of the id.
_PLACES = {
    "plate": "[^/]+?",
    "well": "[A-Za-z]{1,2}-?[0-9]{1,3}",
    "row": "[0-9]{1,2}|[A-Za-z]{1,2}",
    "column": "[0-9]{1,2}",
    "field": "[0-9A-Za-z]+?",
    "channel": "[^/]+?",
    "z": "[0-9]+",
    "t": "[0-9]+",
}
_OTHER, _ANYTHING = "[^/_]+?", "[^/]*?"
_NAME = re.compile(r"\{([^{}]*)\}")
# Not part of the id of a field; of the last two a field has one.
_STACKED = {"z": "depths", "t": "times"}
_NOT_IN_ID = {"channel", *_STACKED, "row", "column"}

_PHENIX = (
    r"r(?P<row>\d{2})c(?P<column>\d{2})f(?P<field>\d{2,})p(?P<z>\d{2,})-ch(?P<channel>\d+)"
    r"sk(?P<t>\d+)(fk\d+)?(fl\d+)?\.tiff?"
)
#: Schemes that go by a name, each a list of regular expressions; the first that fits is taken.
SCHEMES: dict[str, tuple[str, ...]] = {
    # Opera Phenix and Operetta; a plate is a folder with a folder Images.
    "harmony": (rf"(?P<plate>[^/]+)/Images/{_PHENIX}", _PHENIX),
    # As harmony, and the folder of a plate goes on with the time of its measurement.
    "jump": (rf"(?P<plate>[^/]+?)__[^/]+/Images/{_PHENIX}", _PHENIX),
    # MetaXpress: the site is missing where there is one; an identifier may follow, thumbnails do
    # not count.
    "imagexpress": (
        r"(?P<plate>[^/]+?)_(?P<well>[A-P]\d{2})(_s(?P<field>\d+))?_w(?P<channel>\d+)"
        r"([0-9A-F]{8}-[0-9A-F-]+)?\.tiff?",
    ),
    # Yokogawa CV7000 and CV8000.
    "cellvoyager": (
        r"(?P<plate>[^/]+?)_(?P<well>[A-P]\d{2})_T(?P<t>\d+)F(?P<field>\d+)L\d+A\d+Z(?P<z>\d+)"
        r"C(?P<channel>\d+)\.(tiff?|png)",
    ),
}

#: Endings of files that microscopes write and that are not read.
VENDOR_SUFFIXES = (".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".vsi", ".flex", ".ims", ".zvi")
_N_SHOWN = 3


class NamedFiles(NamedTuple):
    """The fields that a pattern finds in folders.

    `files` are the stains of each field by its id, `groups` its plate, well
    and other groups, `summary` the lines that say what was understood.
    """

    files: dict[str, dict[str, Path]]
    groups: pd.DataFrame
    summary: list[str]


class _Place(NamedTuple):
    """What the name of one file says."""

    path: Path
    image_id: str
    channel: str | None
    stacked: dict[str, str]
    groups: dict[str, str]
    around_channel: tuple[str, str]  # the path before and behind the channel


def find_named_files(
    paths: Iterable[Path],
    pattern: str,
    channels: Mapping[str, int | str] | None = None,
    stains: Sequence[str] = STAINS,
) -> NamedFiles:
    """Find fields by a pattern of the names of their files.

    Parameters
    ----------
    paths : iterable of Path
        All files of the folders, absolute.
    pattern : str
        A name of `SCHEMES`, or a name of a file with ``{plate}``, ``{well}``
        (or ``{row}`` and ``{column}``), ``{field}``, ``{channel}``, ``{z}``, ``{t}`` and
        any others in place of what differs; ``{}`` is anything. With folders
        before it, separated by ``/``, these count too. Case does not.
    channels : mapping of str to int or str, optional
        The channel of each stain, as `hpastack.fields.parse_channels` gives
        it; if omitted, by the names of the channels. Without ``{channel}`` each
        file is a field, and these are its planes.
    stains : sequence of str, default=STAINS
        Those that the fields have.

    Returns
    -------
    NamedFiles

    Raises
    ------
    InputError
        If no file fits, a name is wrong, a channel is not there, two files
        are one stain of a field, or a field has several depths or times.

    Examples
    --------
    >>> paths = [Path(f"/p7_B03_f2_w{channel}.tif") for channel in (1, 2, 3, 4)]
    >>> stains = {"red": 1, "green": 2, "blue": 3, "yellow": 4}
    >>> found = find_named_files(paths, "{plate}_{well}_f{field}_w{channel}.tif", stains)
    >>> found.files["p7_B03_2"]["blue"].name
    'p7_B03_f2_w3.tif'
    """
    paths = list(paths)
    expressions = _expressions(pattern)
    places, ignored = [], []
    for path in paths:
        place = _placed(path, expressions)
        if place is None:
            ignored.append(path)
        else:
            places.append(place)
    if not places:
        raise InputError(_nothing_fits(paths, pattern))
    _check_stacks(places)
    if places[0].channel is None:
        files = _multichannel(places, channels, stains)
        used: list[str] = []
    else:
        wanted = _wanted_channels(places, channels, stains)
        used = list(wanted.values())
        files = _by_channel(places, wanted)
    check_ids(files, f"--pattern {pattern}")
    by_id = {place.image_id: place.groups for place in places if place.image_id in files}
    # With rows also where no pattern names a group.
    index = pd.Index(list(by_id), name="image_id", dtype=object)
    groups = pd.DataFrame(list(by_id.values()), index, dtype=object).fillna("")
    return NamedFiles(files, groups, _summary(files, groups, places, ignored, used))


def fits_pattern(paths: Iterable[Path], pattern: str) -> bool:
    """Return whether any file has a name as a pattern says.

    Parameters
    ----------
    paths, pattern
        As for `find_named_files`.

    Returns
    -------
    bool
    """
    expressions = _expressions(pattern)
    return any(_placed(path, expressions) is not None for path in paths)


def fitting_schemes(paths: Iterable[Path]) -> list[str]:
    """Name the schemes of `SCHEMES` that files have, those with most files first.

    Parameters
    ----------
    paths : iterable of Path

    Returns
    -------
    list of str
    """
    counts = Counter[str]()
    for path in paths:
        for name in SCHEMES:
            counts[name] += _placed(path, _expressions(name)) is not None
    return [name for name, count in counts.most_common() if count]


def other_files(paths: Sequence[Path]) -> str:
    """Say how to go on with a folder in which no field was found.

    Parameters
    ----------
    paths : sequence of Path
        Its files.

    Returns
    -------
    str
        "" if there is nothing to say.
    """
    vendor = Counter(path.suffix.lower() for path in paths)
    known = [suffix for suffix in VENDOR_SUFFIXES if vendor[suffix]]
    if known:
        return (
            f"{sum(vendor[suffix] for suffix in known)} files end in {shorten(known)}, which are "
            "not read: convert them to OME-TIFF, a file for each position (Fiji, or bfconvert of "
            "Bio-Formats: bfconvert IN.czi OUT_%s.ome.tif), and name their folder"
        )
    schemes = fitting_schemes(paths)
    if schemes:
        return f"its files are named as by {schemes[0]}: --pattern {schemes[0]} --channels red=..."
    return ""


def _expressions(pattern: str) -> list[re.Pattern[str]]:
    texts = SCHEMES.get(pattern.lower()) or (_translated(pattern),)
    return [re.compile(rf"(?:.*/)?{text}", re.IGNORECASE | re.DOTALL) for text in texts]


def _translated(pattern: str) -> str:
    """Turn a pattern into a regular expression."""
    if "{" not in pattern:
        raise InputError(
            f"--pattern {pattern}: neither a known scheme ({', '.join(SCHEMES)}) nor a name with "
            "{plate}, {well}, {field} or {channel} in it"
        )
    texts, end, seen = [], 0, set()
    for match in _NAME.finditer(pattern):
        texts.append(re.escape(pattern[end : match.start()]))
        end = match.end()
        name = match[1].strip().lower()
        if name in ("", "_", "*"):
            texts.append(_ANYTHING)
            continue
        if not name.isidentifier() or name in (*COLUMNS, *OPTIONAL_COLUMNS, "image_id"):
            raise InputError(f"--pattern: {{{match[1]}}} is no name of a group")
        if name in seen:
            texts.append(f"(?P={name})")
            continue
        seen.add(name)
        texts.append(f"(?P<{name}>{_PLACES.get(name, _OTHER)})")
    if not seen - {"channel", *_STACKED}:
        raise InputError(
            f"--pattern {pattern}: nothing in it tells fields apart, such as {{field}}"
        )
    texts.append(re.escape(pattern[end:]))
    return "".join(texts)


def _placed(path: Path, expressions: list[re.Pattern[str]]) -> _Place | None:
    for expression in expressions:
        match = expression.fullmatch(path.as_posix())
        if match is None:
            continue
        parts = {name: text for name, text in match.groupdict().items() if text is not None}
        if "row" in parts and "column" in parts and "well" not in parts:
            parts["well"] = f"{_row_letter(parts['row'])}{int(parts['column']):02d}"
        order = ["plate", "well", *(name for name in parts if name not in ("plate", "well"))]
        named = [name for name in order if name in parts and name not in _NOT_IN_ID]
        groups = {name: parts[name] for name in named if name != "field"}
        if "plate" in parts and "well" in parts:
            # Every plate has the same wells.
            groups["well"] = f"{parts['plate']}_{parts['well']}"
        stacked = {name: parts[name] for name in _STACKED if name in parts}
        image_id = "_".join(parts[name] for name in named)
        around = ("", "")
        if "channel" in parts:
            start, stop = match.span("channel")
            around = (path.as_posix()[:start], path.as_posix()[stop:])
        return _Place(path, image_id, parts.get("channel"), stacked, groups, around)
    return None


def _row_letter(row: str) -> str:
    if not row.isdecimal():
        return row.upper()
    number = max(int(row) - 1, 0)
    return ("" if number < 26 else chr(64 + number // 26)) + chr(65 + number % 26)


def _check_stacks(places: list[_Place]) -> None:
    values: dict[tuple[str, str | None, str], dict[str, Path]] = defaultdict(dict)
    for place in places:
        for name, value in place.stacked.items():
            values[place.image_id, place.channel, name].setdefault(value, place.path)
    for (image_id, _, name), found in values.items():
        if len(found) > 1:
            first, second, *_ = found.values()
            raise InputError(
                f"{first}, {second.name}: field {image_id} has {len(found)} {_STACKED[name]} "
                f"({shorten(found)}); a stain is one picture. Write the one to take into the "
                f"pattern instead of {{{name}}}, or save a projection"
            )


def _key(channel: int | str) -> str:
    """Return a channel as it is compared: numbers without zeros before them, names in any case."""
    text = str(channel).strip()
    return str(int(text)) if text.isdecimal() else text.casefold()


def _wanted_channels(
    places: list[_Place], channels: Mapping[str, int | str] | None, stains: Sequence[str]
) -> dict[str, str]:
    """Return the key of the channel of each stain."""
    present = list(dict.fromkeys(_key(place.channel or "") for place in places))
    listed = shorten(sorted(present), 12)
    if channels is not None:
        for stain, channel in channels.items():
            if _key(channel) not in present:
                raise InputError(
                    f"--channels {stain}={channel}: no file has that channel; they have {listed}"
                )
        return {stain: _key(channel) for stain, channel in channels.items()}
    wanted: dict[str, str] = {}
    for name in present:
        for stain in set(stains_meant(name)) & set(stains):
            if stain in wanted:
                raise InputError(
                    f"channels {wanted[stain]} and {name} could both be {stain}; say which with "
                    f"--channels {_example(stains, 'ABCD')}"
                )
            wanted[stain] = name
    missing = [stain for stain in stains if stain not in wanted]
    if missing:
        raise InputError(
            f"which channel is {shorten(missing)}? The files have {listed}; say it with "
            f"--channels {_example(stains, '1234')}"
        )
    return wanted


def _example(stains: Sequence[str], channels: str) -> str:
    return " ".join(f"{stain}={channel}" for stain, channel in zip(stains, channels))


def _by_channel(places: list[_Place], wanted: Mapping[str, str]) -> dict[str, dict[str, Path]]:
    stain_of = {channel: stain for stain, channel in wanted.items()}
    files: dict[str, dict[str, Path]] = {}
    written: dict[str, str] = {}
    around: dict[str, tuple[str, str]] = {}
    for place in places:
        written[_key(place.channel or "")] = place.channel or ""
        stain = stain_of.get(_key(place.channel or ""))
        if stain is None:
            continue
        stains = files.setdefault(place.image_id, {})
        if stain in stains:
            raise InputError(_twice(place, stains[stain], f"the {stain} stain"))
        stains[stain] = place.path
        around[place.image_id] = place.around_channel
    for image_id, stains in files.items():
        before, behind = around[image_id]
        for stain, channel in wanted.items():
            # Where a file is missing, its place, for the error.
            stains.setdefault(stain, Path(f"{before}{written[channel]}{behind}"))
    return files


def _multichannel(
    places: list[_Place], channels: Mapping[str, int | str] | None, stains: Sequence[str]
) -> dict[str, dict[str, Path]]:
    files: dict[str, dict[str, Path]] = {}
    first: dict[str, Path] = {}
    for place in places:
        if place.image_id in first:
            raise InputError(_twice(place, first[place.image_id], "the field"))
        first[place.image_id] = place.path
        found = plane_paths(place.path, channels, stains)
        if found is None:
            raise InputError(
                f"{place.path}: not a TIFF with a channel for each of {', '.join(stains)}; where "
                "each is a file of its own the pattern has {channel}"
            )
        files[place.image_id] = found[1]
    return files


def _twice(place: _Place, other: Path, what: str) -> str:
    return (
        f"{other} and {place.path} are both {what} of {place.image_id}; the pattern needs what "
        "tells them apart, such as {field}, or the folder: {plate}/..."
    )


def _nothing_fits(paths: Sequence[Path], pattern: str) -> str:
    if not paths:
        return "no files there"
    message = (
        f"--pattern {pattern} fits none of {counted(len(paths), 'file')}, such as {paths[0].name}"
    )
    schemes = [name for name in fitting_schemes(paths) if name != pattern.lower()]
    if schemes:
        return f"{message}; --pattern {schemes[0]} does"
    return f"{message}; {other_files(paths) or 'compare the two'}"


def _summary(
    files: dict[str, dict[str, Path]],
    groups: pd.DataFrame,
    places: list[_Place],
    ignored: list[Path],
    used: list[str],
) -> list[str]:
    lines = [f"pattern: {counted(len(places), 'file')} are {counted(len(files), 'field')}"]
    unused = Counter(_key(place.channel) for place in places if place.channel is not None)
    for channel in used:
        del unused[channel]
    if unused:
        lines[0] += f"; channels without a stain: {shorten(sorted(unused), 12)}"
    if ignored:
        names = shorten((path.name for path in ignored), 3)
        lines[0] += (
            f"; {counted(len(ignored), 'other file is', 'other files are')} ignored: {names}"
        )
    for image_id, stains in list(files.items())[:_N_SHOWN]:
        said = [f"{name} {value}" for name, value in groups.loc[image_id].items() if value]
        said += [f"{stain} {stains[stain].name}" for stain in STAINS if stain in stains]
        lines.append(f"  {image_id}: {', '.join(said)}")
    return lines
