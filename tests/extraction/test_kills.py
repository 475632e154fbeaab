"""Extraction killed at random moments, by several processes, on a full disk: nothing is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpastack.errors import InputError
from hpastack.extraction import extract_features

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ["minimal"]
OPTIONS = {"size": 24, "progress": False}

# Says when it begins to measure, so that kills hit work and not imports; slowed down, so that
# they hit all of it.
WORK = """
import sys, time
import pandas as pd
from hpastack.extraction import engine, extract_features
from hpastack.parallel import Shard, backend
engine._BLOCK_SIZE = 16
catalogue, path, spread, jobs, shard = sys.argv[1:]
catalogue = pd.read_pickle(catalogue)
print("ready", flush=True)
with backend(spread):
    extract_features(
        path, catalogue, ["minimal"], size=24, progress=False, jobs=int(jobs), overwrite=True,
        shard=Shard.parse(shard),
    )
"""


def start(catalogue, path, backend, jobs, shard):
    command = [sys.executable, "-c", WORK, str(catalogue), str(path), backend, str(jobs), shard]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def session(leader):
    """Return the processes that a leader has started, and itself, as far as they live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def is_worker(pid):
    """Say whether a process works on tasks, and does not only keep track of resources for loky."""
    try:
        return b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_some_process(process, rng, workers_too):
    others = [pid for pid in session(process.pid) if pid != process.pid and is_worker(pid)]
    victim = rng.choice(others) if workers_too and others and rng.random() < 0.5 else process.pid
    os.kill(victim, signal.SIGKILL)


def finish(process):
    """Wait for a process whose work was disturbed or not; return whether it succeeded."""
    _, errors = process.communicate(timeout=120)
    if process.returncode not in (0, -signal.SIGKILL):
        # Only the death of a worker may end it otherwise.
        assert "a worker died" in errors, errors
    return process.returncode == 0


def assert_whole_or_absent(path, expected):
    if path.exists():
        assert path.read_bytes() == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, jobs, shards, n_kills",
    [("threads", 1, 1, 50), ("threads", 2, 1, 50), ("loky", 2, 1, 50), ("threads", 2, 2, 50)],
)
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    noise_fields, tmp_path, backend, jobs, shards, n_kills
):
    catalogue = noise_fields(300)
    expected = extract_features(tmp_path / "whole" / "set.h5", catalogue, FAMILIES, **OPTIONS)
    expected = expected.path.read_bytes()
    catalogue.to_pickle(tmp_path / "catalogue.pickle")
    path = tmp_path / "set.h5"
    rng = random.Random(f"{backend} {jobs} {shards}")
    killed = finished = 0
    while killed < n_kills or not finished:
        processes = [
            start(tmp_path / "catalogue.pickle", path, backend, jobs, f"{k}/{shards}")
            for k in range(shards)
        ]
        victim = rng.choice(processes)
        time.sleep(rng.uniform(0, 0.4 if backend == "threads" else 1.2))
        if killed < n_kills and victim.poll() is None:
            kill_some_process(victim, rng, workers_too=backend == "loky")
            killed += 1
        succeeded = [finish(process) for process in processes]
        for process in processes:
            deadline = time.monotonic() + 10
            while session(process.pid):
                assert time.monotonic() < deadline, "workers outlive the process that started them"
                time.sleep(0.05)
        assert_whole_or_absent(path, expected)
        if path.exists():
            finished += 1
            path.unlink()
        elif all(succeeded):
            pytest.fail("all shards have finished and none has published")
        else:
            # What a kill has left is whole, and never more than what was asked for.
            parts = list(path.with_name("set.h5.parts").glob("part-*.h5"))
            assert all(part.stat().st_size for part in parts)
    assert killed == n_kills
    # Undisturbed, nothing is left beside it.
    assert finish(start(tmp_path / "catalogue.pickle", path, backend, jobs, "0/1"))
    assert path.read_bytes() == expected
    assert {file.name for file in tmp_path.iterdir()} == {
        "catalogue.pickle", "images", "set.h5", "whole"
    }  # fmt: skip


class TestFullDisk:
    def test_it_is_said_and_goes_on_after_making_room(self, small_disk, noise_fields, tmp_path):
        catalogue = noise_fields(300)
        whole = extract_features(tmp_path / "set.h5", catalogue, ["intensity"], **OPTIONS)
        ballast = small_disk / "ballast"
        path = small_disk / "set.h5"
        message = f"{path}.parts: the disk is full; free disk space and run it again"
        # No room for the parts; room for the parts, but not for parts and store.
        for n_bytes in (1_000_000, 870_000):
            ballast.write_bytes(bytes(n_bytes))
            with pytest.raises(InputError, match=message):
                extract_features(path, catalogue, ["intensity"], **OPTIONS)
            assert not path.exists()
        kept = list(path.with_name("set.h5.parts").glob("part-*.h5"))
        assert kept
        ballast.unlink()
        extract_features(path, catalogue, ["intensity"], **OPTIONS)
        assert path.read_bytes() == whole.path.read_bytes()
        assert [file.name for file in small_disk.iterdir()] == ["set.h5"]
