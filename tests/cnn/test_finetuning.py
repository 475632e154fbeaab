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
from hpastack.backbones import create_backbone, read_weights_record
from hpastack.cnn import CnnSettings, finetune_folds, predict_store, read_checkpoint
from hpastack.cnn import finetuning as cnn
from hpastack.cnn.augmentation import rotated
from hpastack.cnn.checkpoint import starting_weights
from hpastack.cnn.field_source import FieldSource
from hpastack.cnn.inference import predict_logits
from hpastack.cnn.training import train_model
from hpastack.cnn.training_state import StateFile
from hpastack.errors import InputError
from hpastack.fields import read_field
from hpastack.folds import FoldPlan
from hpastack.metrics import macro_average_precision
from hpastack.store import open_store

SETTINGS = CnnSettings(
    "test_resnet", weights="random", size=32, epochs=6, batch_size=8, learning_rate=0.003
)
QUICK = replace(SETTINGS, epochs=1)
ALONE = {"device": "cpu", "jobs": 1, "progress": False}


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


@pytest.mark.slow
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

    def spy(model, fields, settings, processes, **options):
        ids = np.array(fields.source.catalogue.index)
        seen.append((options["stream"], set(ids[fields.train]), set(ids[fields.held_out])))
        return train_model(model, fields, settings, processes, **options)

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


def test_what_kills_left_behind_is_not_published(
    tmp_path, trained, catalogue, plan, vocabulary, monkeypatch
):
    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patches, pytest.raises(KeyboardInterrupt):
        patches.setattr(StateFile, "remove", killed)
        finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, SETTINGS, **ALONE)
    work = tmp_path / "m.parts"
    assert (work / "fold_0.state").is_file()
    for name in (".fold_0.state.1.2.tmp", "fold_3.safetensors", "history_3.csv"):
        (work / name).write_bytes(b"of a kill, or of a plan with more folds")
    finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, SETTINGS, **ALONE)
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == sorted(
        path.name for path in trained.iterdir()
    )


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
    with pytest.raises(
        InputError,
        match=r"other settings.*; seed is 0 in the folder and 1 in the recipe.*overwrite=True",
    ):
        finetune_folds(copied, catalogue, plan, vocabulary, other, **ALONE)
    relabelled = catalogue.copy()
    first = plan.frame.index[0]
    relabelled.loc[first, "target"] = "1" if catalogue.loc[first, "target"] == "0" else "0"
    with pytest.raises(InputError, match="other fields, labels or initial weights"):
        finetune_folds(
            copied, relabelled, plan, vocabulary, read_checkpoint(copied).settings, **ALONE
        )
    assert weights(copied) == before
    finetune_folds(copied, catalogue, plan, vocabulary, other, overwrite=True, **ALONE)
    assert read_checkpoint(copied).settings == other
    foreign = copied.with_name("foreign")
    foreign.mkdir()
    with pytest.raises(InputError, match="does not contain a fine-tuned CNN; move it"):
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
    with pytest.raises(InputError, match="without a fold in .*: field_60"):
        predict_store(trained, more, path, **ALONE)
    other = FoldPlan(plan.frame.assign(fold=(plan.frame["fold"] + 1) % 3))
    with pytest.raises(InputError, match="trained with another fold plan"):
        predict_store(trained, catalogue, path, plan=other, **ALONE)
    assert not list(tmp_path.iterdir())


def test_plan_must_be_of_the_training_fields(tmp_path, catalogue, plan, vocabulary):
    for fields, message in (
        (catalogue.rename(index={"field_05": "stranger"}), "without a fold: stranger"),
        (
            catalogue.drop(index="field_05"),
            "that are not training fields of the catalogue: field_05",
        ),
    ):
        with pytest.raises(InputError, match=message):
            finetune_folds(tmp_path / "m", fields, plan, vocabulary, QUICK, **ALONE)
    assert not list(tmp_path.iterdir())


