"""Every decoder gives the same pixels, for every kind of file that is accepted."""

import io
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tifffile
from image_files import GREY_ALPHA, PALETTE, RGB, RGBA, picture, png, saved, tiff
from PIL import Image

from hpastack.errors import InputError
from hpastack.fields.formats.decoding import decode_picture, open_picture, stain_of

GREY8 = picture(19, 23)
GREY16 = GREY8.astype(np.uint16) * 251 + 17
COLOUR8 = np.dstack([GREY8, np.roll(GREY8, 5, 0), np.roll(GREY8, 7, 1)])
COLOUR16 = COLOUR8.astype(np.uint16) * 251 + 17
OPAQUE8 = np.full_like(GREY8, 255)
OPAQUE16 = np.full_like(GREY16, 65535)
COLOURS = bytes(np.random.default_rng(0).integers(0, 256, 3 * 256, dtype=np.uint8))
GAMMA = (b"gAMA", struct.pack(">I", 220_000))
PROFILE = (b"iCCP", b"odd\0\0" + b"not a profile")
NOTES = [(b"sRGB", b"\0"), (b"pHYs", bytes(9)), (b"tEXt", b"a\0b"), (b"bKGD", b"\0\1")]

# Bytes, and the pixels that are meant.
PNG = {
    "grey": (png(GREY8), GREY8),
    "grey, gamma": (png(GREY8, before=[GAMMA]), GREY8),
    "grey, colour profile": (png(GREY8, before=[PROFILE]), GREY8),
    "grey, notes": (png(GREY8, before=NOTES, after=[(b"tIME", bytes(7))]), GREY8),
    "grey, significant bits": (png(GREY8, before=[(b"sBIT", b"\4")]), GREY8),
    "grey, interlaced": (png(GREY8, interlace=1), GREY8),
    "grey, rows filtered": (saved(GREY8, "PNG", optimize=True), GREY8),
    "grey 16": (png(GREY16, 16), GREY16),
    "grey 16, interlaced": (png(GREY16, 16, interlace=1), GREY16),
    "grey 16 of 12 bits": (png(GREY16 & 4095, 16, before=[(b"sBIT", b"\x0c")]), GREY16 & 4095),
    "grey 1": (png(GREY8 >> 7, 1), (GREY8 >> 7) * 255),
    "grey 2": (png(GREY8 >> 6, 2), (GREY8 >> 6) * 85),
    "grey 4": (png(GREY8 >> 4, 4), (GREY8 >> 4) * 17),
    "grey 4, interlaced": (png(GREY8 >> 4, 4, interlace=1), (GREY8 >> 4) * 17),
    "RGB": (png(COLOUR8, colour=RGB), COLOUR8),
    "RGB, interlaced": (png(COLOUR8, colour=RGB, interlace=1), COLOUR8),
    "RGBA": (png(np.dstack([COLOUR8, OPAQUE8]), colour=RGBA), np.dstack([COLOUR8, OPAQUE8])),
    "palette": (
        png(GREY8, colour=PALETTE, before=[(b"PLTE", COLOURS)]),
        np.frombuffer(COLOURS, np.uint8).reshape(-1, 3)[GREY8],
    ),
    "palette 4": (
        png(GREY8 >> 4, 4, PALETTE, before=[(b"PLTE", COLOURS[:48])]),
        np.frombuffer(COLOURS, np.uint8).reshape(-1, 3)[GREY8 >> 4],
    ),
}
# Pillow gives 16-bit colours as 8 bits, so that OpenCV is the second reader of these.
PNG_OF_OPENCV = {
    "RGB 16": (png(COLOUR16, 16, RGB), COLOUR16),
    "RGBA 16": (
        png(np.dstack([COLOUR16, OPAQUE16]), 16, RGBA), np.dstack([COLOUR16, OPAQUE16])
    ),
}  # fmt: skip


def ours(data, plane=None):
    return decode_picture(open_picture(data, plane, "f"), "f")


