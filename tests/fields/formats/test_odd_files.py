"""A folder of damaged and odd files: each ends as exact values or as an error that says what."""

import io
import os
import pickle
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import tifffile
from image_files import (
    GREY_ALPHA,
    PALETTE,
    PNG_MAGIC,
    RGB,
    RGBA,
    chunk,
    packed_rows,
    patched,
    picture,
    png,
    saved,
    tiff,
)
from PIL import Image

from hpastack.catalogue import collect_fields, read_catalogue
from hpastack.errors import InputError
from hpastack.fields import STAINS, check_fields, read_field, read_stain
from pipelines import prepare

GREY = picture()
HEIGHT, WIDTH = GREY.shape
DEEP = GREY.astype(np.uint16) * 257
COLOUR = np.dstack([GREY] * 3)
OPAQUE = np.full_like(GREY, 255)
PNG = png(GREY)
JPEG = saved(GREY, "JPEG", quality=90)
TIFF = tiff(GREY, rowsperstrip=8)
ZIP = tiff(GREY, rowsperstrip=8, compression="zlib")
LEVELS = bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))
GREENS = bytes(v for level in range(256) for v in (0, level, 0))


def of_jpeg(data):
    """What a JPEG decodes to."""
    return np.asarray(Image.open(io.BytesIO(data))) / np.float32(255)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


def with_frame(marker, bits=8):
    """A JPEG that says it is of another kind."""
    place = JPEG.index(b"\xff\xc0")
    return JPEG[:place] + bytes([0xFF, marker]) + JPEG[place + 2 : place + 4] + bytes(
        [bits]
    ) + JPEG[place + 5 :]  # fmt: skip


def jpeg_of_size(height, width):
    place = JPEG.index(b"\xff\xc0")
    return JPEG[: place + 5] + struct.pack(">HH", height, width) + JPEG[place + 9 :]


