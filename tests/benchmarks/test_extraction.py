"""The benchmark of the engine runs, and compares what it says it compares."""

import re

import pytest

pytest.importorskip("torch")

from benchmarks import extraction  # noqa: E402


@pytest.mark.slow
def test_it_runs_at_a_tiny_size(capsys):
    extraction.main("test_resnet", size=32, n_fields=3, rounds=2, n_in_memory=(3,), n_on_gpu=64)
    out = capsys.readouterr().out
    for way in ("bare, batches of 32", "bare, one field per core", "engine, packed", "engine, PNG"):
        assert re.search(rf"^{way}( \| \d+\.\d\d\d){{3}}$", out, re.MULTILINE), way
    difference = re.search(r"largest difference from a timm loop .*: (\S+), of", out)
    assert float(difference.group(1)) <= 1e-5
    assert '"fields": 3' in out
