"""One step of a training: what its loss is made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hpastack.backbones import create_backbone, features_and_logits
from hpastack.cnn import CnnSettings, Processes
from hpastack.cnn.augmentation import Mixing
from hpastack.cnn.lightning_module import FoldTraining
from hpastack.cnn.losses import label_loss
from hpastack.cnn.training import train_model
from hpastack.parallel import progress_bar

STILL = CnnSettings(
    "test_convnext", weights="random", size=32, batch_size=7, turns=False, shift=0.0,
    brightness=0.0, offset=0.0, repeat_threshold=0.0,
)  # fmt: skip


def step(fields, settings, processes=None):
    """Return a training, and this process's loss of its first batch."""
    processes = processes or Processes(0, 1, torch.device("cpu"))
    model = create_backbone("test_convnext", weights="random", size=32, num_classes=3)
    torch.manual_seed(0)
    training = FoldTraining(
        model, fields, settings, processes, stream=0, state=None, report=None, report_step=None,
        bar=progress_bar(what="epochs", show=False),
    )  # fmt: skip
    return training, training.training_step(next(iter(training.train_dataloader())), 0)


def test_loss_worked_by_hand(fold_fields):
    settings = replace(STILL, label_smoothing=0.2, label_weight_power=0.5, loss="focal")
    training, loss = step(fold_fields, settings)
    rows = training.train_dataloader().batches[0]
    assert len(rows) == 7
    learnt = fold_fields.indicator[fold_fields.train]
    prevalence = (learnt.sum(axis=0) + 0.5) / (len(learnt) + 1)
    targets = 0.8 * fold_fields.indicator[rows] + 0.2 * prevalence
    weights = prevalence**-0.5 / (prevalence**-0.5).mean()
    pixels = torch.from_numpy(fold_fields.source.pixels[rows]).float() / 255
    logits = training.model(training.model.preprocessing.scale(pixels))
    targets, weights = (torch.from_numpy(v).float() for v in (targets, weights))
    wanted = label_loss(logits, targets, settings, weights)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_losses_of_uneven_shares_are_that_of_the_batch(fold_fields):
    _, wanted = step(fold_fields, STILL)
    shares = [step(fold_fields, STILL, Processes(k, 2, torch.device("cpu")))[1] for k in range(2)]
    # Gradients are averaged over processes.
    assert np.mean([share.item() for share in shares]) == pytest.approx(wanted.item(), rel=1e-5)


def test_the_metric_head_counts_as_much_as_it_is_asked_to(fold_fields):
    _, plain = step(fold_fields, STILL)
    settings = replace(STILL, metric_group="pair", metric_weight=0.25)
    fields = replace(fold_fields, groups=np.arange(60) // 2)
    training, loss = step(fields, settings)
    rows = training.train_dataloader().batches[0]
    pixels = torch.from_numpy(fields.source.pixels[rows]).float() / 255
    features, _ = features_and_logits(training.model, training.model.preprocessing.scale(pixels))
    of_head = training.head(features, torch.from_numpy(rows // 2))
    assert loss.item() == pytest.approx(plain.item() + 0.25 * of_head.item(), rel=1e-5)


def test_mixed_fields_belong_to_the_groups_of_both(fold_fields, monkeypatch):
    other = torch.arange(8).roll(1)
    monkeypatch.setattr("hpastack.cnn.lightning_module.draw_mixing", lambda *_: Mixing(0.7, other))
    losses = {}
    for weight in (0.0, 0.5):
        settings = replace(STILL, metric_group="pair", metric_weight=weight, batch_size=8)
        fields = replace(fold_fields, groups=np.arange(60) // 2)
        training, losses[weight] = step(fields, settings)
    rows = training.train_dataloader().batches[0]
    pixels = torch.from_numpy(fields.source.pixels[rows]).float() / 255
    pixels = 0.7 * pixels + 0.3 * pixels[other]
    features, _ = features_and_logits(training.model, training.model.preprocessing.scale(pixels))
    groups = torch.from_numpy(rows // 2)
    of_both = 0.7 * training.head(features, groups) + 0.3 * training.head(features, groups[other])
    assert losses[0.5].item() == pytest.approx(losses[0.0].item() + 0.5 * of_both.item(), rel=1e-5)


def test_an_epoch_shows_every_field_and_rare_labels_more_often(fold_fields):
    indicator = fold_fields.indicator.copy()
    rare = fold_fields.train[:4]
    indicator[:] = [1, 0, 0]
    indicator[rare] = [0, 1, 0]
    fields = replace(fold_fields, indicator=indicator)
    training, _ = step(fields, replace(STILL, batch_size=8, repeat_threshold=0.4))
    batches = training.train_dataloader().batches
    # A tenth of 40 fields: twice each, 44 in 6 batches of one shape.
    assert [len(rows) for rows in batches] == [8] * 6
    shown = np.concatenate(batches)[:44]
    assert sorted(shown) == sorted([*fold_fields.train, *rare])
    training.progress.epoch = 1
    assert not np.array_equal(np.concatenate(training.train_dataloader().batches)[:44], shown)


def test_the_running_mean_is_what_is_kept_and_scored(fold_fields):
    training, _ = step(fold_fields, replace(STILL, ema_decay=0.9))
    with torch.no_grad():
        for weights in training.model.parameters():
            weights.fill_(torch.nan)
    assert training.result() is training.average
    assert training._score(fold_fields.held_out) > 0
    assert all(weights.isfinite().all() for weights in training.result().parameters())


def test_the_loss_of_an_epoch_is_of_its_own_fields(fold_fields):
    model = create_backbone("test_convnext", weights="random", size=32, num_classes=3)
    settings = replace(STILL, batch_size=8, epochs=3, learning_rate=1e-12)
    alone = Processes(0, 1, torch.device("cpu"))
    _, reached = train_model(model, fold_fields, settings, alone)
    first, *others = (row["loss"] for row in reached.history)
    # Nothing is learned, and every field is shown once.
    assert others == pytest.approx([first] * 2, rel=1e-4)


def test_gradients_are_clipped(fold_fields):
    model = create_backbone("test_convnext", weights="random", size=32, num_classes=3)
    before = model.get_classifier().weight.detach().clone()
    alone = Processes(0, 1, torch.device("cpu"))
    # Far below the epsilon of AdamW, which else makes all steps alike.
    settings = replace(STILL, epochs=1, weight_decay=0.0, clip_norm=1e-12)
    model, _ = train_model(model, fold_fields, settings, alone)
    assert torch.allclose(model.get_classifier().weight, before, atol=1e-6)


@pytest.mark.parametrize(
    "precision, dtype",
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_training_computes_in_the_precision_asked_for(fold_fields, precision, dtype):
    model = create_backbone("test_convnext", weights="random", size=32, num_classes=3)
    seen = set()
    model.get_classifier().register_forward_hook(lambda _, __, out: seen.add(out.dtype))
    fields = replace(fold_fields, held_out=np.array([], dtype=int))
    settings = replace(STILL, epochs=1, precision=precision)
    train_model(model, fields, settings, Processes(0, 1, torch.device("cpu")))
    assert seen == {dtype}
