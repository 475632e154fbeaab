"""Damages stores byte by byte and reads each; run as a process of its own, which may crash.

``python damage.py STORE FIRST COUNT``: prints the number of each damage before
it is tried, and at the end a line of JSON with what became of them.
"""

import collections
import faulthandler
import json
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from hpastack.errors import InputError
from hpastack.store import open_store, verify_store

# Above what the process takes when it begins.
_MEMORY = 1024**3
_SECONDS = 20
_NUMBERS = np.array([0, 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1], np.uint64)


def damaged(data: bytes, number: int) -> bytes:
    """Change some bytes, the kind of change and its place drawn by number."""
    rng = np.random.default_rng(number)
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        # Half of them in the first kilobytes, where HDF5 keeps its structure.
        places = min(len(out), 4096) if number % 2 else len(out)
        place = int(rng.integers(places))
        kind = rng.integers(5)
        if kind == 0:
            out[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[place] = int(rng.integers(256))
        elif kind == 2:
            piece = rng.choice(
                np.array([0, 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1], "u8")
            )
            out[place : place + 8] = int(piece).to_bytes(8, "little")
        elif kind == 3:
            other = int(rng.integers(places))
            length = int(rng.integers(1, 64))
            out[place : place + length] = out[other : other + length]
        elif number % 7 == 0:
            del out[place:]
            break
    return bytes(out)


def outcome(path: Path, sound) -> str:
    """Read all of a store; say how it ended."""
    try:
        with open_store(path) as store:
            values, members = store.values(), store.members()
            rows = store.rows(store.image_ids[::-1])
            assert np.array_equal(rows[::-1], values, equal_nan=True)
            found = (store.image_ids, store.columns, store.kind, store.content, store.recipe)
            same = (
                found == sound[0]
                and np.array_equal(values, sound[1], equal_nan=True)
                and np.array_equal(members, sound[2])
            )
    except InputError:
        return "refused"
    if same:
        return "unharmed"
    # Those of the formats before 4 have no checksums.
    return "missed" if verify_store(path).has_checksums else "without checksums"


def main(store: str, first: str, count: str) -> None:
    faulthandler.enable()
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (limit + _MEMORY, limit + _MEMORY))
    data = Path(store).read_bytes()
    with open_store(store) as sound:
        wanted = (
            (sound.image_ids, sound.columns, sound.kind, sound.content, sound.recipe),
            sound.values(),
            sound.members(),
        )
    outcomes: dict[str, list[int]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(store).name
        for number in range(int(first), int(first) + int(count)):
            print(number, flush=True)
            faulthandler.dump_traceback_later(_SECONDS, exit=True)
            path.write_bytes(damaged(data, number))
            outcomes[outcome(path, wanted)].append(number)
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