def headed(*numbers):
    """A PNG whose header says something else; its checksums fit."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *numbers))
    return PNG_MAGIC + header + PNG[len(PNG_MAGIC) + len(header) :]


def turned():
    exif = Image.Exif()
    exif[274] = 6
    return exif


def animated(kind):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=9)


def bomb():
    """100 MB of zeros in 100 kB behind an honest small header."""
    return png(GREY, rows=packed_rows(GREY, 8) + bytes(10**8))


def tiff_bomb():
    data = zlib.compress(bytes(10**8))
    head = tiff(GREY, compression="zlib", rowsperstrip=HEIGHT)
    moved = patched(patched(head, "StripOffsets", len(head)), "StripByteCounts", len(data))
    return moved + data


def looped():
    data = tiff(np.stack([GREY] * 3), photometric="minisblack")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first, last = file.pages[0].offset, file.pages[2].offset
    n_tags = struct.unpack_from("<H", data, last)[0]
    place = last + 2 + 12 * n_tags
    return data[:place] + struct.pack("<I", first) + data[place + 4 :]


def lzw(pixels, **options):
    return saved(pixels, "TIFF", compression="tiff_lzw", **options)


SAME = GREY / np.float32(255)
TURNED = saved(GREY, "TIFF", tiffinfo={274: 6})
CUT = "truncated"
OTHER = "not a PNG, "
# Name: bytes, and the values or what the error says.
KINDS = {
    # PNG
    "png 8": (PNG, SAME),
    "png 16": (png(DEEP, 16), SAME),
    "png 1 bit": (png(GREY >> 7, 1), np.float32(GREY >> 7)),
    "png 2 bit": (png(GREY >> 6, 2), (GREY >> 6) / np.float32(3)),
    "png 4 bit": (png(GREY >> 4, 4), (GREY >> 4) / np.float32(15)),
    "png interlaced": (png(GREY, interlace=1), SAME),
    "png grey alpha, opaque": (png(np.dstack([GREY, OPAQUE]), colour=GREY_ALPHA), SAME),
    "png rgba, opaque": (png(np.dstack([COLOUR, OPAQUE]), colour=RGBA), SAME),
    "png rgba, see-through": (png(np.dstack([COLOUR, GREY]), colour=RGBA), "alpha channel"),
    "png rgb 16": (png(np.dstack([DEEP] * 3), 16, RGB), SAME),
    "png palette, grey": (png(GREY, colour=PALETTE, before=[(b"PLTE", LEVELS)]), SAME),
    "png palette, green": (png(GREY, colour=PALETTE, before=[(b"PLTE", GREENS)]), SAME),
    "png palette, see-through": (
        png(GREY, colour=PALETTE, before=[(b"PLTE", LEVELS), (b"tRNS", b"\xff\0")]),
        "alpha channel",
    ),
    "png palette, short": (
        png(GREY, colour=PALETTE, before=[(b"PLTE", LEVELS[:300])]), "outside its palette"
    ),
    "png palette, none": (png(GREY, colour=PALETTE), "no palette"),
    "png grey level see-through": (png(GREY, before=[(b"tRNS", b"\0\0")]), "alpha channel"),
    "png with gamma": (png(GREY, before=[(b"gAMA", struct.pack(">I", 99))]), SAME),
    "png with a damaged profile": (png(GREY, before=[(b"iCCP", b"x\0\0!")]), SAME),
    "png, rubbish after its end": (PNG + b"rubbish", SAME),
    "png, a text bomb": (
        png(GREY, before=[(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7)))]), SAME
    ),
    "png, 100 MB behind its pixels": (bomb(), SAME),
    "png animated": (animated("PNG"), "animated PNG"),
    "png cut in its header": (PNG[:20], "truncated PNG"),
    "png cut in its pixels": (PNG[: len(PNG) // 2], "truncated PNG"),
    "png without its end": (PNG[:-12], "truncated PNG"),
    "png without its last byte": (PNG[:-1], "truncated PNG"),
    "png, header damaged": (flipped(PNG, 19), "wrong checksum"),
    "png, pixels damaged": (flipped(PNG, len(PNG) // 2), "wrong checksum"),
    "png, length damaged": (flipped(PNG, 33), "truncated PNG"),
    "png of no pixels": (headed(0, HEIGHT, 8, 0, 0, 0, 0), "empty image"),
    "png of 10 gigapixels": (headed(10**5, 10**5, 8, 0, 0, 0, 0), "above the maximum of 67108864"),
    "png of one long row": (headed(2**21, 1, 8, 0, 0, 0, 0), "1000000 pixels per side"),
    "png said to be higher": (headed(WIDTH, HEIGHT + 9, 8, 0, 0, 0, 0), "cannot be decoded"),
    "png said to be wider": (headed(WIDTH + 1, HEIGHT, 8, 0, 0, 0, 0), "cannot be decoded"),
    "png of 3 bits": (headed(WIDTH, HEIGHT, 3, 0, 0, 0, 0), "invalid header"),
    "png of an odd colour": (headed(WIDTH, HEIGHT, 8, 5, 0, 0, 0), "invalid header"),
    "png, two headers": (png(GREY, after=[(b"IHDR", bytes(13))]), "two headers"),
    "png without pixels": (PNG_MAGIC + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)) + chunk(b"IEND", b""), "it has no pixels"),
    "png, packed rubbish": (png(GREY, pack=lambda rows: b"rubbish" * 9), "cannot be decoded"),
    "png, packed sum wrong": (
        png(GREY, pack=lambda rows: zlib.compress(rows)[:-4] + b"oops"), "cannot be decoded"
    ),
    "png, rows missing": (png(GREY, rows=packed_rows(GREY[:9], 8)), "cannot be decoded"),
    "png, an unknown filter": (
        png(GREY, rows=b"\7" + packed_rows(GREY, 8)[1:]), "cannot be decoded"
    ),
    "png, an unknown part": (png(GREY, before=[(b"ABCD", b"")]), "unknown chunk b'ABCD'"),
    # JPEG
    "jpeg": (JPEG, of_jpeg(JPEG)),
    "jpeg progressive": (
        saved(GREY, "JPEG", progressive=True), of_jpeg(saved(GREY, "JPEG", progressive=True))
    ),
    "jpeg turned": (saved(GREY, "JPEG", quality=90, exif=turned()), of_jpeg(JPEG)),
    "jpeg, rubbish after its end": (JPEG + b"rubbish", of_jpeg(JPEG)),
    "jpeg cut in its header": (JPEG[:100], "truncated JPEG"),
    "jpeg cut in its pixels": (JPEG[:-300], "truncated JPEG"),
    "jpeg without its end": (JPEG[:-2], "truncated JPEG"),
    "jpeg, pixels missing in the middle": (JPEG[:-200] + JPEG[-2:], "pixels are missing"),
    "jpeg that ends in the middle": (
        JPEG[:-200] + b"\xff\xd9" + JPEG[-200:], "it ends in the middle"
    ),
    "jpeg said to be higher": (jpeg_of_size(8000, 8000), "fewer bits than its blocks need"),
    "jpeg of 4 gigapixels": (jpeg_of_size(65000, 65000), "above the maximum of 67108864"),
    "jpeg of no height": (jpeg_of_size(0, WIDTH), "empty image"),
    "jpeg of four inks": (saved(Image.fromarray(GREY).convert("CMYK"), "JPEG"), "4 planes"),
    "jpeg of 12 bits": (with_frame(0xC1, 12), "JPEG with 12 bits"),
    "jpeg arithmetic": (with_frame(0xC9), "arithmetic-coded JPEG"),
    "jpeg lossless": (with_frame(0xC3), "lossless JPEG"),
    "jpeg without tables": (JPEG.replace(b"\xff\xdb", b"\xff\xfe"), "cannot be decoded"),
    # TIFF
    "tiff": (TIFF, SAME),
    "tiff big-endian": (tiff(DEEP, byteorder=">"), SAME),
    "tiff bigtiff": (tiff(DEEP, bigtiff=True), SAME),
    "tiff tiles": (tiff(DEEP, tile=(16, 16), compression="zlib", predictor=True), SAME),
    "tiff LZW": (lzw(GREY), SAME),
    "tiff LZW 16": (lzw(DEEP), SAME),
    "tiff PackBits": (saved(GREY, "TIFF", compression="packbits"), SAME),
    "tiff planes apart": (
        tiff(np.stack([DEEP] * 3), photometric="rgb", planarconfig="separate"), SAME
    ),
    "tiff turned": (TURNED, SAME),
    "tiff thumbnail beside it": (None, SAME),  # written below
    "tiff white is zero": (tiff(GREY, photometric="miniswhite"), "zero is not black"),
    "tiff floats": (tiff(GREY.astype("f4")), "TIFF with float32 values"),
    "tiff signed": (tiff(GREY.astype("i2")), "TIFF with int16 values"),
    "tiff 32 bit": (tiff(GREY.astype("u4")), "TIFF with uint32 values"),
    "tiff 1 bit": (tiff(GREY > 99), "TIFF with bool values"),
    "tiff 12 bit": (patched(tiff(DEEP), "BitsPerSample", 12), "8 or 16 bits"),
    "tiff pages": (tiff(np.stack([GREY] * 3), photometric="minisblack"), "several pages"),
    "tiff channels": (
        tiff(np.dstack([GREY] * 4), photometric="minisblack", planarconfig="contig"), "4 channels"
    ),
    "tiff cut in its directory": (TIFF[:30], CUT),
    "tiff cut in its pixels": (TIFF[:-200], CUT),
    "tiff, a strip beyond its end": (patched(TIFF, "StripOffsets", 10**6), CUT),
    "tiff, a strip of no bytes": (patched(TIFF, "StripByteCounts", 0), CUT),
    "tiff, short strips": (patched(TIFF, "StripByteCounts", 99), "a strip or tile is short"),
    "tiff, fewer strips": (patched(TIFF, "StripOffsets", 4, what="count"), CUT),
    "tiff said to be higher": (patched(TIFF, "ImageLength", HEIGHT + 99), CUT),
    "tiff of 4 gigapixels": (
        patched(patched(TIFF, "ImageLength", 60000), "ImageWidth", 60000), "maximum of 67108864"
    ),
    "tiff pages in a circle": (looped(), "pages is a loop"),
    "tiff, packed pixels damaged": (flipped(ZIP, ZIP.index(b"\x78", 200) + 40), "damaged TIFF"),
    "tiff, packed pixels cut": (patched(ZIP, "StripByteCounts", 60), CUT),
    "tiff, a strip of 100 MB": (tiff_bomb(), "damaged TIFF"),
    "tiff ZSTD": (tiff(DEEP, compression="zstd", predictor=True, rowsperstrip=7), SAME),
    "tiff LZMA": (tiff(DEEP, compression="lzma", rowsperstrip=7), SAME),
    "tiff JPEG 2000": (tiff(DEEP, compression="jpeg2000", rowsperstrip=20), SAME),
    "tiff JPEG XL": (tiff(DEEP, compression="jpegxl", tile=(32, 32)), SAME),
    "tiff LERC": (tiff(DEEP, compression="lerc", rowsperstrip=20), SAME),
    "tiff WebP": (tiff(COLOUR, photometric="rgb", compression="webp"), SAME),
    "tiff JPEG XR": (tiff(GREY, compression="jpegxr"), "JPEGXR compression"),
    "tiff said to be packed with ZSTD": (patched(TIFF, "Compression", 50000), "damaged TIFF"),
    "tiff packed in an unknown way": (patched(TIFF, "Compression", 12345), "12345 compression"),
    "tiff, reversed bits": (saved(GREY, "TIFF", tiffinfo={266: 2}), "unsupported compression"),
    # neither
    "empty": (b"", "the file is empty"),
    "gif": (saved(GREY, "GIF"), OTHER),
    "bmp": (saved(GREY, "BMP"), OTHER),
    "webp": (saved(COLOUR, "WEBP"), OTHER),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), OTHER),
    "pdf": (b"%PDF-1.4\n%%EOF\n", OTHER),
    "error page": (b"<!DOCTYPE html><html>404 Not Found</html>", OTHER),
    "pointer of git lfs": (b"version https://git-lfs.github.com/spec/v1\n", OTHER),
    "zeros": (bytes(4096), OTHER),
    # the stain
    "tint of another": (png(np.dstack([GREY, GREY * 0, GREY * 0]), colour=RGB), "green stain"),
    "black": (png(GREY * 0), SAME * 0),
    "constant": (png(GREY * 0 + 51), SAME * 0 + np.float32(0.2)),
    "wrong size": (png(GREY[:-1]), "must have the same size"),
    "another's file": (png(picture(seed=9)), "the same file as the red stain"),
}  # fmt: skip


def with_thumbnail():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(GREY, metadata=None)
        file.write(GREY[::4, ::4], subfiletype=1, metadata=None)
    return buffer.getvalue()


KINDS["tiff thumbnail beside it"] = (with_thumbnail(), SAME)
# Only a whole field shows these.
OF_FIELDS = ("wrong size", "another's file", "jpeg, pixels missing in the middle")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A folder with a field for each kind of file, which is its green stain."""
    folder = tmp_path_factory.mktemp("zoo")
    names = {}
    for number, (kind, (data, _)) in enumerate(KINDS.items()):
        names[kind] = f"f{number:03d}"
        for seed, stain in enumerate(STAINS, start=9):
            (folder / f"{names[kind]}_{stain}.png").write_bytes(png(picture(seed=seed)))
        (folder / f"{names[kind]}_green.png").write_bytes(data)
    return folder, names


