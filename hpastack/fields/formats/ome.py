"""Metadata of TIFF planes from OME-XML: channel names, bit depth, pixel size."""

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
# In micrometres; the letter mu has two code points. Pixel and stage units are not lengths.
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
    """Whether the description of a TIFF is OME-XML."""
    return description.rstrip(_FILLING).endswith("OME>")


def significant_bits(text: str) -> int:
    """Return the bit depth of a file according to OME-XML.

    Parameters
    ----------
    text : str
        OME-XML, as checked by `is_ome`.

    Returns
    -------
    int
        The maximum over its images; 0 if it does not specify any.

    Examples
    --------
    >>> significant_bits('<OME><Image><Pixels SignificantBits="12"/></Image></OME>')
    12
    """
    return max((int(bits) for bits in _SIGNIFICANT_BITS.findall(text)), default=0)


def physical_size(text: str) -> float:
    """Return the width of a pixel in micrometres according to OME-XML.

    Parameters
    ----------
    text : str
        OME-XML, as checked by `is_ome`.

    Returns
    -------
    float
        0 if the width is not specified, is not a positive number below 1,000
        micrometres, has a unit that is not a length, or differs between images.

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
    """Read the channel name of each plane from OME-XML.

    Parameters
    ----------
    text : str
        OME-XML, as checked by `is_ome`.
    samples : sequence of int
        Number of planes in each page of the file.
    path : path-like
        Name of the file in error messages.

    Returns
    -------
    tuple of str
        The name of each plane of the file; "" if it has none.

    Raises
    ------
    FileFault
        If the XML is damaged, refers to planes that are missing or in other
        files, or describes several positions, depths or times.
    """
    n_planes = sum(samples)
    # A document type could define entities that expand without limit.
    if len(text) > _MOST_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileFault(path, f"OME-XML with a document type or above {_MOST_XML} characters")
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
            raise FileFault(
                path, f"TIFF with {number} {axis}; save one of them, or their projection"
            )
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
                raise FileFault(
                    path, f"OME-XML refers to page {page}; the file has {len(samples)}, from 0"
                )
            plane = first_of_page[page]
        if plane + n_samples > n_planes:
            raise FileFault(
                path,
                f"OME-XML describes {counted(len(channels), 'channel')}; the file has "
                f"{counted(n_planes, 'plane')}",
            )
        if n_samples == 1:
            names[plane] = (channel.get("Name") or "").strip()
        plane += n_samples
    return tuple(names)


def _own_image(images: list[ElementTree.Element], path: StrPath) -> ElementTree.Element:
    """Return the image (position) that is in the file itself."""
    if len(images) == 1:
        return images[0]
    # Each file of a set may describe the whole set.
    name = Path(split_plane(path)[0]).name
    own = [image for image in images if _file_names(image) == {name}]
    if len(own) != 1:
        raise FileFault(
            path,
            f"TIFF with {len(images)} positions (Image elements); save each one as a separate file",
        )
    return own[0]


def _file_names(image: ElementTree.Element) -> set[str | None]:
    entries = _children(_children([image], "Pixels"), "TiffData")
    return {place.get("FileName") for place in _children(entries, "UUID")}


def _pages_of_channels(pixels: ElementTree.Element, path: StrPath) -> dict[int, int]:
    """Return the page of each channel for which the XML specifies it."""
    pages = {}
    for entry in _children([pixels], "TiffData"):
        for place in _children([entry], "UUID"):
            name = place.get("FileName")
            if name and _is_beside(path, name):
                raise FileFault(path, f"OME-TIFF with planes in several files ({name})")
        if entry.get("IFD") is not None and entry.get("FirstC") is not None:
            count = _whole(entry.get("PlaneCount"), 1, path)
            if count > 64:
                raise FileFault(path, f"OME-XML with {count} planes; the maximum is 64")
            for step in range(count):
                channel = _whole(entry.get("FirstC"), 0, path) + step
                pages[channel] = _whole(entry.get("IFD"), 0, path) + step
    return pages


def _is_beside(path: StrPath, name: str) -> bool:
    # A renamed file still contains its old name; if that file exists, it is another one.
    file = Path(split_plane(path)[0])
    return Path(name).name == name != file.name and file.with_name(name).exists()


def _children(parents: Iterable[ElementTree.Element], name: str) -> list[ElementTree.Element]:
    """Return the children with this name, in any version of the schema."""
    return [child for parent in parents for child in parent if child.tag.rpartition("}")[2] == name]


def _whole(text: str | None, default: int, path: StrPath) -> int:
    if text is None:
        return default
    if not text.strip().isdecimal() or len(text) > 9:
        raise FileFault(path, f"damaged OME-XML: {text[:20]!r} is not a number")
    return int(text)
