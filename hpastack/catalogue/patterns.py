"""Image files of any naming scheme: a pattern describes the parts of their names."""

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

# Regular expression of each placeholder; any other placeholder is a group, and part of the id.
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
# Not part of the id; a field has exactly one depth and one time.
_STACKED = {"z": "depths", "t": "times"}
_NOT_IN_ID = {"channel", *_STACKED, "row", "column"}

_PHENIX = (
    r"r(?P<row>\d{2})c(?P<column>\d{2})f(?P<field>\d{2,})p(?P<z>\d{2,})-ch(?P<channel>\d+)"
    r"sk(?P<t>\d+)(fk\d+)?(fl\d+)?\.tiff?"
)
#: Named schemes, each a list of regular expressions; the first that matches is used.
SCHEMES: dict[str, tuple[str, ...]] = {
    # Opera Phenix and Operetta; a plate is a folder with a subfolder Images.
    "harmony": (rf"(?P<plate>[^/]+)/Images/{_PHENIX}", _PHENIX),
    # As harmony, with the time of measurement appended to the folder name of a plate.
    "jump": (rf"(?P<plate>[^/]+?)__[^/]+/Images/{_PHENIX}", _PHENIX),
    # MetaXpress: the site is omitted if there is only one; an identifier may follow; thumbnails
    # do not match.
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

#: Suffixes of microscope vendors' formats, which are not supported.
VENDOR_SUFFIXES = (".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".vsi", ".flex", ".ims", ".zvi")
_N_SHOWN = 3


class NamedFiles(NamedTuple):
    """The fields found by a pattern in folders.

    `files` contains the stain files of each field by its id, `groups` its
    plate, well and other groups, `summary` lines that describe the result.
    """

    files: dict[str, dict[str, Path]]
    groups: pd.DataFrame
    summary: list[str]


class _Place(NamedTuple):
    """The parts of one file name."""

    path: Path
    image_id: str
    channel: str | None
    stacked: dict[str, str]
    groups: dict[str, str]
    around_channel: tuple[str, str]  # the path before and after the channel


def find_named_files(
    paths: Iterable[Path],
    pattern: str,
    channels: Mapping[str, int | str] | None = None,
    stains: Sequence[str] = STAINS,
) -> NamedFiles:
    """Find fields by a pattern for their file names.

    Parameters
    ----------
    paths : iterable of Path
        All files of the folders, absolute.
    pattern : str
        A key of `SCHEMES`, or a file name in which the variable parts are
        replaced by ``{plate}``, ``{well}`` (or ``{row}`` and ``{column}``),
        ``{field}``, ``{channel}``, ``{z}``, ``{t}`` or any other name; ``{}``
        matches anything. Folders before it, separated by ``/``, are matched
        too. Case is ignored.
    channels : mapping of str to int or str, optional
        The channel of each stain, as returned by `hpastack.fields.parse_channels`.
        Default: by the channel names. If the pattern has no ``{channel}``,
        each file is one field, and these are its planes.
    stains : sequence of str, default=STAINS
        The stains of the fields.

    Returns
    -------
    NamedFiles

    Raises
    ------
    InputError
        If no file matches, a placeholder is not valid, a channel does not
        exist, two files are the same stain of a field, or a field has several
        depths or times.

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
        raise _no_match(paths, pattern)
    _check_stacks(places)
    if places[0].channel is None:
        files = _multichannel(places, channels, stains)
        used: list[str] = []
    else:
        wanted = _wanted_channels(places, channels, stains)
        used = list(wanted.values())
        files = _by_channel(places, wanted)
    check_ids(files, f"pattern {pattern!r}")
    by_id = {place.image_id: place.groups for place in places if place.image_id in files}
    # Has rows even if the pattern contains no group.
    index = pd.Index(list(by_id), name="image_id", dtype=object)
    groups = pd.DataFrame(list(by_id.values()), index, dtype=object).fillna("")
    return NamedFiles(files, groups, _summary(files, groups, places, ignored, used))


def fits_pattern(paths: Iterable[Path], pattern: str) -> bool:
    """Return whether any file name matches a pattern.

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
    """Return the keys of `SCHEMES` that match any file, those with most files first.

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


def other_files(paths: Sequence[Path]) -> tuple[str, tuple[str, ...]]:
    """Return a hint for a folder in which no field was found.

    Parameters
    ----------
    paths : sequence of Path
        Its files.

    Returns
    -------
    hint : str
    parameters : tuple of str
        Names of the parameters in the hint, for `InputError`.
    """
    vendor = Counter(path.suffix.lower() for path in paths)
    known = [suffix for suffix in VENDOR_SUFFIXES if vendor[suffix]]
    if known:
        return (
            f"{counted(sum(vendor[suffix] for suffix in known), 'file ends', 'files end')} in "
            f"{shorten(known)}, which is not supported: convert them to OME-TIFF, one file per "
            "position (with Fiji, or with Bio-Formats: bfconvert IN.czi OUT_%s.ome.tif), "
            "and pass their folder"
        ), ()
    schemes = fitting_schemes(paths)
    if schemes:
        return (
            f"the file names match the scheme {schemes[0]}; pass pattern={schemes[0]!r} and the "
            "channels of the stains"
        ), ("pattern", "channels")
    return "describe other file names with a pattern", ("pattern",)


def _expressions(pattern: str) -> list[re.Pattern[str]]:
    texts = SCHEMES.get(pattern.lower()) or (_translated(pattern),)
    return [re.compile(rf"(?:.*/)?{text}", re.IGNORECASE | re.DOTALL) for text in texts]


def _translated(pattern: str) -> str:
    """Return a pattern as a regular expression."""
    if "{" not in pattern:
        raise InputError(
            f"pattern: {pattern!r} is neither a known scheme ({', '.join(SCHEMES)}) nor a file "
            "name with {plate}, {well}, {field} or {channel} in it",
            "pattern",
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
            raise InputError(f"pattern: {{{match[1]}}} is not a valid group name", "pattern")
        if name in seen:
            texts.append(f"(?P={name})")
            continue
        seen.add(name)
        texts.append(f"(?P<{name}>{_PLACES.get(name, _OTHER)})")
    if not seen - {"channel", *_STACKED}:
        raise InputError(
            f"pattern: {pattern!r} contains nothing that distinguishes fields, such as {{field}}",
            "pattern",
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
            # Wells have the same names on every plate.
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
    for (image_id, _, name), path_of in values.items():
        if len(path_of) > 1:
            first, second, *_ = path_of.values()
            raise InputError(
                f"{first}, {second.name}: field {image_id} has {len(path_of)} {_STACKED[name]} "
                f"({shorten(path_of)}), but a stain must be one image; in the pattern, replace "
                f"{{{name}}} by the one to use, or save a projection",
                "pattern",
            )


def _key(channel: int | str) -> str:
    """Return a channel for comparison: numbers without leading zeros, names without case."""
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
                    f"channels: no file has channel {channel} for {stain}; the files have {listed}",
                    "channels",
                )
        return {stain: _key(channel) for stain, channel in channels.items()}
    wanted: dict[str, str] = {}
    for name in present:
        for stain in set(stains_meant(name)) & set(stains):
            if stain in wanted:
                raise InputError(
                    f"channels: {wanted[stain]} and {name} could both be {stain}; pass the channel "
                    f"of each stain, such as {_example(stains, 'ABCD')}",
                    "channels",
                )
            wanted[stain] = name
    missing = [stain for stain in stains if stain not in wanted]
    if missing:
        raise InputError(
            f"channels: unknown for {shorten(missing)}; the files have {listed}; pass the channel "
            f"of each stain, such as {_example(stains, '1234')}",
            "channels",
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
            role = f"the {stain} stain of {place.image_id}"
            raise _duplicate(place.path, stains[stain], role)
        stains[stain] = place.path
        around[place.image_id] = place.around_channel
    for image_id, stains in files.items():
        before, after = around[image_id]
        for stain, channel in wanted.items():
            # For a missing file the path where it was expected, for the error.
            stains.setdefault(stain, Path(f"{before}{written[channel]}{after}"))
    return files


def _multichannel(
    places: list[_Place], channels: Mapping[str, int | str] | None, stains: Sequence[str]
) -> dict[str, dict[str, Path]]:
    files: dict[str, dict[str, Path]] = {}
    first: dict[str, Path] = {}
    for place in places:
        if place.image_id in first:
            raise _duplicate(place.path, first[place.image_id], f"field {place.image_id}")
        first[place.image_id] = place.path
        planes = plane_paths(place.path, channels, stains)
        if planes is None:
            raise InputError(
                f"{place.path}: not a TIFF with a channel for each of {', '.join(stains)}; if each "
                "stain has a separate file, the pattern needs {channel}",
                "pattern",
            )
        files[place.image_id] = planes[1]
    return files


def _duplicate(path: Path, other: Path, role: str) -> InputError:
    return InputError(
        f"{other} and {path} are both {role}; the pattern needs a part that distinguishes them, "
        "such as {field}, or the folder: {plate}/...",
        "pattern",
    )


def _no_match(paths: Sequence[Path], pattern: str) -> InputError:
    if not paths:
        return InputError("the folders contain no files")
    message = (
        f"pattern: {pattern!r} matches none of {counted(len(paths), 'file')}, such as "
        f"{paths[0].name}"
    )
    schemes = [name for name in fitting_schemes(paths) if name != pattern.lower()]
    if schemes:
        return InputError(f"{message}; {schemes[0]!r} does", "pattern")
    hint, parameters = other_files(paths)
    hint = "compare the two" if parameters else hint
    return InputError(f"{message}; {hint}", "pattern")


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
        parts = [f"{name} {value}" for name, value in groups.loc[image_id].items() if value]
        parts += [f"{stain} {stains[stain].name}" for stain in STAINS if stain in stains]
        lines.append(f"  {image_id}: {', '.join(parts)}")
    return lines
