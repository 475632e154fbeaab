"""JPEG: the frame and the length of the scans are checked before decoding.

JPEG has no checksums, and decoders silently fill missing data with grey. This
module checks what is visible without decoding: that every marker is in its
place, that each plane has a scan, and that a scan has the restart markers it
announces and at least as many bits as its blocks need. When a catalogue is
made, `JpegPicture.verify` also detects missing pixels.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import imagecodecs
import numpy as np

from hpastack.errors import counted
from hpastack.fields.formats.faults import FileFault, StrPath, check_size
from hpastack.fields.formats.planes import reject_plane

MAGICS = (b"\xff\xd8\xff",)
SUFFIXES = (".jpg", ".jpeg")

# Bytes that are not markers and do not decode to nothing.
_FILLING = bytes(37 * number % 251 + 1 for number in range(256))

_MOST_SCANS = 100  # each costs as much as the image; cameras and encoders write up to about 20
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_OTHER_KINDS = {0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical"}
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
# Orientation, colour profiles, thumbnails and comments, removed before decoding; E0 (JFIF) and
# EE (Adobe) are kept because they define the colours of the planes.
_NOTES = {*range(0xE1, 0xEE), 0xEF, 0xFE}
_HUFFMAN_TABLES, _RESTART_INTERVAL = 0xC4, 0xDD


class JpegPicture(NamedTuple):
    """A JPEG whose structure is complete; its pixels are not decoded yet."""

    height: int
    width: int
    planes: int
    ends: tuple[int, ...]  # of the segments of compressed pixels
    data: bytes
    path: StrPath

    @property
    def is_lossy(self) -> bool:
        """Whether the compression is lossy."""
        return True

    @property
    def declared_bits(self) -> int:
        """Return 0: values of this format use the full range."""
        return 0

    @property
    def pixel_size(self) -> float:
        """Return 0: the resolution in this format is meant for print."""
        return 0.0

    def decode(self) -> np.ndarray:
        """Return uint8, (H, W) or (H, W, 3)."""
        try:
            return imagecodecs.jpeg8_decode(self.data)
        except (RuntimeError, ValueError):
            raise FileFault(self.path, "damaged image: it cannot be decoded") from None

    def verify(self, pixels: np.ndarray) -> None:
        """Reject the file if compressed pixels are missing in the middle, by decoding it again.

        If a segment of compressed pixels is short, a decoder continues into the
        bytes that follow it; otherwise it ignores them. Pixels that change when
        arbitrary bytes follow each segment therefore reveal missing data.
        """
        pieces = [self.data[a:b] for a, b in zip((0, *self.ends), (*self.ends, len(self.data)))]
        try:
            same = np.array_equal(imagecodecs.jpeg8_decode(_FILLING.join(pieces)), pixels)
        except (RuntimeError, ValueError):
            same = False
        if not same:
            raise FileFault(self.path, "truncated or damaged JPEG: pixels are missing")


class _Plane(NamedTuple):
    across: int  # blocks of 8 x 8 pixels of the plane per unit of the scan
    down: int


class _Frame(NamedTuple):
    height: int
    width: int
    is_progressive: bool
    planes: dict[int, _Plane]

    def units(self, scanned: list[int]) -> int:
        """Count the units of a scan: blocks of one plane, or interleaved blocks of all planes."""
        across = max(plane.across for plane in self.planes.values())
        down = max(plane.down for plane in self.planes.values())
        if len(scanned) > 1:
            return -(-self.width // (8 * across)) * -(-self.height // (8 * down))
        plane = self.planes[scanned[0]]
        width = -(-self.width * plane.across // across)
        height = -(-self.height * plane.down // down)
        return -(-width // 8) * -(-height // 8)


def open_picture(data: bytes, plane: int | None, path: StrPath) -> JpegPicture:
    """Check the structure of a JPEG, scan by scan."""
    if plane is not None:
        reject_plane(path)
    position = 2
    frame: _Frame | None = None
    shortest: dict[int, int] = {}  # length of the shortest code of each Huffman table
    interval = n_scans = 0
    seen: set[int] = set()
    ends: list[int] = []
    dropped: list[tuple[int, int]] = []
    markers = _markers(data)
    while True:
        if position + 2 > len(data):
            raise FileFault(path, "truncated JPEG")
        if data[position] != 0xFF:
            raise FileFault(path, "damaged JPEG")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _END_OF_IMAGE:
            break
        if position + 4 > len(data):
            raise FileFault(path, "truncated JPEG")
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if length < 2 or marker == _START_OF_IMAGE:
            raise FileFault(path, "damaged JPEG")
        if position + 2 + length > len(data):
            raise FileFault(path, "truncated JPEG")
        if marker in _NOTES:
            dropped.append((position, position + 2 + length))
        position += 2 + length
        # Start of frame: C0 to CF without the tables C4, C8, CC.
        if 0xC0 <= marker <= 0xCF and marker not in (_HUFFMAN_TABLES, 0xC8, 0xCC):
            if frame is not None:
                raise FileFault(path, "damaged JPEG: it has two sizes")
            frame = _open_frame(marker, body, path)
        elif marker == _HUFFMAN_TABLES:
            _add_shortest(body, shortest, path)
        elif marker == _RESTART_INTERVAL:
            if len(body) != 2:
                raise FileFault(path, "damaged JPEG")
            (interval,) = struct.unpack(">H", body)
        elif marker == _START_OF_SCAN:
            n_scans += 1
            if frame is None:
                raise FileFault(path, "damaged JPEG: it has no size")
            if n_scans > _MOST_SCANS:
                raise FileFault(path, f"JPEG with more than {_MOST_SCANS} scans")
            end, places = _scan_end(data, markers, position, path)
            restarts = [data[place + 1] - 0xD0 for place in places]
            n_dropped = sum(b - a for a, b in dropped)
            ends += [place - n_dropped for place in (*places, end)]
            seen |= _check_scan(frame, body, data[position:end], restarts, interval, shortest, path)
            position = end
    if frame is None:
        raise FileFault(path, "damaged JPEG: it has no size")
    if seen != set(frame.planes):
        raise FileFault(path, "truncated JPEG: a plane is missing")
    trailing = data[position + 2 :]
    if b"\xff\xd9" in trailing and b"\xff\xd8\xff" not in trailing:
        raise FileFault(path, "damaged JPEG: it ends in the middle")
    if dropped:
        starts = [0, *(b for _, b in dropped)]
        stops = [*(a for a, _ in dropped), position + 2]
        data = b"".join(data[a:b] for a, b in zip(starts, stops))
    return JpegPicture(frame.height, frame.width, len(frame.planes), tuple(ends), data, path)


def _open_frame(marker: int, body: bytes, path: StrPath) -> _Frame:
    if len(body) < 6:
        raise FileFault(path, "damaged JPEG")
    bits, height, width, n_planes = struct.unpack_from(">BHHB", body)
    if marker not in (*_SEQUENTIAL, _PROGRESSIVE):
        kind = _OTHER_KINDS.get(marker, "arithmetic-coded")
        raise FileFault(path, f"{kind} JPEG; save it as a baseline or progressive JPEG")
    if bits != 8 or n_planes not in (1, 3):
        raise FileFault(
            path,
            f"JPEG with {bits} bits and {counted(n_planes, 'plane')}; it must be 8-bit grey or RGB",
        )
    if len(body) != 6 + 3 * n_planes:
        raise FileFault(path, "damaged JPEG")
    check_size(height, width, path)
    planes = {}
    for number in range(n_planes):
        name, sampling = body[6 + 3 * number], body[7 + 3 * number]
        planes[name] = _Plane(sampling >> 4, sampling & 15)
    if len(planes) != n_planes or not all(
        1 <= side <= 4 for plane in planes.values() for side in plane
    ):
        raise FileFault(path, "damaged JPEG: invalid planes")
    return _Frame(height, width, marker == _PROGRESSIVE, planes)


def _add_shortest(body: bytes, shortest: dict[int, int], path: StrPath) -> None:
    place = 0
    while place < len(body):
        counts = body[place + 1 : place + 17]
        place += 17 + sum(counts)
        if len(counts) < 16 or place > len(body) or not any(counts):
            raise FileFault(path, "damaged JPEG")
        name = body[place - 17 - sum(counts)]
        shortest[name] = next(n for n, count in enumerate(counts, start=1) if count)


def _markers(data: bytes) -> np.ndarray:
    """Return the positions of all markers; within a scan, FF 00 is not a marker."""
    values = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(values[:-1] == 0xFF)
    following = values[places + 1]
    return places[(following != 0) & (following != 0xFF)]


def _scan_end(data: bytes, markers: np.ndarray, start: int, path: StrPath) -> tuple[int, list[int]]:
    """Return the end of the scan that starts here, and the positions of its restart markers."""
    restarts: list[int] = []
    for place in markers[np.searchsorted(markers, start) :].tolist():
        if not 0xD0 <= data[place + 1] <= 0xD7:
            return place, restarts
        restarts.append(place)
    raise FileFault(path, "truncated JPEG")


def _check_scan(
    frame: _Frame, header: bytes, scan: bytes, restarts: list[int], interval: int,
    shortest: dict[int, int], path: StrPath,
) -> set[int]:  # fmt: skip
    """Check that a scan is long enough for its blocks; return the planes whose means it codes."""
    n_planes = header[0] if header else 0
    if not 1 <= n_planes <= 4 or len(header) != 4 + 2 * n_planes:
        raise FileFault(path, "damaged JPEG")
    scanned, tables = list(header[1 : 1 + 2 * n_planes : 2]), header[2 : 2 + 2 * n_planes : 2]
    first, last, approximation = header[-3:]
    if not set(scanned) <= set(frame.planes) or len(set(scanned)) < n_planes:
        raise FileFault(path, "damaged JPEG")
    units = frame.units(scanned)
    n_restarts = -(-units // interval) - 1 if interval else 0
    if len(restarts) < n_restarts:
        raise FileFault(path, "truncated JPEG")
    if restarts != [number % 8 for number in range(len(restarts))]:
        raise FileFault(path, "damaged JPEG: its restart markers are out of order")
    if first > 0 or approximation >> 4:  # a refinement may take almost no space
        return set()
    if not frame.is_progressive and last != 63:
        raise FileFault(path, "damaged JPEG")
    needed = 0
    for name, table in zip(scanned, tables):
        plane = frame.planes[name]
        blocks = units * (plane.across * plane.down if n_planes > 1 else 1)
        code = shortest.get(table >> 4, 1)
        if not frame.is_progressive:
            code += shortest.get(0x10 | (table & 15), 1)
        needed += blocks * code
    # At most every second byte is stuffing, so the exact count is rarely needed.
    if 4 * len(scan) < needed + 16 * len(restarts):
        filling = scan.count(b"\xff\x00") + 2 * len(restarts)
        if 8 * (len(scan) - filling) < needed:
            raise FileFault(path, "truncated JPEG: fewer bits than its blocks need")
    return set(scanned)
