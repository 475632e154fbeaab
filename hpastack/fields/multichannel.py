"""Multichannel TIFF: assign the planes of a file to the stains of a field.

A stain of such a field is a path with a plane number, ``field.ome.tif#2``,
which `hpastack.read_field` reads like any other path. Planes are assigned by
their channel names in OME-XML, ImageJ labels or page names, or as specified by
the user.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hpastack.errors import InputError, counted, shorten
from hpastack.fields.formats.faults import FileFault, StrPath
from hpastack.fields.formats.ome import channel_names, is_ome
from hpastack.fields.formats.planes import split_plane
from hpastack.fields.formats.tiff import MAGICS, RGB, TiffLayout, read_layout, reject_stack
from hpastack.fields.stains import PROTEIN, STAINS

#: Names of each stain in files; case is ignored.
SYNONYMS = {
    "red": ("red", "microtubules", "microtubule", "tubulin"),
    "green": ("green", "protein", "protein of interest", "antibody", "target"),
    "blue": ("blue", "nucleus", "nuclei", "dapi", "hoechst", "dna"),
    "yellow": ("yellow", "er", "endoplasmic reticulum", "reticulum", "calreticulin"),
}

_FILE = re.compile(r"(?P<image_id>.+?)(\.ome)?\.tiff?", re.IGNORECASE)
# Position, depth or time of acquisition within a channel name.
_TAKEN_AT = re.compile(
    r"\b(s|p|f|m|v|z|t|xy|pos|position|series|scene|site|fov|field|view|tile|slice|depth|frame|time)"
    r"\s*\d+(\s*/\s*\d+|\s+of\s+\d+)?\b"
)
_COLOURS = 3
_SAVE_EACH = "save each one as a separate file"


class Channels(NamedTuple):
    """Names of the planes of a TIFF ("" for an unnamed plane)."""

    names: tuple[str, ...]
    is_picture: bool = False  # one colour image, with or without alpha

    def __str__(self) -> str:
        return ", ".join(f"{number} {name!r}" for number, name in enumerate(self.names))


def read_channels(path: StrPath) -> Channels:
    """Read the names of the planes of a TIFF, without decoding them.

    Names come from OME-XML, else from the ImageJ labels, else from the tag
    PageName of each page.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Channels
        Planes in the order of the file: the samples of each page in turn.

    Raises
    ------
    InputError
        If the file is missing, is not a TIFF or is damaged, has several depths
        or times, its pages differ in size, or its OME-XML is invalid.
    OSError
        If the file cannot be read.
    """
    if not os.path.isfile(path):  # opening a pipe would block for ever
        raise FileFault(path, "no such file")
    with open(path, "rb") as file:
        if file.read(4) not in MAGICS:
            raise FileFault(path, "not a TIFF")
        file.seek(0)
        layout = read_layout(file, os.fstat(file.fileno()).st_size, path)
    reject_stack(layout, path)
    first = layout.pages[0]
    is_picture = (
        len(layout.pages) == 1
        and first.photometric == RGB
        and (first.has_alpha or first.samples == _COLOURS)
    )
    return Channels(_names(layout, path), is_picture)


def parse_channels(text: str, stains: Sequence[str] = STAINS) -> dict[str, int | str]:
    """Parse the assignment of planes or channels to stains.

    Parameters
    ----------
    text : str
        ``STAIN=PLANE`` separated by commas, where the plane is its number or
        the name of its channel; a number that is not a plane may be a name, such as 488.
        Any of the `SYNONYMS` of a stain is accepted.
    stains : sequence of str, default=STAINS
        The stains of the fields.

    Returns
    -------
    dict of str to int or str
        Plane number or channel name of each stain.

    Raises
    ------
    InputError
        If a stain is unknown, missing or duplicate, or two stains have the same
        plane.

    Examples
    --------
    >>> parse_channels("nuclei=0,ER=3,microtubules=2,protein=FITC")
    {'red': 2, 'green': 'FITC', 'blue': 0, 'yellow': 3}
    """
    channels: dict[str, int | str] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        stain = next((s for s in STAINS if _words(name) in SYNONYMS[s]), None)
        if stain is None or not value:
            raise InputError(
                f"channels: {part!r} is not a stain and its plane, such as red=0", "channels"
            )
        if stain in channels:
            raise InputError(f"channels: duplicate stain {stain}", "channels")
        channels[stain] = int(value) if value.isdecimal() else value
    missing = [stain for stain in stains if stain not in channels]
    if missing:
        available = " ".join(stain for stain in STAINS if stain in channels)
        raise InputError(
            f"channels: {shorten(missing)} missing; assign every stain. If the fields have no "
            f"other stains, set stains to {available}",
            "channels", "stains",
        )  # fmt: skip
    extra = [stain for stain in channels if stain not in stains]
    if extra:
        raise InputError(
            f"channels: {shorten(extra)} is not among the stains, {', '.join(stains)}",
            "channels", "stains",
        )  # fmt: skip
    if len(set(channels.values())) < len(channels):
        raise InputError("channels: two stains have the same plane", "channels")
    return {stain: channels[stain] for stain in STAINS if stain in channels}


def stain_planes(
    channels: Channels,
    path: StrPath,
    chosen: Mapping[str, int | str] | None = None,
    stains: Sequence[str] = STAINS,
) -> dict[str, int]:
    """Return the plane of each stain.

    Parameters
    ----------
    channels : Channels
    path : path-like
        Name of the file in error messages.
    chosen : mapping of str to int or str, optional
        From `parse_channels`. Default: assigned by the channel names.
    stains : sequence of str, default=STAINS
        The stains of the fields.

    Returns
    -------
    dict of str to int
        The plane of each stain of `chosen`, or of `stains`.

    Raises
    ------
    InputError
        If a chosen plane does not exist, the names lack a stain or match it
        twice, or the names repeat for several positions, depths or times.
    """
    _reject_positions(channels, path)
    if chosen is not None:
        return {stain: _chosen(channels, path, stain, choice) for stain, choice in chosen.items()}
    remedy = _remedy(stains)
    if not any(channels.names):
        n_planes = len(channels.names)
        if n_planes >= 2 * len(stains):
            remedy += f"; if they are several positions, {_SAVE_EACH}"
        message = f"{counted(n_planes, 'channel')} without names; {remedy}"
        raise FileFault(path, message, "channels")
    planes: dict[str, int] = {}
    for number, name in enumerate(channels.names):
        meant = [stain for stain in stains_meant(name) if stain in stains]
        if len(meant) > 1:
            raise FileFault(
                path,
                f"channel {name!r} could be {' or '.join(meant)} (channels: {channels}); {remedy}",
                "channels",
            )
        for stain in meant:
            if stain in planes:
                raise FileFault(
                    path,
                    f"two channels are {stain} (channels: {channels}); if they are two positions, "
                    f"depths or times, {_SAVE_EACH}; if not, {remedy}",
                    "channels",
                )
            planes[stain] = number
    missing = [stain for stain in stains if stain not in planes]
    if missing:
        hint, parameters = "", ["channels"]
        if list(stains) == list(STAINS) and PROTEIN in planes:
            available = " ".join(stain for stain in STAINS if stain in planes)
            hint = f". If the fields have no other stains, set stains to {available}"
            parameters.append("stains")
        message = f"no channel is {shorten(missing)} (channels: {channels}); {remedy}{hint}"
        raise FileFault(path, message, *parameters)
    return {stain: planes[stain] for stain in stains}


def plane_paths(
    path: Path, chosen: Mapping[str, int | str] | None = None, stains: Sequence[str] = STAINS
) -> tuple[str, dict[str, Path]] | None:
    """Find the field in one file of a folder.

    Parameters
    ----------
    path : Path
    chosen, stains
        As for `stain_planes`.

    Returns
    -------
    image_id : str
        Name of the file without ``.tif``, ``.tiff``, ``.ome.tif`` or ``.ome.tiff``.
    stains : dict of str to Path
        Path with the plane of each stain. For a damaged TIFF, its first planes,
        so that `hpastack.fields.check_fields` reports it.

    None if the file has another suffix or fewer planes than stains, or is a
    colour image and `chosen` is None.

    Raises
    ------
    InputError
        As `stain_planes`.
    """
    match = _FILE.fullmatch(path.name)
    if match is None:
        return None
    stains = list(chosen or stains)
    try:
        channels = read_channels(path)
    except (FileFault, OSError):
        planes = {stain: number for number, stain in enumerate(stains)}
    else:
        is_picture = channels.is_picture and chosen is None
        if len(channels.names) < len(stains) or is_picture:
            return None
        planes = stain_planes(channels, path, chosen, stains)
    paths = {stain: path.with_name(f"{path.name}#{plane}") for stain, plane in planes.items()}
    return match["image_id"], paths


def unknown_planes(fields: Iterable[Sequence[StrPath]]) -> list[str]:
    """Find files that may contain more than the one field taken from them.

    Parameters
    ----------
    fields : iterable of sequence of path-like
        The paths of the stains of each field.

    Returns
    -------
    list of str
        A warning for each number of unnamed planes of which at least half are
        ignored.
    """
    alike: dict[int, list[tuple[StrPath, list[int]]]] = {}
    for paths in fields:
        files, planes = zip(*map(split_plane, paths))
        taken = sorted({plane for plane in planes if plane is not None})
        if len(taken) < len(paths) or len(set(files)) > 1:
            continue
        try:
            names = read_channels(files[0]).names
        except (FileFault, OSError):  # reported when its pixels are read
            continue
        if not any(names) and len(names) >= 2 * len(taken):
            alike.setdefault(len(names), []).append((files[0], taken))
    warnings = []
    for n_planes, files_alike in alike.items():
        path, taken = files_alike[0]
        ignored = [number for number in range(n_planes) if number not in taken]
        warnings.append(
            f"{counted(len(files_alike), 'file')} with {n_planes} unnamed planes, such as {path}: "
            f"planes {shorten(taken, 12)} are the stains, {shorten(ignored, 12)} are ignored; if "
            f"these are another position, depth or time, {_SAVE_EACH}"
        )
    return warnings


def _remedy(stains: Sequence[str]) -> str:
    example = ",".join(f"{stain}={number}" for number, stain in enumerate(stains))
    return f"set channels to {example} (planes counted from 0), or move the file elsewhere"


def _reject_positions(channels: Channels, path: StrPath) -> None:
    """Reject a file whose channel names repeat for several positions, depths or times."""
    names = [_words(name) for name in channels.names]
    bare = [" ".join(re.findall(r"\w+", _TAKEN_AT.sub(" ", name))) for name in names]
    counts = Counter(bare)
    times = set(counts.values())
    if "" in counts or len(counts) < 2 or len(times) > 1 or times == {1}:
        return
    (n_times,) = times
    repeated = [number for number, name in enumerate(bare) if name == bare[0]]
    shown = ", ".join(f"{number} {channels.names[number]!r}" for number in repeated)
    raise FileFault(
        path,
        f"TIFF with {n_times} positions, depths or times: each of its "
        f"{counted(len(counts), 'channel')} occurs {n_times} times, such as {shown}; {_SAVE_EACH}",
    )


def _chosen(channels: Channels, path: StrPath, stain: str, choice: int | str) -> int:
    if isinstance(choice, int) and choice < len(channels.names):
        return choice
    wanted = _words(str(choice))
    planes = [plane for plane, name in enumerate(channels.names) if _words(name) == wanted]
    # A number above those of the planes may be a name: channels may be named by wavelengths.
    if isinstance(choice, int) and not planes:
        raise FileFault(
            path,
            f"channels {stain}={choice}: the file has planes 0 to {len(channels.names) - 1}",
            "channels",
        )
    if len(planes) != 1:
        how_many = "no channel" if not planes else "several channels"
        raise FileFault(
            path,
            f"channels {stain}={choice}: {how_many} with that name (channels: {channels}); set it "
            "to the number of its plane",
            "channels",
        )
    return planes[0]


def _words(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.casefold().replace("_", " ")))


def stains_meant(name: str) -> list[str]:
    """Return the stains that a channel name may refer to.

    Parameters
    ----------
    name : str

    Returns
    -------
    list of str
        The stains of which it is one of the `SYNONYMS`; if there are none, those
        of which it contains one.

    Examples
    --------
    >>> stains_meant("Nuclei (DAPI)"), stains_meant("FITC")
    (['blue'], [])
    """
    words = _words(name)
    exact = [stain for stain in STAINS if words in SYNONYMS[stain]]
    return exact or [
        stain for stain in STAINS if any(f" {word} " in f" {words} " for word in SYNONYMS[stain])
    ]


def _names(layout: TiffLayout, path: StrPath) -> tuple[str, ...]:
    n = layout.n_planes
    if is_ome(layout.description):
        return channel_names(layout.description, [page.samples for page in layout.pages], path)
    labels = layout.imagej.get("Labels")
    if isinstance(labels, list) and len(labels) == n:
        return tuple(str(label).strip() for label in labels)
    pages = [page.name.strip() for page in layout.pages]
    return tuple(pages) if len(pages) == n else ("",) * n
