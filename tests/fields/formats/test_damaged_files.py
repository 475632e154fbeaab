"""Files with one damage each, made byte by byte: the message says which."""

import io
import re
import struct

import numpy as np
import pytest
import tifffile
from image_files import PALETTE, PNG_MAGIC, chunk, patched, picture, png, saved, tiff

import hpastack.fields.formats.tiff as tiff_module
from hpastack.errors import InputError
from hpastack.fields import read_stain
from hpastack.fields.formats import decoding
from hpastack.fields.formats.decoding import decode_picture, open_picture, read_bytes, stain_of
from hpastack.fields.formats.ome import channel_names

pytestmark = pytest.mark.core

GREY = picture()
COLOUR = np.dstack([GREY] * 3)
PNG = png(GREY)
JPEG = saved(GREY, "JPEG", quality=90)
RESTARTED = saved(GREY, "JPEG", quality=90, restart_marker_blocks=3)
FRAME, SCAN = JPEG.index(b"\xff\xc0"), JPEG.index(b"\xff\xda")
END = b"\xff\xd9"
TIFF = tiff(GREY, rowsperstrip=8)
OF_JPEG = saved(GREY, "TIFF", compression="jpeg")
SMALL = np.zeros((65, 4, 4), np.uint8)


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def with_first(*segments):
    """A JPEG with these segments before its own."""
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def with_frame(body):
    (length,) = struct.unpack_from(">H", JPEG, FRAME + 2)
    return JPEG[:FRAME] + segment(0xC0, body) + JPEG[FRAME + 2 + length :]


def with_scan(*body):
    (length,) = struct.unpack_from(">H", JPEG, SCAN + 2)
    return JPEG[:SCAN] + segment(0xDA, bytes(body)) + JPEG[SCAN + 2 + length :]


def one_plane_of(colours):
    """A JPEG in colours of which only the first plane has a scan."""
    start = colours.index(b"\xff\xda")
    (length,) = struct.unpack_from(">H", colours, start + 2)
    header = segment(0xDA, bytes([1, colours[start + 5], 0, 0, 63, 0]))
    return colours[:start] + header + colours[start + 2 + length :]


