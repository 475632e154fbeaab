"""The demo and the routes on few, small fields: every step runs and leaves what it should."""

import pytest

from hpastack.store import StoreHeader, open_store, write_store
from pipelines import demo, run


def of_another_version(path):
    """Take a column from a store."""
    with open_store(path) as store:
        header = StoreHeader(
            store.kind, "features", store.columns[1:], recipe=store.recipe,
            made_from=store.made_from, allow_nan=store.allow_nan,
        )  # fmt: skip
        values, image_ids = store.values()[:, 1:], store.image_ids
    write_store(path, header, image_ids, values, overwrite=True)


def test_few_fields_are_drawn_with_labels_in_fewer_wells():
    assert [demo._wells_per_label(n, 6) for n in (20, 150, 300, 420, 1200)] == [0, 2, 4, 6, 6]
    assert [demo._wells_per_label(n, 2) for n in (20, 100, 160, 800)] == [0, 1, 2, 2]


@pytest.mark.slow
def test_every_step_of_the_demo_and_the_routes(tmp_path, capfd):
    root = tmp_path / "demo"
    small = ["--train", "420", "--test", "160", "--size", "32", "--epochs", "1"]
    assert demo.main(["--workspace", str(root), *small]) == 0
    printed = capfd.readouterr().out
    assert "cross-validated scores, and the scores on the true labels of the test fields" in printed
    assert "What to look at:" in printed and f"hpastack store --workspace {root}" in printed
    for made in ("submissions/stack.csv", "reports/stack.html", "models/stack/stack.json",
                 "features/cnn_small.h5", "data/leaks.csv"):  # fmt: skip
        assert (root / made).is_file(), made
    submission = (root / "submissions" / "stack.csv").read_bytes()

    # Not made again, and nothing of another's removed, unasked.
    assert demo.main(["--workspace", str(root), *small]) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("!")
    assert demo.main(["--workspace", str(tmp_path / "mine"), "--overwrite", *small]) == 2
    assert (tmp_path / "mine" / "thesis.txt").is_file()

    # Stored weights and the stored stack give the same submission again; a store that has not all
    # columns is made anew.
    of_another_version(root / "features" / "handcrafted.h5")
    assert run.main(["--workspace", str(root), "--route", "ordinary", "--overwrite"]) == 0
    assert (root / "submissions" / "stack.csv").read_bytes() == submission