def test_exchanged_weights_are_refused(copied):
    one, two = copied / "fold_1.safetensors", copied / "fold_2.safetensors"
    one.write_bytes(two.read_bytes())
    with pytest.raises(InputError, match=r"fold_1\.safetensors does not match the SHA-256"):
        read_checkpoint(copied)
    (copied / "cnn.json").write_text("{}")
    with pytest.raises(InputError, match=r"cnn\.json is corrupt"):
        read_checkpoint(copied)
    with pytest.raises(InputError, match="does not contain a fine-tuned CNN"):
        read_checkpoint(copied / "nowhere")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", r"cnn\.json is not the manifest of a fine-tuned CNN"),
        ("version", 99, r"cnn\.json has format version 99; this version of hpastack reads 1 to"),
        ("fold_plan", "0" * 16, r"folds\.csv is not the fold plan recorded in .*cnn\.json"),
        ("weights", {}, r"cnn\.json does not list one weight file per fold"),
    ],
)
def test_a_manifest_that_does_not_fit_is_an_error(copied, key, value, message):
    manifest = json.loads((copied / "cnn.json").read_text())
    (copied / "cnn.json").write_text(json.dumps(manifest | {key: value}))
    with pytest.raises(InputError, match=message):
        read_checkpoint(copied)


def test_folds_that_the_plan_lacks(tmp_path, catalogue, plan, vocabulary):
    with pytest.raises(InputError, match="folds: unknown fold 3, 7; the plan has folds 0 to 2"):
        finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, QUICK, folds=[7, 0, 3], **ALONE)
    assert not list(tmp_path.iterdir())


def test_a_setting_that_is_not_known_is_named_with_its_file(copied):
    manifest = json.loads((copied / "cnn.json").read_text())
    manifest["settings"]["epocs"] = 3
    (copied / "cnn.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"cnn\.json: settings: unknown key 'epocs'"):
        read_checkpoint(copied)


def test_each_fold_predicts_with_the_preprocessing_it_was_trained_with(trained):
    checkpoint = read_checkpoint(trained)
    models = checkpoint.load_models(torch.device("cpu"))
    for fold, model in enumerate(models):
        own = read_weights_record(trained / f"fold_{fold}.safetensors")["preprocessing"]
        assert model.preprocessing.record() == own
    assert models[0].preprocessing != models[1].preprocessing


def test_each_fold_starts_from_its_own_earlier_weights(
    tmp_path, trained, catalogue, plan, vocabulary, monkeypatch
):
    again = replace(QUICK, weights=str(trained), learning_rate=1e-12)
    changed = finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, again, **ALONE)
    for fold in range(3):
        own, before = (
            read_weights_record(folder / f"fold_{fold}.safetensors")["preprocessing"]
            for folder in (tmp_path / "m", trained)
        )
        assert own == before
    device = torch.device("cpu")
    for model, before in zip(
        changed.load_models(device), read_checkpoint(trained).load_models(device), strict=True
    ):
        # A step of nothing leaves the filters where they were.
        assert torch.allclose(model.conv1[0].weight, before.conv1[0].weight, atol=1e-6)


def test_weights_that_saw_the_held_out_labels_are_refused(
    tmp_path, trained, catalogue, plan, vocabulary
):
    def start_from(weights, plan):
        settings = replace(QUICK, weights=str(weights))
        return finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, settings, **ALONE)

    with pytest.raises(InputError, match="trained on labels.*use the folder"):
        start_from(trained / "fold_0.safetensors", plan)
    alone = tmp_path / "alone.safetensors"
    shutil.copyfile(trained / "fold_0.safetensors", alone)
    with pytest.raises(InputError, match="trained on labels"):
        start_from(alone, plan)
    frame = plan.frame.copy()
    frame["fold"] = (frame["fold"] + 1) % 3
    with pytest.raises(InputError, match="another fold plan"):
        start_from(trained, FoldPlan(frame))
    assert not (tmp_path / "m.parts").exists()
    vouched = replace(QUICK, weights=str(alone), vouch_for_weights=True)
    finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, vouched, **ALONE)


