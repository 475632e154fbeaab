"""What OME-XML says of the planes of a TIFF."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

from hpastack.errors import counted
from hpastack.fields.formats.faults import FileFault, StrPath
from hpastack.fields.formats.planes import split_plane

_MOST_XML = 2**24
_SIGNIFICANT_BITS = re.compile(r"""\bSignificantBits\s*=\s*["'](\d{1,2})["']""")
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_SIZE = re.compile(r"""\bPhysicalSizeX\s*=\s*["']([^"']{1,30})["']""")
_UNIT = re.compile(r"""\bPhysicalSizeXUnit\s*=\s*["']([^"']{1,30})["']""")
# In micrometres; the letter mu has two code points. Units of pixels or of a stage say nothing.
_MICROMETRES = {
    "\u00b5m": 1.0,
    "\u03bcm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}
_FILLING = "\0 \r\n\t"


def is_ome(description: str) -> bool:
    """Return whether the description of a TIFF is OME-XML."""
    return description.rstrip(_FILLING).endswith("OME>")


def significant_bits(text: str) -> int:
    """Return how many bits the values of a file use, as OME-XML says it.

    Parameters
    ----------
    text : str
        As `is_ome` lets it pass.

    Returns
    -------
    int
        The greatest of what it says of its images; 0 where it says nothing.

    Examples
    --------
    >>> significant_bits('<OME><Image><Pixels SignificantBits="12"/></Image></OME>')
    12
    """
    return max((int(bits) for bits in _SIGNIFICANT_BITS.findall(text)), default=0)


def physical_size(text: str) -> float:
    """Return the width of a pixel in micrometres, as OME-XML says it.

    Parameters
    ----------
    text : str
        As `is_ome` lets it pass.

    Returns
    -------
    float
        0 where it says nothing, no positive number below 1,000 micrometres,
        a unit that is no length, or different things of several images.

    Examples
    --------
    >>> physical_size('<Pixels PhysicalSizeX="80" PhysicalSizeXUnit="nm"/>')
    0.08
    """
    sizes = {_micrometres(pixels) for pixels in _PIXELS.findall(text)}
    return sizes.pop() if len(sizes) == 1 else 0.0


def _micrometres(pixels: str) -> float:
    size, unit = _SIZE.search(pixels), _UNIT.search(pixels)
    if size is None:
        return 0.0
    factor = _MICROMETRES.get(unescape(unit[1]) if unit else "um", 0.0)
    try:
        micrometres = float(f"{float(size[1]) * factor:.6g}")
    except ValueError:
        return 0.0
    return micrometres if 0 < micrometres < 1000 else 0.0


def channel_names(text: str, samples: Sequence[int], path: StrPath) -> tuple[str, ...]:
    """Read the names of the channels from OME-XML, and which plane each one is.

    Parameters
    ----------
    text : str
        As `is_ome` lets it pass.
    samples : sequence of int
        How many planes each page of the file holds.
    path : path-like
        What to call the file in an error.

    Returns
    -------
    tuple of str
        A name for each plane of the file, "" where there is none.

    Raises
    ------
    FileFault
        If it is damaged, speaks of planes that are not there or in other
        files, or of several positions, depths or times.
    """
    n_planes = sum(samples)
    # A document type could define entities that grow without bound.
    if len(text) > _MOST_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileFault(path, "OME-XML with a document type or larger than any; it is not read")
    try:
        root = ElementTree.fromstring(text.rstrip(_FILLING))
    except (ElementTree.ParseError, ValueError) as error:
        raise FileFault(path, f"damaged OME-XML ({error})") from None
    images = [image for image in _children([root], "Image") if _children([image], "Pixels")]
    if not images:
        return ("",) * n_planes
    pixels = _children([_own_image(images, path)], "Pixels")[0]
    for axis, key in (("depths (Z)", "SizeZ"), ("times (T)", "SizeT")):
        number = _whole(pixels.get(key), 1, path)
        if number > 1:
            raise FileFault(path, f"TIFF of {number} {axis}; save one, or their projection")
    channels = _children([pixels], "Channel")
    names = [""] * n_planes
    first_of_page = [0]
    for count in samples:
        first_of_page.append(first_of_page[-1] + count)
    pages = _pages_of_channels(pixels, path)
    plane = 0
    for number, channel in enumerate(channels):
        n_samples = _whole(channel.get("SamplesPerPixel"), 1, path)
        page = pages.get(number)
        if page is not None:
            if page >= len(samples):
                raise FileFault(path, f"OME-XML of page {page}; there are {len(samples)}")
            plane = first_of_page[page]
        if plane + n_samples > n_planes:
            raise FileFault(
                path,
                f"OME-XML of {counted(len(channels), 'channel')}; the file has "
                f"{counted(n_planes, 'plane')}",
            )
        if n_samples == 1:
            names[plane] = (channel.get("Name") or "").strip()
        plane += n_samples
    return tuple(names)


def _own_image(images: list[ElementTree.Element], path: StrPath) -> ElementTree.Element:
    """Return the one position that the file holds."""
    if len(images) == 1:
        return images[0]
    # Each file of a set may describe all of it.
    name = Path(split_plane(path)[0]).name
    own = [image for image in images if _file_names(image) == {name}]
    if len(own) != 1:
        raise FileFault(
            path,
            f"TIFF of {len(images)} positions (Image elements); save each as a file of its own",
        )
    return own[0]


def _file_names(image: ElementTree.Element) -> set[str | None]:
    entries = _children(_children([image], "Pixels"), "TiffData")
    return {place.get("FileName") for place in _children(entries, "UUID")}


def _pages_of_channels(pixels: ElementTree.Element, path: StrPath) -> dict[int, int]:
    """Return the page of each channel where the XML says it."""
    pages = {}
    for entry in _children([pixels], "TiffData"):
        for place in _children([entry], "UUID"):
            name = place.get("FileName")
            if name and _is_beside(path, name):
                raise FileFault(path, f"OME-TIFF whose planes lie in several files ({name})")
        if entry.get("IFD") is not None and entry.get("FirstC") is not None:
            count = _whole(entry.get("PlaneCount"), 1, path)
            if count > 64:
                raise FileFault(path, f"OME-XML of {count} planes")
            for step in range(count):
                channel = _whole(entry.get("FirstC"), 0, path) + step
                pages[channel] = _whole(entry.get("IFD"), 0, path) + step
    return pages


def _is_beside(path: StrPath, name: str) -> bool:
    # A file that was renamed still carries its old name; one that is there is another file.
    file = Path(split_plane(path)[0])
    return Path(name).name == name != file.name and file.with_name(name).exists()


def _children(parents: Iterable[ElementTree.Element], name: str) -> list[ElementTree.Element]:
    """Return the children of that name, whatever the version of the schema."""
    return [child for parent in parents for child in parent if child.tag.rpartition("}")[2] == name]


def _whole(text: str | None, default: int, path: StrPath) -> int:
    if text is None:
        return default
    if not text.strip().isdecimal() or len(text) > 9:
        raise FileFault(path, f"damaged OME-XML: {text[:20]!r} is no number")
    return int(text)