def overwritten(data, tag="StripOffsets"):
    """A TIFF whose first strip begins with zeros."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = file.pages[0].dataoffsets[0]
    return data[:place] + bytes(8) + data[place + 8 :]


KINDS = {
    "jpeg, empty segment": (JPEG[:2] + b"\xff\xe1\0\0" + JPEG[2:], "damaged JPEG"),
    "jpeg, two beginnings": (with_first(segment(0xD8, b"")), "damaged JPEG"),
    "jpeg, restart interval": (with_first(segment(0xDD, b"\0")), "damaged JPEG"),
    "jpeg, no size before a scan": (JPEG[:FRAME] + JPEG[SCAN:], "damaged JPEG: it has no size"),
    "jpeg, no size": (JPEG[:FRAME] + END, "damaged JPEG: it has no size"),
    "jpeg, scans": (JPEG[:-2] + 100 * JPEG[SCAN:-2] + END, "JPEG with more than 100 scans"),
    "jpeg, plane": (
        one_plane_of(saved(COLOUR, "JPEG", quality=90)), "truncated JPEG: a plane is missing"
    ),
    "jpeg, short frame": (with_frame(b"\x08\0"), "damaged JPEG"),
    "jpeg, long frame": (with_frame(JPEG[FRAME + 4 : FRAME + 13] + b"\0"), "damaged JPEG"),
    "jpeg, sampling": (
        with_frame(JPEG[FRAME + 4 : FRAME + 11] + b"\x50\0"), "damaged JPEG: invalid planes"
    ),
    "jpeg, code table": (with_first(segment(0xC4, bytes(17))), "damaged JPEG"),
    "jpeg, scan without planes": (with_scan(0, 0, 63, 0), "damaged JPEG"),
    "jpeg, scan of another plane": (with_scan(1, 99, 0, 0, 63, 0), "damaged JPEG"),
    "jpeg, scan of some frequencies": (with_scan(1, JPEG[SCAN + 5], 0, 0, 5, 0), "damaged JPEG"),
    "jpeg, restart markers": (
        RESTARTED.replace(b"\xff\xd0", b"\xff\xd1", 1),
        "damaged JPEG: its restart markers are out of order",
    ),
    "png, palette": (
        png(GREY, colour=PALETTE, before=[(b"PLTE", bytes(4))]), "damaged PNG: invalid palette"
    ),
    "png, late transparency": (
        png(GREY, after=[(b"tRNS", b"\0\0")]),
        "damaged PNG: its transparency comes after its pixels",
    ),
    "png, transparency": (
        png(GREY, before=[(b"tRNS", bytes(3))]), "damaged PNG: invalid transparency"
    ),
    "png, header": (
        PNG_MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 3, 0, 0, 0, 0)) + PNG[33:],
        "damaged PNG: invalid header",
    ),
    "png, two headers": (PNG[:33] + PNG[8:], "damaged PNG: it has two headers"),
    "png, unknown chunk": (
        png(GREY, before=[(b"ABCD", b"")]), "PNG with an unknown chunk b'ABCD'"
    ),
    "tiff, two widths": (
        patched(TIFF, "ImageWidth", 2, what="count"),
        "truncated or damaged TIFF (int() argument must be a string, a bytes-like object or a "
        "real number, not 'tuple')",
    ),
    "tiff, only a thumbnail": (
        tiff(GREY, subfiletype=1), "truncated or damaged TIFF: it contains no image"
    ),
    "tiff, samples": (
        tiff(SMALL, photometric="minisblack", planarconfig="separate"),
        "TIFF with 65 samples; the maximum is 64",
    ),
    "tiff, images of ImageJ": (
        tiff(GREY, description="ImageJ=1.54f\nimages=65\n", metadata=None),
        "TIFF with 65 planes; the maximum is 64",
    ),
    "tiff, JPEG of 16 bits": (
        patched(OF_JPEG, "BitsPerSample", 16), "damaged TIFF: JPEG compression of 16-bit values"
    ),
    "tiff, wide tiles": (
        patched(tiff(GREY, tile=(16, 16)), "TileWidth", 2**28),
        "TIFF with strips or tiles of more than 268435456 values",
    ),
    "tiff, deep palette": (
        patched(tiff(GREY.astype("u2")), "PhotometricInterpretation", 3),
        "TIFF with a palette that is not 8 bit",
    ),
    "tiff, one sample of three": (
        patched(TIFF, "PhotometricInterpretation", 2),
        "damaged TIFF: only 1 samples for its colours",
    ),
    "tiff, palette": (
        patched(TIFF, "PhotometricInterpretation", 3), "damaged TIFF: its palette is missing"
    ),
    "tiff, strip": (overwritten(OF_JPEG), "damaged TIFF: a strip or tile is not a JPEG"),
    "tiff, narrow strip": (
        patched(OF_JPEG, "ImageWidth", 56),
        "damaged TIFF: a JPEG strip or tile of a different size",
    ),
}  # fmt: skip
OF_PLANES = {
    "pages": (
        tiff(SMALL, photometric="minisblack", metadata=None),
        "TIFF with 65 planes; the maximum is 64",
    ),
    "volume": (
        tiff(np.zeros((2, 16, 16), np.uint8), volumetric=True, tile=(1, 16, 16), metadata=None),
        "TIFF with several depths (Z); save one of them, or their projection",
    ),
    "palette": (
        patched(TIFF, "PhotometricInterpretation", 3),
        "its planes are not channels; save it as grey (black is zero)",
    ),
}


def read(data, plane=None):
    return decode_picture(open_picture(data, plane, "f"), "f")


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_names_the_damage(kind):
    data, message = KINDS[kind]
    with pytest.raises(InputError, match=f"^{re.escape(f'f: {message}')}$"):
        read(data)


@pytest.mark.parametrize("kind", OF_PLANES)
def test_the_message_says_why_there_is_no_such_plane(kind):
    data, message = OF_PLANES[kind]
    with pytest.raises(InputError, match=f"^{re.escape(f'f: {message}')}$"):
        read(data, plane=0)


def test_the_most_pages_of_a_tiff(monkeypatch):
    data = tiff(SMALL[:3], photometric="minisblack", metadata=None)
    read(data, plane=0)
    monkeypatch.setattr(tiff_module, "_MOST_PAGES", 2)
    with pytest.raises(InputError, match="f: TIFF with more than 2 pages"):
        read(data, plane=0)


def test_a_page_that_the_library_does_not_read(monkeypatch):
    monkeypatch.setattr(tiff_module, "islice", lambda pages, stop: list(pages)[: stop - 1])
    with pytest.raises(InputError, match="f: truncated or damaged TIFF: a page cannot be read"):
        read(TIFF)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('<Channel/><TiffData IFD="2" FirstC="0"/>', "OME-XML refers to page 2; the file has 2"),
        ("<Channel/><Channel/><Channel/>", "OME-XML describes 3 channels; the file has 2 planes"),
        ('<TiffData IFD="0" FirstC="0" PlaneCount="65"/>',
         "OME-XML with 65 planes; the maximum is 64"),
    ],
)  # fmt: skip
def test_ome_xml_that_does_not_fit_its_file(data, message):
    xml = f"<OME><Image><Pixels>{data}</Pixels></Image></OME>"
    with pytest.raises(InputError, match=f"f: {message}"):
        channel_names(xml, [1, 1], "f")


def test_a_name_that_no_file_can_have():
    with pytest.raises(InputError, match="no such file"):
        read_stain("f\0.png", "red")


def test_a_file_that_vanishes(tmp_path, monkeypatch):
    path = tmp_path / "f.png"
    path.write_bytes(PNG)

    def is_regular(mode):
        path.unlink()
        return True

    monkeypatch.setattr(decoding, "S_ISREG", is_regular)
    with pytest.raises(InputError, match=r"f\.png: no such file"):
        read_bytes(path)


def test_pixels_unlike_the_header():
    opened = open_picture(JPEG, None, "f")._replace(height=41)
    with pytest.raises(InputError, match="f: decodes to uint8, 60 x 40 .*, unlike its header"):
        decode_picture(opened, "f")


def test_pixels_of_five_planes():
    with pytest.raises(InputError, match="f: 5 planes; it must be grey or RGB"):
        stain_of(np.zeros((4, 4, 5), np.uint8), "red", False, "f")