def test_a_cnn_of_format_1_may_have_started_from_any_weights(copied, plan):
    settings = replace(QUICK, weights=str(copied))
    manifest = json.loads((copied / "cnn.json").read_text())
    manifest["version"] = 1
    del manifest["scores"]["kept_epoch"]
    (copied / "cnn.json").write_text(json.dumps(manifest))
    wanted = [str(copied / f"fold_{fold}.safetensors") for fold in range(3)]
    assert starting_weights(settings, plan) == wanted
    manifest["settings"]["weights"] = "elsewhere.safetensors"
    (copied / "cnn.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="fine-tuned from elsewhere.safetensors, which may"):
        starting_weights(settings, plan)
    assert starting_weights(replace(settings, vouch_for_weights=True), plan) == wanted


def test_a_network_of_some_stains_and_a_crop(tmp_path, catalogue, plan, vocabulary):
    settings = replace(
        QUICK, stains=["blue", "green"], crop=24, crops=5, views=8, normalise="fields"
    )
    checkpoint = finetune_folds(tmp_path / "m", catalogue, plan, vocabulary, settings, **ALONE)
    for fold, preprocessing in enumerate(checkpoint.preprocessing):
        assert preprocessing.stains == ("blue", "green")
        assert (preprocessing.size, preprocessing.crop) == (32, 24)
        model = checkpoint.load_model(fold, torch.device("cpu"))
        source = FieldSource(catalogue.iloc[:3], 32)
        found = predict_logits(model, source, np.arange(3), 2, views=8, crops=5)
        squares = [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]
        pixels = torch.from_numpy(source.pixels)[:, [2, 1]].float() / 255
        mean, sd = (
            torch.tensor(v).view(1, 2, 1, 1) for v in (preprocessing.mean, preprocessing.sd)
        )
        with torch.no_grad():
            each = [
                model(rotated((pixels[:, :, y : y + 24, x : x + 24] - mean) / sd, view)).numpy()
                for y, x in squares
                for view in range(8)
            ]
        assert np.allclose(found, np.mean(each, axis=0), atol=1e-5)


def test_a_crop_is_that_of_the_settings_and_not_of_the_weights(
    tmp_path, catalogue, plan, vocabulary
):
    options = (catalogue, plan, vocabulary)
    cropped = replace(QUICK, backbone="test_vit", crop=16)
    finetune_folds(tmp_path / "cropped", *options, cropped, **ALONE)
    whole = replace(cropped, weights=str(tmp_path / "cropped"), crop=None)
    checkpoint = finetune_folds(tmp_path / "whole", *options, whole, **ALONE)
    assert [preprocessing.crop for preprocessing in checkpoint.preprocessing] == [None] * 3
    model = checkpoint.load_model(0, torch.device("cpu"))
    source = FieldSource(catalogue.iloc[:3], 32)
    pixels = torch.from_numpy(source.pixels).float() / 255
    with torch.no_grad():
        wanted = model(model.preprocessing.scale(pixels)).numpy()
    assert np.allclose(predict_logits(model, source, np.arange(3), 3), wanted, atol=1e-5)


def test_weights_trained_on_other_fields_can_be_started_from(
    tmp_path, trained, catalogue, plan, vocabulary
):
    renamed = catalogue.rename(index=lambda image_id: f"other_{image_id}")
    other_plan = FoldPlan(plan.frame.rename(index=lambda image_id: f"other_{image_id}"))
    settings = replace(QUICK, weights=str(trained / "fold_1.safetensors"))
    made = finetune_folds(tmp_path / "m", renamed, other_plan, vocabulary, settings, **ALONE)
    record = read_weights_record(trained / "fold_1.safetensors")
    assert all(p.record() == record["preprocessing"] for p in made.preprocessing)


def test_streamed_fields_are_those_in_memory(catalogue):
    held, streamed = FieldSource(catalogue, 32), FieldSource(catalogue, 32, memory_limit=0)
    assert streamed.pixels is None
    batches = [np.array([3, 1, 3]), np.array([70])]
    for one, other in zip(held.batches(batches), streamed.batches(batches), strict=True):
        assert one.dtype == np.uint8
        assert np.array_equal(one, other)


def test_mean_of_views_does_not_change_with_a_turn(catalogue):
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=3)
    source = FieldSource(catalogue.iloc[:4], 32)
    rows = np.arange(4)
    upright = predict_logits(model, source, rows, 4, views=8)
    source.pixels = np.rot90(source.pixels, axes=(2, 3)).copy()
    assert np.allclose(predict_logits(model, source, rows, 4, views=8), upright, atol=1e-5)
    assert not np.allclose(predict_logits(model, source, rows, 4), upright, atol=1e-3)


def test_weights_are_never_unpickled_freely():
    for path in Path(hpastack.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("weights_only") == "True", path


def test_stains_are_checked_before_weights_are_read(
    catalogue, plan, vocabulary, tmp_path, monkeypatch
):
    monkeypatch.setattr(cnn, "create_backbone", None)
    fields = catalogue.assign(stains="red green blue", yellow="")
    pretrained = replace(QUICK, weights="pretrained")
    with pytest.raises(InputError, match=r"test_resnet needs the yellow stain, .*stains: \[red, g"):
        finetune_folds(tmp_path / "m", fields, plan, vocabulary, pretrained, **ALONE)
    with pytest.raises(TypeError, match="not callable"):
        three = replace(pretrained, stains=["red", "green", "blue"])
        finetune_folds(tmp_path / "m", fields, plan, vocabulary, three, **ALONE)
    assert not list(tmp_path.iterdir())
