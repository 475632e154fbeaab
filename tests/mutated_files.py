"""A seeded fuzzer of image files; run as a script, so that a crash ends a process of its own.

    python tests/mutated_files.py SEED FIRST NUMBER

Every file must end as finite values in [0, 1] or as an `InputError`, in time, without a warning;
a PNG whose checksums were not made again as the pixels it had.
"""

import contextlib
import faulthandler
import resource
import struct
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
from image_files import PALETTE, PNG_MAGIC, RGB, chunk, picture, png, saved, tiff

from hpastack.errors import InputError
from hpastack.fields import MAX_PIXELS, read_stain
from hpastack.fields.formats.decoding import open_picture
from hpastack.fields.formats.planes import split_plane

SECONDS = 10  # for one file; the largest that is read takes one or two
ROOM = 3 * 2**30  # beyond what importing takes


def corpus():
    """Small files of every kind: bytes, and the plane to ask for."""
    grey = picture(33, 29)
    deep = grey.astype(np.uint16) * 257
    colour = np.dstack([grey * 0, grey, grey * 0])
    planes = np.stack([np.roll(deep, number, 1) for number in range(4)])
    levels = bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "ER", "tubulin", "antibody"]}}
    ome = {"ome": True, "photometric": "minisblack", "metadata": names}
    unused = np.setdiff1d(np.arange(256, dtype=np.uint8), grey)[:1].tobytes()
    files = [
        png(grey), png(deep, 16), png(colour, colour=RGB), png(grey >> 4, 4),
        png(grey, interlace=1),
        png(grey, colour=PALETTE, before=[(b"PLTE", levels)]), saved(grey, "PNG"),
        png(grey, before=[(b"tEXt", b"a\0b"), (b"pHYs", bytes(9)), (b"tRNS", b"\0" + unused)]),
        saved(grey, "JPEG", quality=90), saved(grey, "JPEG", progressive=True, comment=b"a"),
        saved(colour, "JPEG", subsampling=2), saved(grey, "JPEG", restart_marker_blocks=2),
        tiff(grey), tiff(deep, byteorder=">", rowsperstrip=5), tiff(deep, bigtiff=True),
        tiff(deep, compression="zlib", predictor=True, rowsperstrip=7),
        tiff(grey, tile=(16, 16), compression="zlib"), tiff(colour, photometric="rgb"),
        saved(grey, "TIFF", compression="tiff_lzw"), saved(deep, "TIFF", compression="packbits"),
        saved(grey, "TIFF", compression="jpeg"), saved(colour, "TIFF", compression="tiff_lzw"),
        tiff(deep, compression="zstd", predictor=True), tiff(grey, compression="lzma"),
        tiff(deep, compression="jpeg2000", rowsperstrip=20), tiff(grey, compression="jpeg2000"),
        tiff(grey, compression="jpegxl", rowsperstrip=20), tiff(deep, compression="jpegxl"),
        tiff(deep, compression="lerc", rowsperstrip=20),
        tiff(colour, photometric="rgb", compression="webp"),
    ]  # fmt: skip
    stacks = [
        tiff(planes, **ome), tiff(planes, compression="zlib", **ome), tiff(planes, imagej=True),
        tiff(np.moveaxis(planes, 0, -1), photometric="minisblack", planarconfig="contig"),
        tiff(planes, photometric="minisblack", planarconfig="separate", tile=(16, 16)),
    ]  # fmt: skip
    return [(data, None) for data in files] + [(data, 2) for data in stacks]


NUMBERS = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**32 - 1]


