"""The command: what may not be brought in."""

import numpy as np
import pandas as pd
import pytest

from hpastack.catalogue import read_catalogue
from hpastack.labels import Vocabulary
from hpastack.store import is_binary, open_store
from pipelines import prepare
from pipelines.ingest import main

N_TRAIN, N_TEST, N_LABELS = 30, 20, 3
IDS = [f"f{number:03d}" for number in range(N_TRAIN + N_TEST)]
TRAIN, TEST = IDS[:N_TRAIN], IDS[N_TRAIN:]


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.csv"
    pd.DataFrame({"Id": ["a", "b"], "first": [0.1, 0.2]}).to_csv(path, index=False)
    return path


def test_vectors_of_the_encoders_of_folds_are_refused_with_the_remedy(vectors, tmp_path, capsys):
    bring = [str(vectors), "--name", "net", "--content", "features", "--workspace", str(tmp_path)]
    assert main([*bring, "--kind", "out_of_fold"]) == 2
    message = capsys.readouterr().err
    assert "encoders of different folds" in message
    assert "--content logits" in message and "--kind target_free" in message
    assert not (tmp_path / "features").exists()
    assert main([*bring, "--kind", "target_free"]) == 0
    with open_store(tmp_path / "features" / "net.h5") as store:
        assert (store.kind, store.columns) == ("target_free", ["net__first"])


@pytest.fixture
def work(tmp_path):
    """A workspace of fields without images and of three labels."""
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    pd.DataFrame({"Id": TRAIN, "Target": "0 2"}).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame({"Id": TEST}).to_csv(tmp_path / "ids.csv", index=False)
    arguments = ["--labels", "train.csv", "--test", "ids.csv", "--vocabulary", "names.txt"]
    arguments = [str(tmp_path / word) if "." in word else word for word in arguments]
    assert prepare.main([*arguments, "--workspace", str(tmp_path)]) == 0
    return tmp_path


def bring(work, *files, content="probabilities", kind="target_free", name="net"):
    words = [str(work / word) if str(word).endswith(".csv") else str(word) for word in files]
    return main([*words, "--name", name, "--kind", kind, "--content", content,
                 "--workspace", str(work)])  # fmt: skip


def stored(work, ids, name="net"):
    with open_store(work / "features" / f"{name}.h5") as store:
        return store.content, store.recipe, store.to_frame(ids).to_numpy()


def write(work, name, values, ids, columns=None):
    columns = range(N_LABELS) if columns is None else columns
    pd.DataFrame(values, ids, columns).rename_axis("Id").to_csv(work / name)


RNG = np.random.default_rng(0)
LABELS = (RNG.random((N_TRAIN, N_LABELS)) < [0.2, 0.5, 0.0]).astype(int)
PROBABILITIES = RNG.random((N_TEST, N_LABELS))


@pytest.mark.parametrize("way", ["sets", "dense", "scores", "logits"])
def test_label_sets_beside_other_values_mean_the_same_in_all_ways(way, work, capsys):
    if way == "sets":
        texts = Vocabulary("abc").targets(LABELS)
        write(work, "train_sets.csv", {"Predicted": texts}, TRAIN, ["Predicted"])
    else:
        write(work, "train_sets.csv", LABELS, TRAIN)
    values = 8 * PROBABILITIES - 4 if way == "logits" else PROBABILITIES
    write(work, "test_values.csv", values, TEST)
    content = {"scores": "scores", "logits": "logits"}.get(way, "probabilities")
    assert bring(work, "train_sets.csv", "test_values.csv", content=content) == 0
    assert "label sets: training fields have labels only" in capsys.readouterr().out
    held, recipe, train = stored(work, TRAIN)
    assert held == ("scores" if way == "scores" else "label_sets")
    assert recipe["threshold"] == "prevalence"
    np.testing.assert_array_equal(train, LABELS)
    test = stored(work, TEST)[2]
    assert set(np.unique(test)) == {0, 1}
    np.testing.assert_allclose(test.mean(axis=0), LABELS.mean(axis=0), atol=0.5 / N_TEST + 1e-6)
    assert (test[:, 0] == (PROBABILITIES[:, 0] >= PROBABILITIES[test[:, 0] == 1, 0].min())).all()

    assert bring(work, "train_sets.csv", "test_values.csv", "--threshold", 0.7, "--overwrite",
                 content=content) == 0  # fmt: skip
    held, recipe, test = stored(work, TEST)
    assert recipe["threshold"] == 0.7
    np.testing.assert_array_equal(test, values >= 0.7)


@pytest.mark.parametrize("content", ["probabilities", "logits"])
def test_clipped_label_sets_are_label_sets_beside_other_values(work, capsys, content):
    logits = np.log(PROBABILITIES / (1 - PROBABILITIES))
    ends, values = ((-7.6, 7.6), logits) if content == "logits" else ((5e-4, 0.9995), PROBABILITIES)
    write(work, "train_sets.csv", np.where(LABELS == 1, *ends[::-1]), TRAIN)
    write(work, "test_values.csv", values, TEST)
    assert bring(work, "train_sets.csv", "test_values.csv", content=content) == 0
    assert "label sets: training fields have labels only" in capsys.readouterr().out
    held, recipe, train = stored(work, TRAIN)
    assert (held, recipe["threshold"]) == ("label_sets", "prevalence")
    np.testing.assert_array_equal(train, LABELS)
    assert is_binary(stored(work, TEST)[2])
    assert bring(work, "train_sets.csv", "test_values.csv", "--as-is", "--overwrite",
                 content=content) == 0  # fmt: skip
    assert "training fields have practically only two values" in capsys.readouterr().err
    assert stored(work, TEST)[0] == content
    blurred = np.where(LABELS == 1, *ends[::-1]) * RNG.uniform(0.9995, 1, LABELS.shape)
    write(work, "train_sets.csv", blurred, TRAIN)
    assert bring(work, "train_sets.csv", "test_values.csv", "--overwrite", content=content) == 0
    assert "training fields have practically only two values" in capsys.readouterr().err


