"""Figures and training where a notebook server names a backend that is not there."""

import os
import subprocess
import sys

import pytest

MISSING = "inline_of_a_notebook_server"
PLOT = (
    "import hpastack as hs, numpy as np; "
    "y = np.arange(12)[:, None] % 2; "
    "figure = hs.fold_report(y, np.arange(12) // 2 % 3).plot(); "
    "figure.savefig('folds.png')"
)


def python(code, folder, backend):
    pytest.importorskip("matplotlib")
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"MPLBACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def test_matplotlib_itself_cannot_be_imported(tmp_path):
    assert "not a valid value for backend" in python("import matplotlib", tmp_path, MISSING).stderr


def test_folds_are_plotted(tmp_path):
    done = python(PLOT, tmp_path, MISSING)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "folds.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "door",
    [
        "hpastack.pictures._matplotlib",
        pytest.param("hpastack.cnn._lightning", marks=pytest.mark.slow),
    ],
)
def test_what_imports_matplotlib_is_imported(tmp_path, door):
    code = f"import os, {door}; print(os.environ['MPLBACKEND'])"
    done = python(code, tmp_path, MISSING)
    assert (done.returncode, done.stdout.strip()) == (0, MISSING), done.stderr


def test_a_backend_that_there_is_remains_in_force(tmp_path):
    code = "import hpastack.pictures._matplotlib as e; print(e.matplotlib.get_backend())"
    assert python(code, tmp_path, "svg").stdout.strip() == "svg"