def mutate(data, rng, others):
    """Change a file in one way; return it, and whether its checksums may fit again."""
    data = bytearray(data)
    n = len(data)
    kind = int(rng.integers(12))
    # Headers are where damage is most interesting.
    high = n if rng.random() < 0.5 else min(n, 300)
    a, b = sorted(int(place) for place in rng.integers(0, high, 2))
    if kind == 0:
        for place in rng.integers(0, high, int(rng.integers(1, 5))):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[a] = int(rng.integers(256))
    elif kind == 2:
        del data[int(rng.integers(n)) :]
    elif kind == 3:
        del data[a : a + int(rng.integers(1, 40))]
    elif kind == 4:
        data[a:a] = data[a : a + int(rng.integers(1, 200))]
    elif kind == 5:
        length = int(rng.integers(1, 50))
        first, second = data[a : a + length], data[b : b + length]
        data[b : b + length] = first
        data[a : a + length] = second
    elif kind == 6:
        data[a : a + int(rng.integers(1, 100))] = bytes(min(n - a, int(rng.integers(1, 100))))
    elif kind == 7:
        form = ("<I", ">I", "<H", ">H", "<Q")[int(rng.integers(5))]
        size = struct.calcsize(form)
        number = int(NUMBERS[int(rng.integers(len(NUMBERS)))]) % 2 ** (8 * size)
        data[a : a + size] = struct.pack(form, number)
    elif kind == 8:
        other = others[int(rng.integers(len(others)))][0]
        data = data[:a] + other[int(rng.integers(len(other))) :]
    elif kind == 9:
        data[a:a] = rng.bytes(int(rng.integers(1, 60)))
    elif kind == 10 and data.startswith(PNG_MAGIC):
        return _mutate_chunks(bytes(data), rng), True
    elif data[:2] in (b"II", b"MM"):
        # One number of one entry of a directory.
        order = "<" if data[:2] == b"I" * 2 else ">"
        start = struct.unpack_from(order + "I", data, 4)[0] if n > 8 else 0
        place = start + 2 + 12 * int(rng.integers(16)) + int(rng.choice([0, 2, 4, 8]))
        if place + 4 <= n:
            number = int(NUMBERS[int(rng.integers(len(NUMBERS)))])
            form = order + ("I" if rng.random() < 0.5 else "H")
            struct.pack_into(form, data, place, number % 2 ** (8 * struct.calcsize(form)))
    return bytes(data), False


def _mutate_chunks(data, rng):
    """Change the chunks of a PNG and make their checksums again."""
    parts, place = [], len(PNG_MAGIC)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        parts.append([data[place + 4 : place + 8], data[place + 8 : place + 8 + length]])
        place += 12 + length
    if not parts:
        return data
    chosen = parts[int(rng.integers(len(parts)))]
    way = int(rng.integers(4))
    if way == 0 and chosen[1]:
        body = bytearray(chosen[1])
        body[int(rng.integers(len(body)))] = int(rng.integers(256))
        chosen[1] = bytes(body)
    elif way == 1:
        rng.shuffle(parts)
    elif way == 2:
        parts.remove(chosen)
    else:
        rows = bytearray(zlib.compress(rng.bytes(int(rng.integers(1, 2000)))))
        parts.insert(int(rng.integers(len(parts))), [b"IDAT", bytes(rows)])
    return PNG_MAGIC + b"".join(chunk(bytes(kind)[:4].ljust(4, b"x"), body) for kind, body in parts)


def mutated(seed, number, files):
    """Make a file: its bytes, the plane to ask for, and whether checksums were made again."""
    rng = np.random.default_rng([seed, number])
    data, plane = files[int(rng.integers(len(files)))]
    is_remade = False
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if data:
            data, remade = mutate(data, rng, files)
            is_remade |= remade
    return data, plane, is_remade


def check(path, data, originals):
    """Read one file; return what came of it."""
    start = time.perf_counter()
    try:
        plane = read_stain(path, "green")
    except InputError as error:
        assert "\n" not in str(error), error
        assert str(error).startswith(str(path)), error
        outcome = "refused"
    else:
        assert plane.dtype == np.float32
        assert plane.ndim == 2
        assert 1 <= plane.size <= MAX_PIXELS
        assert np.isfinite(plane).all()
        assert plane.min() >= 0
        assert plane.max() <= 1
        opened = open_picture(data, split_plane(path)[1], path)
        assert plane.shape == (opened.height, opened.width)
        with contextlib.suppress(InputError):  # what prepare does besides
            opened.verify(opened.decode())
        if originals is not None:
            assert any(np.array_equal(plane, original) for original in originals)
        outcome = "read"
    took = time.perf_counter() - start
    assert took < SECONDS, f"{took:.1f} s"
    return outcome


def main(seed, first, n_files):
    warnings.simplefilter("error")
    files = corpus()
    counts = {"read": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "f.tif"
        originals = []
        for data, plane in files:
            place.write_bytes(data)
            if data.startswith(PNG_MAGIC):
                originals.append(read_stain(place, "green"))
            else:
                read_stain(place if plane is None else f"{place}#{plane}", "green")
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + ROOM, in_use + ROOM))
        for number in range(first, first + n_files):
            data, plane, is_remade = mutated(seed, number, files)
            place.write_bytes(data)
            # On stdout, so that the last line names the file that a decoder crashed on.
            print(f"file {number}", flush=True)
            faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
            path = place if plane is None else f"{place}#{plane}"
            if plane is not None and data[:2] not in (b"II", b"MM"):
                path = place
            is_png = data.startswith(PNG_MAGIC) and not is_remade
            counts[check(path, data, originals if is_png else None)] += 1
            faulthandler.cancel_dump_traceback_later()
    print(counts)


if __name__ == "__main__":
    faulthandler.enable()
    main(*(int(word) for word in sys.argv[1:]))
