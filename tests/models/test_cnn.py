"""Fine-tuning once a fold, what it leaves behind, and out-of-fold predictions."""

import ast
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hpastack
from hpastack.catalogue import read_catalogue
from hpastack.channels import STAINS
from hpastack.embeddings import create_backbone, read_weights_record
from hpastack.errors import InputError
from hpastack.folds import FoldPlan, read_fold_plan
from hpastack.images import read_field
from hpastack.metrics import macro_average_precision
from hpastack.models import cnn
from hpastack.models.cnn import finetune_folds
from hpastack.models.cnn_batches import augment, mixed, repeat_factors, repeated_rows, turned
from hpastack.models.cnn_checkpoint import read_checkpoint
from hpastack.models.cnn_fields import FieldSource, stain_statistics
from hpastack.models.cnn_prediction import predict_store
from hpastack.models.cnn_settings import CnnSettings
from hpastack.models.cnn_training import predict_logits, rate_at, train_model
from hpastack.recipes import CnnRecipe
from hpastack.store import open_store

SETTINGS = CnnSettings(
    "test_resnet", weights="random", size=32, epochs=6, batch_size=8, learning_rate=0.003
)
QUICK = replace(SETTINGS, epochs=1)
ALONE = {"device": "cpu", "jobs": 1, "progress": False}


@pytest.fixture(scope="module")
def catalogue(shapes):
    return read_catalogue(shapes.catalogue)


@pytest.fixture(scope="module")
def plan(shapes):
    return read_fold_plan(shapes.folds)


@pytest.fixture(scope="module")
def vocabulary(shapes):
    return shapes.vocabulary()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue, plan, vocabulary):
    """Checkpoints of three folds. Only read them."""
    folder = tmp_path_factory.mktemp("trained") / "models" / "small"
    finetune_folds(folder, catalogue, plan, vocabulary, SETTINGS, **ALONE)
    return folder


@pytest.fixture
def copied(tmp_path, trained):
    return Path(shutil.copytree(trained, tmp_path / "models" / "small"))


def training_labels(catalogue, vocabulary):
    training = catalogue[catalogue["split"] == "train"]
    return training.index, vocabulary.indicator(training["target"])


def weights(folder):
    return [path.read_bytes() for path in sorted(folder.glob("*.safetensors"))]


def test_learns_out_of_fold(tmp_path, trained, catalogue, plan, vocabulary):
    path = predict_store(trained, catalogue, tmp_path / "small.h5", plan=plan, **ALONE)
    ids, indicator = training_labels(catalogue, vocabulary)
    with open_store(path) as store:
        assert (store.kind, store.content) == ("out_of_fold", "logits")
        assert store.columns == ["small__0", "small__1", "small__2"]
        assert store.vocabulary == ["disc", "stripes", "red"]
        assert store.fold_plan == plan.digest
        assert store.fold[60:].tolist() == [-1] * 12
        assert store.fold[:60].tolist() == plan.frame["fold"].loc[ids].tolist()
        score = macro_average_precision(indicator, store.to_frame(ids).to_numpy())
    assert score > 0.9 > indicator.mean() + 0.2


def test_shuffled_labels_score_at_prevalence(tmp_path, catalogue, plan, vocabulary):
    ids, indicator = training_labels(catalogue, vocabulary)
    # Whole clusters are shuffled, as fields of one cluster have the same labels.
    order = np.random.default_rng(3).permutation(30)
    shuffled = catalogue.copy()
    shuffled.loc[ids, "target"] = (
        catalogue.loc[ids, "target"].to_numpy().reshape(30, 2)[order].ravel()
    )
    finetune_folds(tmp_path / "m", shuffled, plan, vocabulary, SETTINGS, **ALONE)
    path = predict_store(tmp_path / "m", shuffled, tmp_path / "m.h5", **ALONE)
    with open_store(path) as store:
        scores = store.to_frame(ids).to_numpy()
    _, indicator = training_labels(shuffled, vocabulary)
    # 60 fields in 30 clusters: chance alone moves the score by about 0.07.
    assert macro_average_precision(indicator, scores) < indicator.mean() + 0.15


def test_model_of_a_fold_never_sees_that_fold(tmp_path, monkeypatch, catalogue, plan, vocabulary):
    seen = []

    def spy(model, source, indicator, train_rows, held_out_rows, settings, **options):
        ids = np.array(source.catalogue.index)
        seen.append((options["stream"], set(ids[train_rows]), set(ids[held_out_rows])))
        return train_model(model, source, indicator, train_rows, held_out_rows, settings, **options)

    monkeypatch.setattr(cnn, "train_model", spy)
    finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, QUICK, **ALONE)
    assert [fold for fold, _, _ in seen] == [0, 1, 2]
    for fold, learnt, held_out in seen:
        of_fold = set(plan.frame.index[plan.frame["fold"] == fold])
        assert held_out == of_fold
        assert learnt == set(plan.frame.index) - of_fold
        clusters = plan.frame["cluster"]
        assert not set(clusters[list(learnt)]) & set(clusters[list(held_out)])