def test_predictions_that_equal_the_targets_are_named(tmp_path, capsys):
    ids = [f"t{number}" for number in range(60)]
    sets = [f"{number % 3} {(number + 1) % 3}" for number in range(60)]
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    pd.DataFrame({"Id": ids, "Target": sets}).to_csv(tmp_path / "train.csv", index=False)
    labels, names = str(tmp_path / "train.csv"), str(tmp_path / "names.txt")
    words = ["--labels", labels, "--vocabulary", names, "--workspace", str(tmp_path)]
    assert prepare.main(words) == 0
    y = Vocabulary("abc").indicator(sets)
    write(tmp_path, "p.csv", np.clip(y, 0.02, 0.98) - RNG.uniform(0, 0.02, y.shape), ids)
    assert bring(tmp_path, "p.csv", kind="out_of_fold") == 0
    assert "net: the values of training fields equal their targets" in capsys.readouterr().err
    write(tmp_path, "p.csv", np.clip(y[::-1], 0.02, 0.98), ids)
    assert bring(tmp_path, "p.csv", "--overwrite", kind="out_of_fold") == 0
    assert "equal their targets" not in capsys.readouterr().err
    table = pd.DataFrame({"area": RNG.random(60), "leak": y[:, 2]}, pd.Index(ids, name="Id"))
    table.to_csv(tmp_path / "f.csv")
    assert bring(tmp_path, "f.csv", "--overwrite", content="features") == 0
    error = capsys.readouterr().err
    assert "the values of training fields equal a target: net__leak (label 2)" in error
    assert bring(tmp_path, "f.csv", "--overwrite", "--drop", "leak", content="features") == 0
    assert "equal a target" not in capsys.readouterr().err


def test_values_of_training_fields_beside_label_sets_of_test_fields_are_an_error(work, capsys):
    texts = Vocabulary("abc").targets(PROBABILITIES > 0.5)
    write(work, "test_sets.csv", {"Predicted": texts}, TEST, ["Predicted"])
    write(work, "train_values.csv", RNG.random((N_TRAIN, N_LABELS)), TRAIN)
    assert bring(work, "train_values.csv", "test_sets.csv") == 2
    assert "label_sets and probabilities" in (error := capsys.readouterr().err)
    assert "--threshold VALUE" in error


def test_probabilities_called_logits_are_asked_about(work, capsys):
    write(work, "p.csv", PROBABILITIES, TEST)
    assert bring(work, "p.csv", content="logits") == 2
    assert "content='probabilities'" in capsys.readouterr().err
    assert bring(work, "p.csv", "--as-is", content="logits") == 0
    assert stored(work, TEST)[0] == "logits"


def test_features_of_part_of_the_fields_leave_nan(work, capsys):
    write(work, "f.csv", {"area": RNG.random(11)}, TRAIN[:11], ["area"])
    assert bring(work, "f.csv", content="features") == 2
    assert "lacks 19 of 30 train fields" in (error := capsys.readouterr().err)
    assert "--allow-missing sets these to NaN" in error
    assert bring(work, "f.csv", "--allow-missing", content="features") == 0
    assert "NaN: 39 fields" in capsys.readouterr().out
    values = stored(work, IDS)[2]
    assert np.isnan(values[11:]).all() and not np.isnan(values[:11]).any()
    write(work, "p.csv", PROBABILITIES[:5], TEST[:5])
    assert bring(work, "p.csv", "--overwrite") == 2
    assert "--allow-missing" not in capsys.readouterr().err
    assert bring(work, "p.csv", "--allow-missing", "--overwrite") == 2
    assert "--content features or scores" in capsys.readouterr().err


def test_row_numbers_are_dropped_or_kept_by_name(work, capsys):
    columns = {"Unnamed: 0": range(50), "Metadata_Row": range(50), "area": RNG.random(50)}
    write(work, "f.csv", columns, IDS, list(columns))
    assert bring(work, "f.csv", content="features") == 2
    assert "drop the columns 'Unnamed: 0', 'Metadata_Row'" in capsys.readouterr().err
    options = ["--drop", "Unnamed: 0", "--keep", "Metadata_Row"]
    assert bring(work, "f.csv", *options, content="features") == 0
    with open_store(work / "features" / "net.h5") as store:
        assert store.columns == ["net__Metadata_Row", "net__area"]
    assert bring(work, "f.csv", "--drop", "volume", "Unnamed: 0", "Metadata_Row", "--overwrite",
                 content="features") == 2  # fmt: skip
    assert "--drop 'volume': no table has such a column" in capsys.readouterr().err


def test_what_a_stack_will_not_take_is_said_at_once(work, capsys):
    write(work, "p.csv", RNG.random((N_TRAIN, N_LABELS)), TRAIN)
    assert bring(work, "p.csv", kind="out_of_fold") == 0
    error = capsys.readouterr().err
    assert "--accept net" in error and "--folds CSV" in error
    assert ": no test fields" in error and "--no-submission" in error


def test_a_missing_vocabulary_is_named(work, capsys):
    (work / "data" / "vocabulary.txt").unlink()
    assert len(read_catalogue(work / "data" / "catalogue.csv")) == 50
    write(work, "p.csv", PROBABILITIES, TEST)
    assert bring(work, "p.csv") == 2
    error = capsys.readouterr().err
    assert "no column for label 3" in error and "vocabulary.txt" in error
    assert "--vocabulary FILE" in error
