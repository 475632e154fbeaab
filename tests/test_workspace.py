"""What a workspace reads, and the commands it names for what is missing."""

import pandas as pd
import pytest

from hpastack.catalogue import table
from hpastack.errors import InputError
from hpastack.workspace import Workspace

pytestmark = pytest.mark.core


def test_it_reads_the_catalogue_its_folds_and_its_clusters(shapes):
    catalogue = shapes.read_catalogue()
    assert len(catalogue) == 72
    plan = shapes.read_folds(catalogue)
    assert list(plan.frame.index) == list(table.training_fields(catalogue).index)
    assert shapes.read_folds().digest == plan.digest


def test_fields_are_told_apart_in_their_order(shapes):
    catalogue = shapes.read_catalogue().iloc[::-1]
    train, test = table.training_fields(catalogue), table.test_fields(catalogue)
    assert (len(train), len(test)) == (60, 12)
    pd.testing.assert_frame_equal(pd.concat([test, train]), catalogue)


def test_a_plan_of_other_fields_is_an_error(shapes):
    with pytest.raises(InputError, match="differ in 1 field: field_00; run: hpastack"):
        shapes.read_folds(shapes.read_catalogue().drop(index="field_00"))


def test_clusters_come_in_the_order_of_the_fields(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.data.mkdir()
    workspace.clusters.write_text("image_id,cluster\na,a\nb,a\nc,c\n")
    found = workspace.read_clusters(["c", "a"])
    assert found.to_dict() == {"c": "c", "a": "a"} and list(found.index) == ["c", "a"]
    with pytest.raises(InputError, match="lacks 1 field of the catalogue: x; run: .* --overwrite"):
        workspace.read_clusters(["a", "x"])


@pytest.mark.parametrize(
    "read, file, command",
    [
        (Workspace.read_catalogue, "catalogue.csv", "prepare IMAGES"),
        (Workspace.read_folds, "folds.csv", "cluster"),
        (lambda workspace: workspace.read_clusters(["a"]), "clusters.csv", "cluster"),
    ],
)
def test_what_is_missing_names_the_command_that_makes_it(read, file, command, tmp_path):
    expected = f"{file} is missing; run: hpastack {command}$"
    with pytest.raises(InputError, match=expected):
        read(Workspace(tmp_path))


def test_a_notebook_shows_what_is_there_and_the_next_command(shapes, tmp_path):
    html = shapes._repr_html_()
    assert "60 train, 12 test" in html and "catalogue.csv (" in html
    assert "next: hpastack cluster" in html  # folds were written without clusters
    assert "next: hpastack prepare IMAGES" in Workspace(tmp_path)._repr_html_()
    damaged = Workspace(tmp_path / "<b>")
    damaged.data.mkdir(parents=True)
    damaged.catalogue.write_text("nothing\n")
    assert "&lt;b&gt;" in damaged._repr_html_()


@pytest.mark.parametrize(
    "files, split, command",
    [
        (["data/clusters.csv"], "train", "extract features/handcrafted.yaml"),
        (["data/clusters.csv", "features/a.h5"], "train", "stack"),
        (["data/clusters.csv", "features/a.h5"], "test", "prepare IMAGES --labels CSV --overwrite"),
        (["data/clusters.csv", "features/a.h5", "models/s/stack.json"], "train", "report s"),
        (["data/clusters.csv", "features/a.h5", "models/s/stack.json", "reports/s.html"], "train",
         "predict s"),
    ],
)  # fmt: skip
def test_the_next_command_is_that_of_what_is_missing(shapes, tmp_path, files, split, command):
    workspace = Workspace(tmp_path)
    workspace.data.mkdir()
    catalogue = shapes.read_catalogue()
    table.write_catalogue(workspace.catalogue, catalogue[catalogue["split"] == split])
    for file in [*files, "models/.cache/kept"]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x")
    html = workspace._repr_html_()
    assert f"next: hpastack {command}<" in html
    assert "(1 bytes)" in html and ".cache" not in html
