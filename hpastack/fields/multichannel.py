"""Fields kept as one TIFF with several channels: which plane is which stain.

A stain of such a field is a path with the number of a plane, ``field.ome.tif#2``,
which `hpastack.read_field` reads as any other. Here the planes are found by the
names that OME-XML, ImageJ or the pages give them, or as the user says.
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
from hpastack.fields.formats.tiff import MAGICS, RGB, TiffLayout, read_layout, refuse_stack
from hpastack.fields.stains import PROTEIN, STAINS

#: What each stain is called in files, in any case.
SYNONYMS = {
    "red": ("red", "microtubules", "microtubule", "tubulin"),
    "green": ("green", "protein", "protein of interest", "antibody", "target"),
    "blue": ("blue", "nucleus", "nuclei", "dapi", "hoechst", "dna"),
    "yellow": ("yellow", "er", "endoplasmic reticulum", "reticulum", "calreticulin"),
}

_FILE = re.compile(r"(?P<image_id>.+?)(\.ome)?\.tiff?", re.IGNORECASE)
# What a name of a channel may carry of the position, depth or time it was taken at.
_TAKEN_AT = re.compile(
    r"\b(s|p|f|m|v|z|t|xy|pos|position|series|scene|site|fov|field|view|tile|slice|depth|frame|time)"
    r"\s*\d+(\s*/\s*\d+|\s+of\s+\d+)?\b"
)
_COLOURS = 3
_SAVE_EACH = "save each as a file of its own"


class Channels(NamedTuple):
    """The planes of a TIFF: how many, and what they are called ("" if nothing is known)."""

    names: tuple[str, ...]
    is_picture: bool = False  # in colour, and perhaps see-through, which has four planes

    def __str__(self) -> str:
        return ", ".join(f"{number} {name!r}" for number, name in enumerate(self.names))


def read_channels(path: StrPath) -> Channels:
    """Read what the planes of a TIFF are called, without decoding them.

    Names come from OME-XML, else from the labels of ImageJ, else from the tag
    PageName of each page.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Channels
        Planes in the order of the file: pages, and the samples of each.

    Raises
    ------
    InputError
        If it is no TIFF or damaged, has several depths or times, its pages
        differ in size, or its OME-XML cannot be understood.
    OSError
        If the file cannot be read.
    """
    if not os.path.isfile(path):  # to open a pipe would wait for ever
        raise FileFault(path, "no such file")
    with open(path, "rb") as file:
        if file.read(4) not in MAGICS:
            raise FileFault(path, "not a TIFF")
        file.seek(0)
        layout = read_layout(file, os.fstat(file.fileno()).st_size, path)
    refuse_stack(layout, path)
    first = layout.pages[0]
    is_picture = (
        len(layout.pages) == 1
        and first.photometric == RGB
        and (first.has_alpha or first.samples == _COLOURS)
    )
    return Channels(_names(layout, path), is_picture)


def parse_channels(text: str, stains: Sequence[str] = STAINS) -> dict[str, int | str]:
    """Understand the option ``--channels``.

    Parameters
    ----------
    text : str
        Stains with the number of their plane, or with the name of their
        channel. A stain may go by any of its `SYNONYMS`.
    stains : sequence of str, default=STAINS
        Those that the fields have.

    Returns
    -------
    dict of str to int or str
        Plane or channel of each of the stains.

    Raises
    ------
    InputError
        If a stain is unknown, missing or named twice, or two have one plane.

    Examples
    --------
    >>> parse_channels("nuclei=0,ER=3,microtubules=2,protein=FITC")
    {'red': 2, 'green': 'FITC', 'blue': 0, 'yellow': 3}
    """
    found: dict[str, int | str] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        stain = next((s for s in STAINS if _words(name) in SYNONYMS[s]), None)
        if stain is None or not value:
            raise InputError(f"--channels {part!r}: not a stain and its plane, such as red=0")
        if stain in found:
            raise InputError(f"--channels names the {stain} stain twice")
        found[stain] = int(value) if value.isdecimal() else value
    missing = [stain for stain in stains if stain not in found]
    if missing:
        there = " ".join(stain for stain in STAINS if stain in found)
        raise InputError(
            f"--channels lacks {shorten(missing)}; it names all four stains. If the fields have "
            f"no others: --stains {there}"
        )
    extra = [stain for stain in found if stain not in stains]
    if extra:
        raise InputError(f"--channels names {shorten(extra)}, and --stains does not")
    if len(set(found.values())) < len(found):
        raise InputError("--channels gives two stains one plane")
    return {stain: found[stain] for stain in STAINS if stain in found}


def stain_planes(
    channels: Channels,
    path: StrPath,
    chosen: Mapping[str, int | str] | None = None,
    stains: Sequence[str] = STAINS,
) -> dict[str, int]:
    """Say which plane is which stain.

    Parameters
    ----------
    channels : Channels
    path : path-like
        Named in errors.
    chosen : mapping of str to int or str, optional
        From `parse_channels`. Left out: by the names of the channels.
    stains : sequence of str, default=STAINS
        Those that the fields have.

    Returns
    -------
    dict of str to int
        The plane of each stain, of `chosen` or of `stains`.

    Raises
    ------
    InputError
        If a plane that was chosen is not there, the names leave a stain out or mean it
        twice, or they say that there are several positions, depths or times.
    """
    _refuse_positions(channels, path)
    if chosen is not None:
        return {stain: _chosen(channels, path, stain, choice) for stain, choice in chosen.items()}
    remedy = _remedy(stains)
    if not any(channels.names):
        n_planes = len(channels.names)
        if n_planes >= 2 * len(stains):
            remedy += f"; if they are several positions, {_SAVE_EACH}"
        raise FileFault(path, f"{counted(n_planes, 'channel')} without names; {remedy}")
    planes: dict[str, int] = {}
    for number, name in enumerate(channels.names):
        meant = [stain for stain in stains_meant(name) if stain in stains]
        if len(meant) > 1:
            raise FileFault(
                path, f"channel {name!r} could be {' or '.join(meant)} (of {channels}); {remedy}"
            )
        for stain in meant:
            if stain in planes:
                raise FileFault(
                    path,
                    f"two channels are {stain} (of {channels}); if they are of two positions, "
                    f"depths or times, {_SAVE_EACH}; if not, {remedy}",
                )
            planes[stain] = number
    missing = [stain for stain in stains if stain not in planes]
    if missing:
        hint = ""
        if list(stains) == list(STAINS) and PROTEIN in planes:
            there = " ".join(stain for stain in STAINS if stain in planes)
            hint = f". If the fields have no others: --stains {there}"
        raise FileFault(path, f"no channel is {shorten(missing)} (of {channels}); {remedy}{hint}")
    return {stain: planes[stain] for stain in stains}


def plane_paths(
    path: Path, chosen: Mapping[str, int | str] | None = None, stains: Sequence[str] = STAINS
) -> tuple[str, dict[str, Path]] | None:
    """Find the field that one file of a folder holds.

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
        Path with the plane of each stain. Of a TIFF that is damaged they are
        its first planes, for `hpastack.fields.check_fields` to report.

    None where the file has another ending or fewer planes than stains, or is a
    colour picture and nothing is chosen.

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
    """Say which files may hold more than the one field that is taken from them.

    Parameters
    ----------
    fields : iterable of sequence of path-like
        The paths of the stains of each field.

    Returns
    -------
    list of str
        A warning for each number of planes without names, where at least as many are ignored as
        are stains.
    """
    alike: dict[int, list[tuple[StrPath, list[int]]]] = {}
    for paths in fields:
        files, planes = zip(*map(split_plane, paths))
        taken = sorted({plane for plane in planes if plane is not None})
        if len(taken) < len(paths) or len(set(files)) > 1:
            continue
        try:
            names = read_channels(files[0]).names
        except (FileFault, OSError):  # reported by who reads its pixels
            continue
        if not any(names) and len(names) >= 2 * len(taken):
            alike.setdefault(len(names), []).append((files[0], taken))
    warnings = []
    for n_planes, found in alike.items():
        path, taken = found[0]
        ignored = [number for number in range(n_planes) if number not in taken]
        warnings.append(
            f"{counted(len(found), 'file')} of {counted(n_planes, 'plane')} without names, such as "
            f"{path}: "
            f"planes {shorten(taken, 12)} are the stains, {shorten(ignored, 12)} are ignored; if "
            f"these are another position, depth or time, {_SAVE_EACH}"
        )
    return warnings