def test_each_field_is_predicted_by_the_right_models(tmp_path, trained, catalogue):
    path = predict_store(trained, catalogue, tmp_path / "small.h5", **ALONE)
    models = read_checkpoint(trained).load_models(torch.device("cpu"))
    with open_store(path) as store:
        frame, folds, members = store.to_frame(), store.fold, store.members()
    assert members.shape == (3, 12, 3)
    for position in (0, 7, 31, 59, 60, 71):
        row = catalogue.iloc[position]
        pixels = np.rint(read_field(row, size=32, square=True) * 255) / 255
        batch = torch.from_numpy(pixels[None].astype(np.float32))
        with torch.no_grad():
            logits = [m(m.preprocessing.scale(batch)).numpy()[0] for m in models]
        fold = folds[position]
        wanted = np.mean(logits, axis=0) if fold == -1 else logits[fold]
        assert np.allclose(frame.iloc[position], wanted, atol=1e-5)
        if fold == -1:
            assert np.allclose(members[:, position - 60], logits, atol=1e-5)


def test_labels_of_held_out_fields_do_not_touch_their_model(tmp_path, catalogue, plan, vocabulary):
    changed = catalogue.copy()
    held_out = plan.frame.index[plan.frame["fold"] == 1]
    changed.loc[held_out, "target"] = "0 1 2"
    states = []
    for folder, fields in ((tmp_path / "a", catalogue), (tmp_path / "b", changed)):
        checkpoint = finetune_folds(folder, fields, plan, vocabulary, QUICK, **ALONE)
        states.append([m.state_dict() for m in checkpoint.load_models(torch.device("cpu"))])
    same = [all(torch.equal(a[key], b[key]) for key in a) for a, b in zip(*states)]
    assert same == [False, True, False]


def test_resumes_with_the_same_bytes(copied, trained, catalogue, plan, vocabulary, monkeypatch):
    (copied / "fold_1.safetensors").unlink()
    with pytest.raises(InputError, match=r"fold_1\.safetensors is missing"):
        read_checkpoint(copied)
    trainings = []
    monkeypatch.setattr(
        cnn, "train_model", lambda *a, **k: trainings.append(k["stream"]) or train_model(*a, **k)
    )
    finetune_folds(copied, catalogue, plan, vocabulary, SETTINGS, **ALONE)
    assert trainings == [1]
    assert weights(copied) == weights(trained)
    for name in ("cnn.json", "history.csv", "folds.csv"):
        assert (copied / name).read_bytes() == (trained / name).read_bytes()
    assert not copied.with_name("small.parts").exists()
    finetune_folds(copied, catalogue, plan, vocabulary, SETTINGS, **ALONE)
    assert trainings == [1]


