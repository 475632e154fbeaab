"""Thousands of mutated image files, in a process that may crash."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]


def read_mutated(seed, first, n_files):
    """Return how many files were read and refused."""
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(TESTS / "mutated_files.py"), str(seed), str(first), str(n_files)],
        capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    last = (done.stdout.splitlines() or ["nothing"])[-1]
    assert done.returncode == 0, f"seed {seed}, {last}:\n{done.stderr[-3000:]}"
    return ast.literal_eval(last)


def test_some_mutated_files():
    counts = read_mutated(0, 0, 200)
    assert sum(counts.values()) == 200
    # Both outcomes are seen, so that neither is judged by nothing.
    assert min(counts.values()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, 500))
def test_two_thousand_mutated_files(first):
    assert sum(read_mutated(1, first, 500).values()) == 500