def pillows(data):
    with Image.open(io.BytesIO(data)) as image:
        if image.mode in ("1", "P"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        return np.asarray(image)


@pytest.mark.parametrize("name", PNG)
def test_png(name):
    data, expected = PNG[name]
    np.testing.assert_array_equal(ours(data), expected)
    np.testing.assert_array_equal(pillows(data), expected)


@pytest.mark.parametrize("name", PNG_OF_OPENCV)
def test_png_of_16_bit_colours(name):
    data, expected = PNG_OF_OPENCV[name]
    np.testing.assert_array_equal(ours(data), expected)
    opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = [2, 1, 0, 3][: expected.shape[2]]
    np.testing.assert_array_equal(opencv[..., order], expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_with_alpha(depth):
    grey, opaque = (GREY8, OPAQUE8) if depth == 8 else (GREY16, OPAQUE16)
    data = png(np.dstack([grey, opaque]), depth, GREY_ALPHA)
    np.testing.assert_array_equal(ours(data), np.dstack([grey, opaque]))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_grey_level_may_be_transparent(depth):
    levels = GREY16 if depth == 16 else GREY8 >> (8 - depth)
    used = int(levels[3, 3])
    with pytest.raises(InputError, match="alpha channel that is not opaque"):
        stain_of(ours(png(levels, depth, before=[(b"tRNS", struct.pack(">H", used))])),
                 "green", False, "f")  # fmt: skip
    if depth == 8:
        levels = np.where(levels == used, used - 1, levels)
        found = ours(png(levels, depth, before=[(b"tRNS", struct.pack(">H", used))]))
        np.testing.assert_array_equal(found, np.dstack([levels, np.full_like(levels, 255)]))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("transparent", [[], [(b"tRNS", b"\xff\xff")]])
def test_a_palette_may_be_short_if_no_pixel_is_beyond_it(depth, interlace, transparent):
    levels = np.minimum(GREY8 >> (8 - depth), max(2**depth - 2, 1))
    colours = COLOURS[: 3 * (int(levels.max()) + 1)]
    data = png(levels, depth, PALETTE, before=[(b"PLTE", colours), *transparent],
               interlace=interlace)  # fmt: skip
    expected = np.frombuffer(colours, np.uint8).reshape(-1, 3)[levels]
    np.testing.assert_array_equal(ours(data)[..., :3], expected)
    short = [(b"PLTE", colours[:-3]), *([(b"tRNS", b"\xff")] if transparent else [])]
    with pytest.raises(InputError, match="a pixel is outside its palette"):
        ours(png(levels, depth, PALETTE, before=short, interlace=interlace))


def test_decoders_write_nothing_to_stderr(tmp_path):
    odd = png(GREY8, colour=PALETTE, before=[(b"PLTE", COLOURS[:-3])], interlace=1)
    (tmp_path / "f.png").write_bytes(odd)
    code = "import sys; from hpastack.fields import read_stain; read_stain(sys.argv[1], 'red')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "f.png")], capture_output=True, text=True
    )
    assert "outside its palette" in done.stderr or "does not match the red stain" in done.stderr
    assert "PNG warning" not in done.stderr


@pytest.mark.parametrize("restart", [0, 3])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [20, 75, 98])
def test_jpeg(quality, subsampling, progressive, restart):
    # To the last level: both decoders are libjpeg-turbo, whose results are the same with any
    # instruction set. Another libjpeg may round differently, by a level or two.
    for pixels in (GREY8, COLOUR8):
        data = saved(pixels, "JPEG", quality=quality, subsampling=subsampling,
                     progressive=progressive, restart_marker_blocks=restart)  # fmt: skip
        picture = open_picture(data, None, "f")
        found = picture.decode()
        np.testing.assert_array_equal(found, pillows(data))
        picture.verify(found)


def test_notes_in_a_jpeg_do_not_matter():
    exif = Image.Exif()
    exif[274] = 6
    noted = saved(COLOUR8, "JPEG", exif=exif, comment=b"note", icc_profile=bytes(99), quality=90)
    picture = open_picture(noted, None, "f")
    assert len(picture.data) < len(noted) - 100
    found = picture.decode()
    np.testing.assert_array_equal(found, pillows(saved(COLOUR8, "JPEG", quality=90)))
    picture.verify(found)


def opencv_tiff(pixels, packing):
    ok, data = cv2.imencode(".tif", pixels[..., ::-1] if pixels.ndim == 3 else pixels,
                            [cv2.IMWRITE_TIFF_COMPRESSION, packing])  # fmt: skip
    assert ok
    return data.tobytes()


GREY_PHOTO = {"photometric": "minisblack"}
TIFF = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "big-endian bigtiff": {"bigtiff": True, "byteorder": ">"},
    "strips": {"rowsperstrip": 4},
    "tiles": {"tile": (16, 16)},
    "Deflate": {"compression": "zlib"},
    "Deflate, differences": {"compression": "zlib", "predictor": True, "rowsperstrip": 5},
    "Deflate, differences, big-endian tiles": {
        "compression": "zlib", "predictor": True, "byteorder": ">", "tile": (16, 16)
    },
}  # fmt: skip


@pytest.mark.parametrize("pixels", [GREY8, GREY16, COLOUR8, COLOUR16], ids=["L", "I", "C", "D"])
@pytest.mark.parametrize("name", TIFF)
def test_tiff_as_tifffile_reads_it(name, pixels):
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    data = tiff(pixels, photometric=photometric, **TIFF[name])
    np.testing.assert_array_equal(ours(data), pixels)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(file.asarray(), pixels)
    # OpenCV 5.0 asks for four bytes a pixel of plain tiles, Pillow knows no big-endian BigTIFF.
    if name != "tiles":
        opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(opencv if pixels.ndim == 2 else opencv[..., ::-1], pixels)
    if pixels.dtype == np.uint8 and name != "big-endian bigtiff":
        np.testing.assert_array_equal(pillows(data), pixels)


@pytest.mark.parametrize("pixels", [GREY8, GREY16, COLOUR8, COLOUR16], ids=["L", "I", "C", "D"])
@pytest.mark.parametrize("packing", [1, 5, 8, 32773])
def test_tiff_as_opencv_writes_it(packing, pixels):
    data = opencv_tiff(pixels, packing)
    np.testing.assert_array_equal(ours(data), pixels)
    if pixels.ndim == 2 or pixels.dtype == np.uint8:
        np.testing.assert_array_equal(pillows(data), pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
@pytest.mark.parametrize("strip", [500, 65536])
def test_tiff_as_pillow_writes_it(compression, strip):
    for pixels in (GREY8, GREY16, COLOUR8):
        data = saved(pixels, "TIFF", compression=compression, strip_size=strip)
        np.testing.assert_array_equal(ours(data), pixels)
        np.testing.assert_array_equal(pillows(data), pixels)


def test_jpeg_within_tiff():
    for pixels, planes in ((GREY8, "L"), (COLOUR8, "RGB")):
        data = saved(pixels, "TIFF", compression="jpeg", quality=95)
        found = ours(data)
        assert found.shape == pixels.shape
        # What quality 95 costs, most of it where colours are halved in resolution.
        assert np.abs(found.astype(int) - pixels).mean() < (2 if planes == "L" else 12)
        np.testing.assert_array_equal(found, pillows(data))


def test_a_palette_in_tiff():
    data = saved(Image.fromarray(GREY8).convert("P"), "TIFF")
    np.testing.assert_array_equal(ours(data), np.dstack([GREY8] * 3))