def test_there_are_many_kinds():
    assert len(KINDS) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_values_or_an_error_that_says_what(zoo, kind):
    folder, names = zoo
    expected = KINDS[kind][1]
    row = {stain: folder / f"{names[kind]}_{stain}.png" for stain in STAINS}
    facts, bad = check_fields(pd.DataFrame([row], index=["f"]), jobs=1, progress=False)
    if isinstance(expected, str):
        assert len(facts) == 0
        assert expected in bad[0].reason
        assert bad[0].file == str(row["green"])
        if kind not in OF_FIELDS:
            with pytest.raises(InputError) as caught:
                read_stain(row["green"], "green")
            assert str(caught.value) == f"{row['green']}: {bad[0].reason}"
            assert "\n" not in bad[0].reason
    else:
        assert not bad
        np.testing.assert_array_equal(read_stain(row["green"], "green"), expected)
        np.testing.assert_array_equal(read_field(row)[1], expected)


def test_prepare_sets_the_bad_aside_and_keeps_the_good(zoo, tmp_path, capsys):
    folder, names = zoo
    words = [str(folder), "--workspace", str(tmp_path)]
    assert prepare.main(words) == 2
    assert "--on-error skip" in capsys.readouterr().err
    assert prepare.main([*words, "--on-error", "skip"]) == 3
    good = {names[kind] for kind, (_, outcome) in KINDS.items() if not isinstance(outcome, str)}
    assert set(read_catalogue(tmp_path / "data" / "catalogue.csv").index) == good
    listed = pd.read_csv(tmp_path / "data" / "changes.csv", dtype=str)
    assert set(listed["change"]) == {"dropped"}
    assert set(listed["image_id"]) == set(names.values()) - good
    assert listed["reason"].notna().all()


