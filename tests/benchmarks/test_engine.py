"""The benchmark of the engine beside decoding runs, and says what it compares."""

import re

import pytest

from benchmarks import engine


# Alone, because it compares times.
@pytest.mark.slow
def test_it_runs_at_a_tiny_size(capsys):
    engine.main(
        size=96, n_fields=6, rounds=2, n_measured=2, sizes_measured=(48, 96),
        n_in_memory=(3, 6), n_columns=8,
    )  # fmt: skip
    out = capsys.readouterr().out
    for way in ("decoding alone", "the whole engine", "one worker", "threads", "processes"):
        assert re.search(rf"^{way} \| \d+\.\d \| \d+\.\d\d\d$", out, re.MULTILINE), way
    assert "hand-crafted features at 48 px" in out and "hand-crafted features at 96 px" in out
    assert '"fields": 3' in out and '"fields": 6' in out
    ratio = re.search(r"ratio of most to fewest fields: (\S+)", out)
    assert 0.8 < float(ratio.group(1)) < 1.2
