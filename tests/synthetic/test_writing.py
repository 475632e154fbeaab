import cv2
import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.synthetic import synthetic_dataset, write_dataset


@pytest.fixture(scope="module")
def dataset():
    return synthetic_dataset(9, 5, size=32, seed=2, duplicates=0.2)


@pytest.fixture(scope="module")
def written(dataset, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("fields") / "set", dataset)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def table(folder, name):
    return pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)


def test_the_layout_is_that_of_the_competition(dataset, written):
    train = dataset.design.query("split == 'train'")
    test = dataset.design.query("split == 'test'")
    assert table(written, "train").to_numpy().tolist() == [
        [image_id, target] for image_id, target in train["target"].items()
    ]
    submission = table(written, "sample_submission")
    assert list(submission.columns) == ["Id", "Predicted"]
    assert list(submission["Id"]) == list(test.index)
    assert set(submission["Predicted"]) == {"0"}
    assert list(table(written, "test_truth")["Target"]) == list(test["target"])
    images = {
        f"{split}/{image_id}_{stain}.png"
        for image_id, split in dataset.design["split"].items() for stain in STAINS
    }  # fmt: skip
    others = {
        "train.csv", "sample_submission.csv", "test_truth.csv", "groups.csv",
        "planted_duplicates.csv", "synthesis.json",
    }  # fmt: skip
    assert set(contents(written)) == images | others


def test_groups_and_planted_duplicates(dataset, written):
    groups = table(written, "groups").set_index("Id")
    assert groups.equals(dataset.design[["well", "plate", "cell_line"]].rename_axis("Id"))
    planted = table(written, "planted_duplicates")
    assert len(planted) == 3
    assert set(planted["duplicate_of"]) <= set(dataset.design.query("split == 'train'").index)


def test_pictures_are_the_fields_in_8_bits(dataset, written):
    image_id = dataset.design.index[3]
    field = dataset.field(image_id)
    for index, stain in enumerate(STAINS):
        path = written / "train" / f"{image_id}_{stain}.png"
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, np.rint(field[index] * 255))


def test_the_files_do_not_depend_on_the_number_of_workers(dataset, written, tmp_path):
    assert contents(write_dataset(tmp_path / "two", dataset, jobs=2)) == contents(written)


def test_an_existing_folder_is_refused_and_only_its_own_kind_is_replaced(dataset, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write_dataset(folder, dataset)  # empty: nothing to lose
    before = contents(folder)
    other = synthetic_dataset(2, 0, size=32, duplicates=0)
    with pytest.raises(InputError, match="exists; pass overwrite=True"):
        write_dataset(folder, other)
    assert contents(folder) == before
    write_dataset(folder, other, overwrite=True)
    assert len(table(folder, "train")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]

    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.txt").write_text("1")
    with pytest.raises(InputError, match="is not a synthetic data set"):
        write_dataset(foreign, other, overwrite=True)
    assert (foreign / "chapter.txt").read_text() == "1"


def test_nothing_is_left_when_writing_fails(dataset, tmp_path, monkeypatch):
    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpastack.synthetic.writing.draw_field", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_dataset(tmp_path / "set", dataset)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_does_not_matter(dataset, written, tmp_path):
    stale = tmp_path / ".set.partial" / "train"
    stale.mkdir(parents=True)
    (stale / "half.png").write_bytes(b"")
    assert contents(write_dataset(tmp_path / "set", dataset)) == contents(written)