def test_resumes_after_a_kill_between_folds(
    tmp_path, trained, catalogue, plan, vocabulary, monkeypatch
):
    def killed(*arguments, **options):
        if options["stream"] == 2:
            raise KeyboardInterrupt
        return train_model(*arguments, **options)

    folder = tmp_path / "m"
    monkeypatch.setattr(cnn, "train_model", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune_folds(folder, catalogue, plan, vocabulary, SETTINGS, **ALONE)
    assert not folder.exists()
    monkeypatch.setattr(cnn, "train_model", train_model)
    finetune_folds(folder, catalogue, plan, vocabulary, SETTINGS, **ALONE)
    assert weights(folder) == weights(trained)
    assert (folder / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()


@pytest.mark.slow
def test_side_by_side_gives_the_same_bytes(tmp_path, trained, catalogue, plan, vocabulary):
    options = {**ALONE, "jobs": 2}
    finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, SETTINGS, **options)
    assert weights(tmp_path / "m") == weights(trained)
    paths = [
        predict_store(folder, catalogue, tmp_path / name / "x.h5", **given)
        for folder, name, given in ((tmp_path / "m", "a", options), (trained, "b", ALONE))
    ]
    values = []
    for path in paths:
        with open_store(path) as store:
            values.append(store.values())
    assert np.array_equal(*values)


def test_other_settings_are_refused_unless_overwritten(copied, catalogue, plan, vocabulary):
    other = replace(QUICK, seed=1)
    before = weights(copied)
    with pytest.raises(InputError, match="made with other settings.*--overwrite"):
        finetune_folds(copied, catalogue, plan, vocabulary, other, **ALONE)
    assert weights(copied) == before
    finetune_folds(copied, catalogue, plan, vocabulary, other, overwrite=True, **ALONE)
    assert read_checkpoint(copied).settings == other
    foreign = copied.with_name("foreign")
    foreign.mkdir()
    with pytest.raises(InputError, match="holds no fine-tuned CNN; move it"):
        finetune_folds(foreign, catalogue, plan, vocabulary, QUICK, overwrite=True, **ALONE)


def test_what_is_written(trained, plan):
    manifest = json.loads((trained / "cnn.json").read_text())
    assert manifest["fold_plan"] == plan.digest
    assert manifest["vocabulary"] == ["disc", "stripes", "red"]
    assert manifest["settings"]["backbone"] == "test_resnet"
    assert len(manifest["scores"]["fold_macro_ap"]) == 3
    history = pd.read_csv(trained / "history.csv")
    assert list(history) == ["fold", "epoch", "learning_rate", "loss", "macro_ap"]
    assert history[["fold", "epoch"]].to_numpy().tolist() == [
        [fold, epoch] for fold in range(3) for epoch in range(6)
    ]
    assert history.loc[5, "loss"] < history.loc[0, "loss"]
    assert "20 labelled" not in read_weights_record(trained / "fold_0.safetensors")["trained_on"]
    assert "40 labelled" in read_weights_record(trained / "fold_0.safetensors")["trained_on"]


def test_new_fields_alone_are_test_fields(tmp_path, trained, catalogue):
    new = catalogue[catalogue["split"] == "test"].rename(index=lambda i: f"new_{i}")
    path = predict_store(trained, new, tmp_path / "small.h5", **ALONE)
    whole = predict_store(trained, catalogue, tmp_path / "whole" / "small.h5", **ALONE)
    with open_store(path) as store, open_store(whole) as other:
        assert set(store.fold) == {-1}
        assert np.allclose(store.values(), other.values()[60:], atol=1e-5)
        assert np.allclose(store.members(), other.members(), atol=1e-5)


def test_training_fields_alone_have_no_members(tmp_path, trained, catalogue):
    training = catalogue[catalogue["split"] == "train"]
    with open_store(predict_store(trained, training, tmp_path / "small.h5", **ALONE)) as store:
        assert store.n_members == 0 and len(store.image_ids) == 60


def test_fields_that_do_not_fit_the_checkpoint(tmp_path, trained, catalogue, plan):
    path = tmp_path / "x.h5"
    as_test = catalogue.assign(split="test")
    with pytest.raises(InputError, match=r"test fields that .* was trained on: field_00"):
        predict_store(trained, as_test, path, **ALONE)
    more = catalogue.copy()
    more.loc["field_60", "split"] = "train"
    with pytest.raises(InputError, match="no fold for: field_60"):
        predict_store(trained, more, path, **ALONE)
    other = FoldPlan(plan.frame.assign(fold=(plan.frame["fold"] + 1) % 3))
    with pytest.raises(InputError, match="trained with another fold plan"):
        predict_store(trained, catalogue, path, plan=other, **ALONE)
    assert not list(tmp_path.iterdir())


def test_plan_must_be_of_the_training_fields(tmp_path, catalogue, plan, vocabulary):
    for fields, message in (
        (catalogue.rename(index={"field_05": "stranger"}), "without a fold: stranger"),
        (catalogue.drop(index="field_05"), "does not train on: field_05"),
    ):
        with pytest.raises(InputError, match=message):
            finetune_folds(tmp_path / "m", fields, plan, vocabulary, QUICK, **ALONE)
    assert not list(tmp_path.iterdir())


def test_exchanged_weights_are_refused(copied):
    one, two = copied / "fold_1.safetensors", copied / "fold_2.safetensors"
    one.write_bytes(two.read_bytes())
    with pytest.raises(InputError, match=r"fold_1\.safetensors is not the file of weights"):
        read_checkpoint(copied)
    (copied / "cnn.json").write_text("{}")
    with pytest.raises(InputError, match=r"cnn\.json is damaged"):
        read_checkpoint(copied)
    with pytest.raises(InputError, match="holds no fine-tuned CNN"):
        read_checkpoint(copied / "nowhere")


def test_each_fold_predicts_with_the_preprocessing_it_was_trained_with(trained):
    checkpoint = read_checkpoint(trained)
    models = checkpoint.load_models(torch.device("cpu"))
    for fold, model in enumerate(models):
        own = read_weights_record(trained / f"fold_{fold}.safetensors")["preprocessing"]
        assert model.preprocessing.record() == own
    assert models[0].preprocessing != models[1].preprocessing


def test_fine_tuned_weights_can_be_started_from(tmp_path, trained, catalogue, plan, vocabulary):
    again = replace(QUICK, weights=str(trained / "fold_0.safetensors"))
    checkpoint = finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, again, **ALONE)
    own = read_weights_record(trained / "fold_0.safetensors")["preprocessing"]
    assert all(preprocessing.record() == own for preprocessing in checkpoint.preprocessing)
    with pytest.raises(InputError, match="name one of fold_0"):
        finetune_folds(
            tmp_path / "n", catalogue, plan, vocabulary, replace(QUICK, weights=str(trained)),
            **ALONE,
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "focal"},
        {"loss": "asymmetric"},
        {"loss": "lsep", "label_smoothing": 0.05},
        {"label_weight_power": 0.5},
        {"zoom": 0.2, "stain_dropout": 0.1},
        {"cutout": 0.2},
        {"mixup": 0.2},
        {"ema_decay": 0.9},
        {"label_smoothing": 0.1},
        {"repeat_threshold": 0.9},
    ],
)
def test_options_still_learn(catalogue, plan, vocabulary, change):
    settings = replace(SETTINGS, **change)
    ids, indicator = training_labels(catalogue, vocabulary)
    source = FieldSource(catalogue.loc[ids], 32)
    fold = plan.frame["fold"].loc[ids].to_numpy()
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=3)
    history = []
    train_model(
        model, source, indicator, np.flatnonzero(fold != 0), np.flatnonzero(fold == 0), settings,
        device=torch.device("cpu"), report=history.append,
    )  # fmt: skip
    assert history[-1]["macro_ap"] > indicator.mean() + 0.15


