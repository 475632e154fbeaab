"""TIFF packed in every way that is read: the pixels written, or an error that names the file."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_files import patched, picture, tiff

from hpastack.errors import InputError
from hpastack.fields.formats.decoding import decode_picture, open_picture
from hpastack.fields.formats.tiff_strips import PACKINGS

GREY = picture(70, 50)
DEEP = GREY.astype(np.uint16) * 251 + 17
COLOUR = np.dstack([GREY, np.roll(GREY, 5, 0), np.roll(GREY, 7, 1)])
ALPHA = np.dstack([COLOUR, np.full_like(GREY, 255)])
PIXELS = {"grey": GREY, "deep": DEEP, "colour": COLOUR, "alpha": ALPHA}

PLAIN = ["lzw", "zlib", "packbits", "lzma", "zstd"]  # any values
PICTURES = ["jpeg2000", "jpegxl", "lerc", "webp"]
LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 16},  # the last one is lower
    "tiles": {"tile": (32, 32)},
}


def written(pixels, compression, **options):
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    return tiff(pixels, photometric=photometric, compression=compression, **options)


def read(data, plane=None):
    return decode_picture(open_picture(data, plane, "f.tif"), "f.tif")


def is_error(data):
    """Return True if a file is an error that names it, else what it holds."""
    try:
        return read(data)
    except InputError as error:
        assert str(error).startswith("f.tif: ")
        assert "\n" not in str(error)
        return True


def segment(data):
    """Where the only strip of a TIFF begins and ends."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (start,), (length,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
    return start, start + length