# ---- what stands in place of a file


def field_with(folder, green):
    row = {}
    for seed, stain in enumerate(STAINS, start=9):
        row[stain] = folder / f"f_{stain}.png"
        row[stain].write_bytes(png(picture(seed=seed)))
    row["green"].unlink()
    green(row["green"])
    return row


def bad_reason(row):
    _, bad = check_fields(pd.DataFrame([row], index=["f"]), jobs=1, progress=False)
    return bad[0].reason if bad else None


PLACES = {
    "nothing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "a link that leads nowhere": (lambda path: path.symlink_to("gone.png"), "no such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels"),
    "a pipe": (os.mkfifo, "a device or a pipe"),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file(tmp_path, place):
    make, reason = PLACES[place]
    row = field_with(tmp_path, make)
    assert reason in bad_reason(row)
    with pytest.raises((InputError, OSError)):
        read_field(row)


def test_pipes_and_dead_links_in_a_folder_do_not_stop_the_search(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    (tmp_path / "b.ome.tif").symlink_to("gone")
    fields = collect_fields(tmp_path).fields
    _, bad = check_fields(fields, jobs=1, progress=False)
    assert [fault.reason for fault in bad] == ["not a file, but a device or a pipe", "no such file"]


def test_a_fault_comes_whole_out_of_another_process(tmp_path):
    with pytest.raises(InputError) as caught:
        read_stain(tmp_path / "none.png", "red")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.file, copy.reason) == (
        str(caught.value), str(tmp_path / "none.png"), "no such file"
    )  # fmt: skip


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read anything")
def test_a_file_that_may_not_be_read(tmp_path):
    row = field_with(tmp_path, lambda path: path.write_bytes(PNG))
    row["green"].chmod(0)
    assert bad_reason(row) == "Permission denied"


def test_a_file_of_a_terabyte(tmp_path):
    def make(path):
        path.write_bytes(PNG)
        os.truncate(path, 2**40)

    assert "bytes, above the maximum of 1073741824" in bad_reason(field_with(tmp_path, make))


@pytest.mark.parametrize(
    "name", ["zellkörper 核", "two words", "line\nbreak", "a#2", "%00", "x.tif"]
)
@pytest.mark.parametrize("ending", [".PNG", ".Tiff"])
def test_odd_names(tmp_path, name, ending):
    row = {stain: tmp_path / f"{name}_{stain}{ending}" for stain in STAINS}
    for seed, path in enumerate(row.values()):
        path.write_bytes(png(picture(seed=seed)) if ending == ".PNG" else tiff(picture(seed=seed)))
    assert bad_reason(row) is None
    words = [str(tmp_path), "--workspace", str(tmp_path / "work")]
    if "\n" in name:
        assert prepare.main(words) == 2
        return
    assert prepare.main(words) == 0
    catalogue = read_catalogue(tmp_path / "work" / "data" / "catalogue.csv")
    assert list(catalogue.index) == [name]
    np.testing.assert_array_equal(read_field(catalogue.loc[name]), read_field(row))


def test_content_and_not_the_name_says_the_format(tmp_path):
    for name, data in (("a.png", JPEG), ("b.jpg", TIFF), ("c.tif", PNG)):
        (tmp_path / name).write_bytes(data)
    np.testing.assert_array_equal(read_stain(tmp_path / "a.png", "red"), of_jpeg(JPEG))
    np.testing.assert_array_equal(read_stain(tmp_path / "b.jpg", "red"), SAME)
    np.testing.assert_array_equal(read_stain(tmp_path / "c.tif", "red"), SAME)
