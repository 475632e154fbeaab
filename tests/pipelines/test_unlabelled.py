"""A folder of images without labels: what needs none works, what needs some says so."""

import cv2
import numpy as np
import pandas as pd
import pytest

from hpastack.fields import STAINS
from hpastack.synthetic import draw_field
from pipelines import cluster, domains, extract, finetune, neighbours, prepare, run, stack, view


def call(command, folder, *arguments):
    return command.main([*map(str, arguments), "--workspace", str(folder), "--jobs", "1"])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Sixteen fields of which n05 is n04, prepared without labels, with a store of features."""
    folder = tmp_path_factory.mktemp("unlabelled")
    (folder / "images").mkdir()
    for number in range(16):
        field = draw_field("0" if number % 2 else "25", size=64, seed=number)
        for stain, pixels in zip(STAINS, field):
            path = folder / "images" / f"n{number:02d}_{stain}.png"
            cv2.imwrite(str(path), np.rint(255 * pixels).astype(np.uint8))
    for stain in STAINS:  # the same but for noise
        twin = cv2.imread(str(folder / "images" / f"n04_{stain}.png"), cv2.IMREAD_GRAYSCALE)
        twin = twin ^ np.random.default_rng(0).integers(2, size=twin.shape, dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"n05_{stain}.png"), twin)
    assert call(prepare, folder, folder / "images") == 0
    assert call(extract, folder, "intensity") == 0
    return folder


def test_duplicates_and_clusters_are_found(workspace, capsys):
    assert call(cluster, workspace, "--overwrite") == 0
    assert (
        "no folds, as the catalogue has no training fields"
        in capsys.readouterr().out.splitlines()[-1]
    )
    pairs = pd.read_csv(workspace / "data" / "pairs.csv")
    assert pairs[["image_id", "twin"]].values.tolist() == [["n04", "n05"]]
    clusters = pd.read_csv(workspace / "data" / "clusters.csv", index_col="image_id")["cluster"]
    assert clusters["n04"] == clusters["n05"] and clusters.nunique() == 15
    for name in ("leaks.csv", "disagreements.csv"):
        assert pd.read_csv(workspace / "data" / name).empty
    assert not (workspace / "data" / "folds.csv").exists()


def test_domains_and_pictures_are_made(workspace):
    assert call(domains, workspace, "intensity", "--overwrite") == 0
    assert call(neighbours, workspace, "intensity", "--show", "n04", "--overwrite") == 0
    for name in ("domains.png", "neighbours.png"):
        assert (workspace / "reports" / name).read_bytes()[:4] == b"\x89PNG"


def test_a_field_is_compared_with_all_others(workspace, capsys):
    assert call(view, workspace, "n03", "--overwrite") == 0
    printed = capsys.readouterr().out
    assert "Features that differ most from those of 15 other fields\n" in printed
    assert printed.count("robust standard deviations") >= 3


@pytest.mark.parametrize("options", [["--n-splits", "3"], ["--balance", "source"], ["--seed", "1"]])
def test_options_of_folds_have_nothing_to_fold(workspace, capsys, options):
    assert call(cluster, workspace, *options, "--overwrite") == 2
    assert f"there are no folds; omit {options[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command, options",
    [
        (stack, []),
        (finetune, ["cnn_small"]),
        (neighbours, ["intensity", "--name", "near"]),
        (run, ["--route", "fast"]),
    ],
)
def test_what_learns_from_labels_says_how_to_bring_them_in(workspace, capsys, command, options):
    assert call(command, workspace, *options) == 2
    error = capsys.readouterr().err
    assert "no training fields" in error and "prepare IMAGES --labels CSV --overwrite" in error
