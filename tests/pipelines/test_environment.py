"""Commands in the environments of notebook servers and of old terminals."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines import cluster, ingest, prepare, stack

ROOT = Path(__file__).resolve().parents[2]
LABELS = ["\u03b1\u03b2\u03b3", "plasma membrane"]


@pytest.fixture
def workspace(tmp_path):
    """Predictions of two labels, one with a Greek name, and groups with a Greek name."""
    rng = np.random.default_rng(0)
    ids = [f"f{number:03d}" for number in range(90)]
    y = rng.integers(2, size=(90, 2))
    y[y.sum(axis=1) == 0, 0] = 1
    targets = [" ".join(map(str, np.flatnonzero(row))) for row in y]
    pd.DataFrame({"Id": ids[:80], "Target": targets[:80]}).to_csv(
        tmp_path / "train.csv", index=False
    )
    pd.DataFrame({"Id": ids[80:]}).to_csv(tmp_path / "test.csv", index=False)
    line = pd.DataFrame({"Id": ids, "Zelllinie \u00b5": [f"line {i // 3}" for i in range(90)]})
    line.to_csv(tmp_path / "groups.csv", index=False)
    (tmp_path / "names.txt").write_text("\n".join(LABELS), encoding="utf-8")
    table = pd.DataFrame(0.3 * y + 0.7 * rng.random(y.shape), ids, ["0", "1"]).rename_axis("Id")
    table.to_csv(tmp_path / "net.csv")
    return tmp_path


def call(command, folder, *arguments):
    return command.main([*map(str, arguments), "--workspace", str(folder)])


def prepare_tables(folder):
    assert call(prepare, folder, "--labels", folder / "train.csv", "--test", folder / "test.csv",
                "--vocabulary", folder / "names.txt",
                "--groups", folder / "groups.csv") == 0  # fmt: skip


def make_ready(folder):
    prepare_tables(folder)
    assert call(cluster, folder, "--no-images", "--n-splits", "3") == 0
    assert call(ingest, folder, folder / "net.csv", "--name", "net", "--kind", "out_of_fold",
                "--folds", folder / "data" / "folds.csv") == 0  # fmt: skip


QUICK = ("--set", "n_bootstrap=0", "--set", "boosters=[]", "--jobs", "1")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_names_that_a_terminal_cannot_show_lose_no_work(workspace, monkeypatch, encoding):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding))
    make_ready(workspace)
    assert call(stack, workspace, *QUICK) == 0
    assert (workspace / "submissions" / "stack.csv").is_file()
    sys.stdout.flush()
    assert rb"\u03b1\u03b2\u03b3" in shown.getvalue()


def test_the_submission_is_written_before_the_scores_are_printed(workspace, monkeypatch):
    make_ready(workspace)

    def closed(stack, **options):
        raise BrokenPipeError("as head closes it")

    monkeypatch.setattr("pipelines.stack.scores_text", closed)
    with pytest.raises(BrokenPipeError):
        call(stack, workspace, *QUICK)
    assert (workspace / "submissions" / "stack.csv").is_file()


def test_a_command_started_from_a_notebook_draws_its_figures(workspace):
    pytest.importorskip("matplotlib")
    prepare_tables(workspace)
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cluster", "--no-images", "--workspace", str(workspace)],
        cwd=ROOT,
        env=os.environ | {"MPLBACKEND": "inline_of_a_notebook_server"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (workspace / "reports" / "folds.png").is_file()