def _remedy(stains: Sequence[str]) -> str:
    example = ",".join(f"{stain}={number}" for number, stain in enumerate(stains))
    return f"say which is which with --channels {example} (counted from 0), or keep it elsewhere"


def _refuse_positions(channels: Channels, path: StrPath) -> None:
    """Reject a file whose channels have the same names again and again."""
    names = [_words(name) for name in channels.names]
    bare = [" ".join(re.findall(r"\w+", _TAKEN_AT.sub(" ", name))) for name in names]
    counts = Counter(bare)
    times = set(counts.values())
    if "" in counts or len(counts) < 2 or len(times) > 1 or times == {1}:
        return
    (n_times,) = times
    again = [number for number, name in enumerate(bare) if name == bare[0]]
    shown = ", ".join(f"{number} {channels.names[number]!r}" for number in again)
    raise FileFault(
        path,
        f"each of its {counted(len(counts), 'channel')} is there {n_times} times, such as {shown}: "
        "TIFF of "
        f"{n_times} positions, depths or times; {_SAVE_EACH}",
    )


def _chosen(channels: Channels, path: StrPath, stain: str, choice: int | str) -> int:
    if isinstance(choice, int):
        if choice >= len(channels.names):
            raise FileFault(
                path, f"--channels {stain}={choice}: it has planes 0 to {len(channels.names) - 1}"
            )
        return choice
    found = [k for k, name in enumerate(channels.names) if _words(name) == _words(choice)]
    if len(found) != 1:
        how_many = "no channel" if not found else "several channels"
        raise FileFault(
            path, f"--channels {stain}={choice}: {how_many} of that name (of {channels})"
        )
    return found[0]


def _words(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.casefold().replace("_", " ")))


def stains_meant(name: str) -> list[str]:
    """Return the stains that the name of a channel may mean.

    Parameters
    ----------
    name : str

    Returns
    -------
    list of str
        It is one of their `SYNONYMS`, or has one among its words.

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