def test_loss_that_runs_away(catalogue, vocabulary):
    ids, indicator = training_labels(catalogue, vocabulary)
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=3)
    with torch.no_grad():
        model.get_classifier().weight.fill_(torch.inf)
    rows = np.arange(8)
    with pytest.raises(InputError, match="lower learning_rate"):
        train_model(
            model, FieldSource(catalogue.loc[ids], 32), indicator, rows, rows, QUICK,
            device=torch.device("cpu"),
        )  # fmt: skip


def test_streamed_fields_are_those_in_memory(catalogue):
    held, streamed = FieldSource(catalogue, 32), FieldSource(catalogue, 32, memory_limit=0)
    assert streamed.pixels is None
    batches = [np.array([3, 1, 3]), np.array([70])]
    for one, other in zip(held.batches(batches), streamed.batches(batches), strict=True):
        assert one.dtype == np.uint8
        assert np.array_equal(one, other)


def test_statistics_worked_by_hand():
    source = FieldSource.__new__(FieldSource)
    source.size, source.pixels = 2, np.zeros((2, len(STAINS), 2, 2), np.uint8)
    source.pixels[1, 0] = 255  # one field of two is white in red: mean 1/2, sd 1/2
    mean, sd = stain_statistics(source, [0, 1])
    assert mean == (0.5, 0.0, 0.0, 0.0)
    assert np.allclose(sd, (0.5, 1 / 255, 1 / 255, 1 / 255))


def test_repeats_worked_by_hand():
    # the second label is on one field of four: sqrt(1 / 0.25) = 2
    indicator = np.array([[1, 0], [1, 0], [1, 0], [1, 1]])
    assert repeat_factors(indicator, 1.0).tolist() == [1, 1, 1, 2]
    assert repeat_factors(indicator, 0.0).tolist() == [1, 1, 1, 1]
    rng = np.random.default_rng(0)
    rows = repeated_rows(np.array([5, 6]), np.array([2.0, 1.5]), rng)
    assert (rows == 5).sum() == 2
    assert (rows == 6).sum() in (1, 2)


def test_eight_views_are_all_different_and_undone_by_the_mean():
    batch = torch.arange(16.0).view(1, 1, 4, 4)
    views = [turned(batch, view) for view in range(8)]
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8


def test_mean_of_views_does_not_change_with_a_turn(catalogue):
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=3)
    source = FieldSource(catalogue.iloc[:4], 32)
    rows = np.arange(4)
    upright = predict_logits(model, source, rows, 4, views=8)
    source.pixels = np.rot90(source.pixels, axes=(2, 3)).copy()
    assert np.allclose(predict_logits(model, source, rows, 4, views=8), upright, atol=1e-5)
    assert not np.allclose(predict_logits(model, source, rows, 4), upright, atol=1e-3)


