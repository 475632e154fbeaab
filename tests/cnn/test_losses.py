"""Losses: worked by hand, against timm and a loop over pairs, smoothed, weighted, extreme."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hpastack.cnn import CnnSettings  # noqa: E402
from hpastack.cnn.losses import label_loss, label_weights  # noqa: E402
from hpastack.cnn.settings import LOSSES  # noqa: E402

SETTINGS = CnnSettings("test_resnet")


def drawn(smoothing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((7, 5)) < 0.4).astype(np.float32)
    targets = labels * (1 - smoothing) + 0.2 * smoothing
    return torch.from_numpy(rng.normal(size=(7, 5)).astype(np.float32) * 2), torch.tensor(targets)


def test_worked_by_hand():
    logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    # -log(1/2) each; focal: times (1/2)^2; a pair of equal logits: log(1 + 1).
    expected = {"bce": np.log(2), "focal": np.log(2) / 4, "lsep": np.log(2)}
    # Asymmetric: the label it has times (1/2)^1, the other one -log(0.55) times 0.45^4.
    expected["asymmetric"] = (np.log(2) / 2 - np.log(0.55) * 0.45**4) / 2
    for loss in LOSSES:
        found = label_loss(logits, targets, replace(SETTINGS, loss=loss)).item()
        assert found == pytest.approx(expected[loss], rel=1e-5), loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_asymmetric_is_that_of_timm(smoothing):
    timm_loss = pytest.importorskip("timm.loss").AsymmetricLossMultiLabel
    logits, targets = drawn(smoothing)
    settings = replace(
        SETTINGS, loss="asymmetric", negative_gamma=3.0, positive_gamma=0.5, asymmetric_clip=0.1
    )
    theirs = timm_loss(gamma_neg=3.0, gamma_pos=0.5, clip=0.1)
    # Field by field: theirs sums over labels, and over fields or not, depending on the version.
    fields = [theirs(logits[i : i + 1], targets[i : i + 1]).item() for i in range(len(logits))]
    expected = np.sum(fields) / logits.numel()
    assert label_loss(logits, targets, settings).item() == pytest.approx(expected, rel=1e-5)


def test_lsep_is_the_sum_over_all_pairs():
    logits, targets = drawn()
    every = []
    for field, labels in zip(logits.double(), targets):
        pairs = [
            torch.exp(field[j] - field[i])
            for i in range(5) for j in range(5) if labels[i] == 1 and labels[j] == 0
        ]  # fmt: skip
        every.append(float(torch.log(1 + sum(pairs))) if pairs else 0.0)
    found = label_loss(logits, targets, replace(SETTINGS, loss="lsep")).item()
    assert found == pytest.approx(np.mean(every), rel=1e-5)
    shifted = label_loss(logits + 3, targets, replace(SETTINGS, loss="lsep")).item()
    assert shifted == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_better_logits_have_a_smaller_loss_and_gradients_point_there(loss):
    settings = replace(SETTINGS, loss=loss)
    logits, targets = drawn()
    logits.requires_grad_()
    value = label_loss(logits, targets, settings)
    value.backward()
    better = label_loss(logits.detach() - 0.1 * logits.grad, targets, settings)
    assert better < value.detach()
    right = label_loss(20 * (2 * targets - 1), targets, settings)
    assert right < 1e-3 < label_loss(20 * (1 - 2 * targets), targets, settings)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("labels", [0.0, 1.0])
def test_fields_with_no_label_or_all_and_huge_logits_stay_finite(loss, labels):
    for size in (0.0, 80.0, -80.0):
        logits = torch.full((3, 4), size, requires_grad=True)
        value = label_loss(logits, torch.full((3, 4), labels), replace(SETTINGS, loss=loss))
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


def test_weights_follow_the_prevalence():
    prevalence = torch.tensor([0.4, 0.1])
    assert label_weights(prevalence, 0) is None
    assert label_weights(prevalence, 1).tolist() == pytest.approx([0.4, 1.6])
    assert label_weights(prevalence, 0.5).tolist() == pytest.approx([2 / 3, 4 / 3])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_label_without_weight_has_no_say(loss):
    settings = replace(SETTINGS, loss=loss)
    logits, targets = drawn()
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    changed = logits.clone()
    changed[:, 2] += 3
    assert label_loss(changed, targets, settings, weights) == pytest.approx(
        label_loss(logits, targets, settings, weights).item()
    )
    even = label_loss(logits, targets, settings, torch.ones(5))
    assert even.item() == pytest.approx(label_loss(logits, targets, settings).item())
