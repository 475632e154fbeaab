"""Fixtures shared by the tests."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hpa_server import HpaServer

from hpastack.catalogue import write_catalogue
from hpastack.fields import STAINS, check_fields
from hpastack.folds import FoldPlan, write_fold_plan
from hpastack.workspace import Workspace


@pytest.fixture(scope="session")
def real_data():
    """Folder of real labels, predictions and fields that lies beside the checkout in CI."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "labels" / "train.csv").is_file():
        pytest.skip("no real data beside this checkout (../shared/data)")
    return folder


@pytest.fixture
def noise_fields(tmp_path):
    """What draws n fields of noise, in files, and gives their catalogue."""

    def draw(n_fields, height=30, width=24):
        rng = np.random.default_rng(0)
        folder = tmp_path / "images"
        folder.mkdir()
        rows = {}
        for number in range(n_fields):
            files = {stain: str(folder / f"field{number}_{stain}.png") for stain in STAINS}
            for path in files.values():
                cv2.imwrite(path, rng.integers(0, 256, (height, width), dtype=np.uint8))
            rows[f"field{number}"] = files
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")
        facts, bad = check_fields(table, jobs=1, progress=False)
        assert not bad
        return table.join(facts)

    return draw


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB, where one can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    size = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(size, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A workspace of 60 training and 12 test fields of 32 px with three shapes as labels.

    A disc in green, stripes in green, and a bright red stain, in any mix; fields
    come in pairs of one look, which are the clusters, in three folds. Only read it.
    """
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(36, 3))
    labels[labels.sum(axis=1) == 0, 0] = 1
    rows, frame = {}, {}
    for number in range(72):
        image_id, pair = f"field_{number:02d}", number // 2
        field = rng.integers(0, 40, size=(4, 32, 32))
        disc, stripes, red = labels[pair]
        y, x = np.mgrid[:32, :32]
        centre = rng.integers(12, 20, size=2)
        field[1] += 150 * disc * (np.hypot(y - centre[0], x - centre[1]) < 7)
        field[1] += 60 * stripes * ((y + number) % 4 < 2)
        field[0] += 100 * red
        rows[image_id] = {"source": "drawn", "height": 32, "width": 32, "content": f"{number:032x}"}
        for stain, pixels in zip(STAINS, field):
            path = root / "images" / f"{image_id}_{stain}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), pixels.astype(np.uint8))
            rows[image_id][stain] = str(path)
        rows[image_id]["split"] = "train" if number < 60 else "test"
        target = " ".join(map(str, np.flatnonzero(labels[pair])))
        rows[image_id]["target"] = target if number < 60 else ""
        if number < 60:
            frame[image_id] = {"cluster": f"field_{2 * pair:02d}", "fold": pair % 3}
    workspace = Workspace(root)
    workspace.data.mkdir()
    workspace.vocabulary_file.write_text("disc\nstripes\nred\n", encoding="utf-8")
    catalogue = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")
    write_catalogue(workspace.catalogue, catalogue)
    plan = FoldPlan(pd.DataFrame.from_dict(frame, orient="index"))
    write_fold_plan(workspace.folds, plan)
    return workspace


@pytest.fixture
def hpa_server(monkeypatch):
    """A server of stains on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HpaServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """Workspace of few drawn fields with a stack and its report."""
    from report_cases import few_fields

    from pipelines import report

    root = few_fields(tmp_path_factory.mktemp("reported"))
    assert report.main(["models/stack", "--workspace", str(root)]) == 0
    return root
