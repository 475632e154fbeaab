"""Neighbours as fine-tuned CNNs see them: against the obvious loop, and without leaks."""

import numpy as np
import pytest
import torch

from hpastack.cnn import CnnSettings, cnn_neighbour_scores, finetune_folds, read_checkpoint
from hpastack.errors import InputError
from hpastack.fields import read_field

SETTINGS = CnnSettings(
    "test_resnet", weights="random", size=32, epochs=3, batch_size=8, learning_rate=0.003
)
ALONE = {"device": "cpu", "jobs": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue, plan, vocabulary):
    folder = tmp_path_factory.mktemp("neighbours") / "small"
    finetune_folds(folder, catalogue, plan, vocabulary, SETTINGS, progress=False, **ALONE)
    return folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory, trained, catalogue, vocabulary):
    parts = tmp_path_factory.mktemp("parts")
    return cnn_neighbour_scores(trained, catalogue, vocabulary, parts, n_neighbours=4, **ALONE)


def embedded(trained, catalogue):
    """Each fold's embedding of each field, one field at a time, from its mean and normalised."""
    fields = [read_field(row, 32, square=True) for _, row in catalogue.iterrows()]
    for model in read_checkpoint(trained).load_models(torch.device("cpu")):
        vectors = []
        for field in fields:
            batch = torch.from_numpy(np.rint(field * 255)[None] / 255).float()
            with torch.no_grad():
                maps = model.forward_features(model.preprocessing.scale(batch))
                vectors.append(maps.mean(dim=(2, 3))[0].double().numpy())
        vectors = np.array(vectors) - np.mean(vectors, axis=0)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_scores_agree_with_the_obvious_loop(trained, scored, catalogue, plan, vocabulary):
    labels = dict(zip(plan.frame.index, vocabulary.indicator(catalogue["target"][:60])))
    fold = plan.frame["fold"].to_dict()
    ids = list(catalogue.index)
    wanted = {image_id: [] for image_id in ids}
    for k, vectors in enumerate(embedded(trained, catalogue)):
        answering = [image_id for image_id in fold if fold[image_id] != k]
        prevalence = np.mean([labels[image_id] for image_id in answering], axis=0)
        for row, image_id in enumerate(ids):
            if fold.get(image_id, k) != k:
                continue
            cosine = {other: vectors[row] @ vectors[ids.index(other)] for other in answering}
            near = sorted(answering, key=lambda other: -cosine[other])[:4]
            weights = np.array([np.exp((cosine[o] - cosine[near[0]]) / 0.2) for o in near])
            share = weights @ np.array([labels[other] for other in near])
            wanted[image_id].append([*(share + prevalence) / (weights.sum() + 1), cosine[near[0]]])
    assert {len(found) for found in list(wanted.values())[:60]} == {1}
    assert {len(found) for found in list(wanted.values())[60:]} == {3}
    means = np.array([np.mean(found, axis=0) for found in wanted.values()])
    assert np.allclose(scored.scores.to_numpy(), means[:, :3], atol=1e-4)
    assert np.allclose(scored.similarity["nearest"], means[:, 3], atol=1e-4)


def test_a_fields_own_labels_have_no_say(tmp_path, trained, scored, catalogue, plan, vocabulary):
    changed = catalogue.copy()
    held_out = plan.frame.index[plan.frame["fold"] == 1]
    changed.loc[held_out, "target"] = "0 1 2"
    other = cnn_neighbour_scores(trained, changed, vocabulary, tmp_path, n_neighbours=4, **ALONE)
    same = np.isclose(other.scores, scored.scores).all(axis=1)
    of_fold = catalogue.index.isin(held_out)
    assert same[of_fold].all()
    assert not same[~of_fold].all()


def test_goes_on_after_a_kill(tmp_path, monkeypatch, trained, scored, catalogue, vocabulary):
    from hpastack.cnn import neighbours as cnn_neighbours

    embedded_folds = []
    original = cnn_neighbours._fold_vectors

    def killed(checkpoint, fold, *others):
        if embedded_folds and fold == 2 and embedded_folds.count(2) == 0:
            embedded_folds.append(2)
            raise KeyboardInterrupt
        embedded_folds.append(fold)
        return original(checkpoint, fold, *others)

    monkeypatch.setattr(cnn_neighbours, "_fold_vectors", killed)
    options = {"n_neighbours": 4, **ALONE}
    with pytest.raises(KeyboardInterrupt):
        cnn_neighbour_scores(trained, catalogue, vocabulary, tmp_path, **options)
    again = cnn_neighbour_scores(trained, catalogue, vocabulary, tmp_path, **options)
    assert embedded_folds == [0, 1, 2, 2]
    assert again.scores.equals(scored.scores) and again.similarity.equals(scored.similarity)


def test_training_fields_may_not_be_missing(tmp_path, trained, catalogue, vocabulary):
    with pytest.raises(
        InputError, match="1 training field of .* missing from the catalogue: field_07"
    ):
        cnn_neighbour_scores(
            trained, catalogue.drop(index="field_07"), vocabulary, tmp_path, **ALONE
        )


def test_what_is_finished_is_of_these_labels(tmp_path, trained, scored, catalogue, vocabulary):
    changed = catalogue.copy()
    changed.loc[catalogue["split"] == "train", "target"] = "2"
    options = {"n_neighbours": 4, **ALONE}
    cnn_neighbour_scores(trained, changed, vocabulary, tmp_path, **options)
    again = cnn_neighbour_scores(trained, catalogue, vocabulary, tmp_path, **options)
    assert again.scores.equals(scored.scores)