def test_augmentation_keeps_what_labels_depend_on():
    settings = replace(SETTINGS, brightness=0.0, offset=0.0, shift=0.25)
    batch = torch.zeros(64, 4, 8, 8)
    batch[:, 1, 3:5, 3:5] = 1.0
    changed = augment(batch, np.random.default_rng(0), settings)
    assert changed.shape == batch.shape
    assert changed[:, [0, 2, 3]].sum() == 0
    assert (changed.sum(dim=(1, 2, 3)) == 4).all()  # a shift of 2 never cuts the square
    assert len({tuple(field.flatten().tolist()) for field in changed}) > 5
    brighter = augment(batch, np.random.default_rng(0), replace(SETTINGS, shift=0.0))
    assert brighter.min() >= 0
    assert brighter.max() > 1
    assert torch.equal(
        brighter, augment(batch, np.random.default_rng(0), replace(SETTINGS, shift=0.0))
    )


UNCHANGED = replace(SETTINGS, turns=False, shift=0.0, brightness=0.0, offset=0.0)


def test_nothing_is_changed_where_nothing_is_asked_for():
    batch = torch.rand(3, 4, 8, 8)
    assert torch.equal(augment(batch, np.random.default_rng(0), UNCHANGED), batch)
    targets = torch.rand(3, 2)
    assert mixed(batch, targets, np.random.default_rng(0), 0) == (batch, targets)


def test_zoom_changes_sizes_about_the_middle():
    batch = torch.zeros(200, 4, 32, 32)
    batch[:, :, 8:24, 8:24] = 1
    areas = augment(batch, np.random.default_rng(0), replace(UNCHANGED, zoom=0.25)).mean((1, 2, 3))
    low, high = (16 * 0.75 / 32) ** 2, (16 * 1.25 / 32) ** 2
    assert low - 0.01 < areas.min() < low + 0.03 and high - 0.05 < areas.max() < high + 0.01
    changed = augment(batch, np.random.default_rng(0), replace(UNCHANGED, zoom=0.25))
    assert torch.allclose(changed, changed.flip(3), atol=1e-5)
    assert torch.allclose(changed, changed.transpose(2, 3), atol=1e-5)


def test_a_dropped_stain_is_never_the_protein():
    batch = torch.ones(2000, 4, 2, 2)
    changed = augment(batch, np.random.default_rng(0), replace(UNCHANGED, stain_dropout=0.3))
    black = (changed == 0).all(dim=(2, 3)).float()
    assert black[:, STAINS.index("green")].sum() == 0
    assert black.sum(dim=1).max() == 1
    assert black.sum(dim=1).mean().item() == pytest.approx(0.3, abs=0.03)
    assert black[:, [0, 2, 3]].mean(dim=0).numpy() == pytest.approx([0.1] * 3, abs=0.03)


def test_a_cut_out_square_lies_anywhere_within():
    batch = torch.ones(300, 4, 10, 10)
    changed = augment(batch, np.random.default_rng(0), replace(UNCHANGED, cutout=0.3))
    assert (changed.sum(dim=(1, 2, 3)) == 4 * (100 - 9)).all()
    assert (changed.mean(dim=(0, 1)) < 1).all()  # corners, too


def test_mixed_fields_have_mixed_labels():
    batch = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 4, 2, 2)
    targets = torch.eye(6)
    fields, labels = mixed(batch, targets, np.random.default_rng(0), 0.5)
    assert torch.allclose(labels.sum(dim=1), torch.ones(6))
    # A field's number is the mean of the numbers of those mixed.
    assert torch.allclose(fields[:, 0, 0, 0], labels @ torch.arange(6.0), atol=1e-5)
    assert (labels > 0).sum() > 6


def test_rate_falls_from_the_top():
    assert rate_at(0.0, 0.0) == 1.0
    assert rate_at(1.0, 0.1) == pytest.approx(0.01)
    assert rate_at(0.1, 0.1) == 1.0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"shift": 0.9}, "shift is 0.9; it must be from 0 to 0.5"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"loss": "hinge"}, "loss 'hinge' is unknown"),
        ({"label_weight_power": 2}, "label_weight_power is 2; it must be from 0 to 1"),
        ({"views": 4}, "views is 4; it must be 1 or 8"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, **change)


def test_recipe_has_the_keys_and_defaults_of_the_settings():
    recipe = CnnRecipe(type="cnn", backbone="resnet18")
    assert recipe.model_dump(exclude={"type"}) == CnnSettings("resnet18").record()


def test_weights_are_never_unpickled_freely():
    for path in Path(hpastack.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("weights_only") == "True", path