def repacked(pixels, strip, **options):
    """A TIFF that says it holds these pixels, and holds this strip."""
    head = tiff(pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
    moved = patched(patched(head, "StripOffsets", len(head)), "StripByteCounts", len(strip))
    return moved + strip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("compression", PLAIN + PICTURES)
def test_reads_what_tifffile_wrote(compression, kind, layout):
    pixels = PIXELS[kind]
    if compression == "webp" and pixels.ndim == 2:
        pytest.skip("WebP has colours and 8 bits")
    data = written(pixels, compression, **LAYOUTS[layout])
    found = read(data)
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == pixels.dtype


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", PLAIN)
def test_differences_in_both_orders_of_bytes(compression, order):
    for pixels in (DEEP, COLOUR):
        data = written(pixels, compression, predictor=True, byteorder=order, rowsperstrip=16)
        found = read(data)
        np.testing.assert_array_equal(found, pixels)
        assert found.dtype == pixels.dtype


@pytest.mark.parametrize("compression", [*PLAIN, "jpeg2000", "jpegxl", "lerc"])
def test_planes_of_a_stack(compression):
    planes = np.stack([np.roll(DEEP, number, 1) for number in range(4)])
    data = tiff(planes, photometric="minisblack", compression=compression, rowsperstrip=16)
    apart = tiff(planes[:3], photometric="rgb", planarconfig="separate", compression=compression)
    for number in range(4):
        np.testing.assert_array_equal(read(data, number), planes[number])
    np.testing.assert_array_equal(read(apart), np.moveaxis(planes[:3], 0, -1))


@pytest.mark.parametrize("compression", PLAIN + PICTURES)
def test_every_cut_of_a_strip_is_an_error_or_costs_no_pixel(compression):
    pixels = COLOUR if compression == "webp" else DEEP
    data = written(pixels, compression)
    start, end = segment(data)
    lengths = np.unique(np.linspace(0, end - start, 150, endpoint=False).astype(int))
    harmless = []
    for length in lengths.tolist():
        outcome = is_error(patched(data, "StripByteCounts", length))
        if outcome is not True:
            np.testing.assert_array_equal(outcome, pixels)
            harmless.append(length)
    # LZMA ends with an index of its own, LZW with a mark; nothing else has bytes to spare.
    spare = {"lzma": 40, "lzw": 2}.get(compression, 0)
    assert all(length >= end - start - spare for length in harmless)


# What carries a checksum of its own, as these encoders write it.
@pytest.mark.parametrize("compression", ["zlib", "lzma", "lerc"])
def test_every_changed_byte_of_a_strip_is_an_error_or_changes_no_pixel(compression):
    data = written(DEEP, compression)
    start, end = segment(data)
    rng = np.random.default_rng(0)
    n_errors = 0
    for place in rng.integers(start, end, 100).tolist():
        changed = data[:place] + bytes([data[place] ^ 1 << rng.integers(8)]) + data[place + 1 :]
        outcome = is_error(changed)
        if outcome is not True:
            np.testing.assert_array_equal(outcome, DEEP)
        n_errors += outcome is True
    assert n_errors > 90


@pytest.mark.parametrize("compression", [*(c for c in PLAIN if c != "packbits"), *PICTURES])
def test_rubbish_in_place_of_a_strip(compression):
    pixels = COLOUR if compression == "webp" else GREY
    for rubbish in (b"\xff" * 99, b"<html>404</html>"):
        outcome = is_error(repacked(pixels, rubbish, compression=compression))
        assert outcome is True


ENCODE = {
    "jpeg2000": lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"),
    "jpegxl": lambda pixels: imagecodecs.jpegxl_encode(pixels, lossless=True),
    "lerc": imagecodecs.lerc_encode,
    "webp": lambda pixels: imagecodecs.webp_encode(pixels, lossless=True),
}


@pytest.mark.parametrize("compression", PICTURES)
def test_a_picture_of_another_size_or_type_in_a_strip(compression):
    pixels = COLOUR if compression == "webp" else GREY
    encode = ENCODE[compression]
    np.testing.assert_array_equal(
        read(repacked(pixels, encode(pixels), compression=compression)), pixels
    )
    others = [pixels[:-1], pixels[:, :-1], np.vstack([pixels] * 2), np.dstack([COLOUR, GREY])]
    if compression != "webp":
        others += [DEEP, COLOUR]
    for other in others:
        strip = encode(np.ascontiguousarray(other))
        assert is_error(repacked(pixels, strip, compression=compression)) is True


def test_lerc_without_some_of_its_values():
    valid = np.ones(GREY.shape, bool)
    np.testing.assert_array_equal(
        read(repacked(GREY, imagecodecs.lerc_encode(GREY, masks=valid), compression="lerc")), GREY
    )
    valid[5:9] = False
    strip = imagecodecs.lerc_encode(GREY, masks=valid)
    with pytest.raises(InputError, match="pixels without a value"):
        read(repacked(GREY, strip, compression="lerc"))


@pytest.mark.parametrize("packing", ["deflate", "zstd"])
def test_lerc_packed_once_more(packing):
    data = written(DEEP, "lerc", compressionargs={"compression": packing})
    np.testing.assert_array_equal(read(data), DEEP)


def test_jpeg_2000_in_its_boxes():
    boxed = imagecodecs.jpeg2k_encode(DEEP, level=0, codecformat="jp2")
    assert not boxed.startswith(b"\xff\x4f")
    np.testing.assert_array_equal(read(repacked(DEEP, boxed, compression="jpeg2000")), DEEP)


def test_jpeg_2000_of_luma_and_chroma():
    grey = patched(written(GREY, "jpeg2000"), "Compression", 33003)
    np.testing.assert_array_equal(read(grey), GREY)
    with pytest.raises(InputError, match="TIFF with YCbCr values"):
        read(patched(written(COLOUR, "jpeg2000"), "Compression", 33003))


def test_webp_may_leave_out_an_opaque_plane():
    strip = imagecodecs.webp_encode(COLOUR, lossless=True)
    np.testing.assert_array_equal(read(repacked(ALPHA, strip, compression="webp")), ALPHA)


def test_a_last_strip_may_be_as_high_as_the_others():
    whole = np.vstack([GREY, GREY])[:80]
    for compression in ("zlib", "lzw", "zstd", "lzma", "packbits"):
        # 70 rows in strips of 16, as a file of 80 rows has them.
        data = patched(written(whole, compression, rowsperstrip=16), "ImageLength", 70)
        np.testing.assert_array_equal(read(data), whole[:70])


def test_what_may_be_lossy_says_so():
    lossy = {
        packing.name for number, packing in PACKINGS.items()
        if open_picture(patched(tiff(GREY), "Compression", number), None, "f.tif").is_lossy
    }  # fmt: skip
    assert not any(PACKINGS[number].name in lossy for number in (1, 5, 8, 32773, 34925, 50000))
    assert {"JPEG", "JPEG 2000", "JPEG XL", "WebP", "LERC"} <= lossy


def test_other_compressions_are_rejected_with_the_remedy():
    for compression in ("jpegxr", "png"):
        with pytest.raises(InputError, match="save it uncompressed or with Deflate"):
            read(written(GREY, compression))
