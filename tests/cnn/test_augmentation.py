"""What a CNN is shown while it trains: repeats, turns and random augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hpastack.cnn import CnnSettings
from hpastack.cnn.augmentation import augment, draw_augmentation, draw_mixing, rotated
from hpastack.cnn.sampling import repeat_factors, repeated_rows
from hpastack.fields import STAINS

SETTINGS = CnnSettings("test_resnet", size=32)


def changed_by(batch, settings, seed=0):
    settings = replace(settings, size=batch.shape[-1])
    augmentation = draw_augmentation(len(batch), np.random.default_rng(seed), settings)
    return augment(batch, augmentation, settings)


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
    views = [rotated(batch, view) for view in range(8)]
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8


def test_augmentation_keeps_what_labels_depend_on():
    settings = replace(SETTINGS, brightness=0.0, offset=0.0, shift=0.25)
    batch = torch.zeros(64, 4, 16, 16)
    batch[:, 1, 7:9, 7:9] = 1.0
    changed = changed_by(batch, settings)
    assert changed.shape == batch.shape
    assert changed[:, [0, 2, 3]].sum() == 0
    assert (changed.sum(dim=(1, 2, 3)) == 4).all()  # a shift of 4 never cuts the square
    assert len({tuple(field.flatten().tolist()) for field in changed}) > 5
    brighter = changed_by(batch, replace(SETTINGS, shift=0.0))
    assert brighter.min() >= 0
    assert brighter.max() > 1
    assert torch.equal(brighter, changed_by(batch, replace(SETTINGS, shift=0.0)))


UNCHANGED = replace(SETTINGS, turns=False, shift=0.0, brightness=0.0, offset=0.0)


def test_nothing_is_changed_where_nothing_is_asked_for():
    batch = torch.rand(3, 4, 16, 16)
    assert torch.equal(changed_by(batch, UNCHANGED), batch)
    targets = torch.rand(3, 2)
    mixing = draw_mixing(3, np.random.default_rng(0), 0, batch.device)
    assert mixing.of(batch) is batch and mixing.of(targets) is targets


def test_zoom_changes_sizes_about_the_middle():
    batch = torch.zeros(200, 4, 32, 32)
    batch[:, :, 8:24, 8:24] = 1
    areas = changed_by(batch, replace(UNCHANGED, zoom=0.25)).mean((1, 2, 3))
    low, high = (16 * 0.75 / 32) ** 2, (16 * 1.25 / 32) ** 2
    assert low - 0.01 < areas.min() < low + 0.03 and high - 0.05 < areas.max() < high + 0.01
    changed = changed_by(batch, replace(UNCHANGED, zoom=0.25))
    assert torch.allclose(changed, changed.flip(3), atol=1e-5)
    assert torch.allclose(changed, changed.transpose(2, 3), atol=1e-5)


def test_a_dropped_stain_is_never_the_protein():
    batch = torch.ones(2000, 4, 16, 16)
    changed = changed_by(batch, replace(UNCHANGED, stain_dropout=0.3))
    black = (changed == 0).all(dim=(2, 3)).float()
    assert black[:, STAINS.index("green")].sum() == 0
    assert black.sum(dim=1).max() == 1
    assert black.sum(dim=1).mean().item() == pytest.approx(0.3, abs=0.03)
    assert black[:, [0, 2, 3]].mean(dim=0).numpy() == pytest.approx([0.1] * 3, abs=0.03)


def test_a_cut_out_square_lies_anywhere_within():
    batch = torch.ones(300, 4, 20, 20)
    changed = changed_by(batch, replace(UNCHANGED, cutout=0.3))
    assert (changed.sum(dim=(1, 2, 3)) == 4 * (400 - 36)).all()
    assert (changed.mean(dim=(0, 1)) < 1).all()  # corners, too


def test_mixed_fields_have_mixed_labels():
    batch = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 4, 2, 2)
    targets = torch.eye(6)
    mixing = draw_mixing(6, np.random.default_rng(0), 0.5, batch.device)
    fields, labels = mixing.of(batch), mixing.of(targets)
    assert torch.allclose(labels.sum(dim=1), torch.ones(6))
    # A field's number is the mean of the numbers of those mixed.
    assert torch.allclose(fields[:, 0, 0, 0], labels @ torch.arange(6.0), atol=1e-5)
    assert (labels > 0).sum() > 6


def test_a_crop_is_seen_at_every_place():
    side = torch.arange(20.0)
    batch = (side[:, None] * 100 + side).expand(400, 4, 20, 20)
    changed = changed_by(batch, replace(UNCHANGED, crop=16))
    assert changed.shape == (400, 4, 16, 16)
    corners = {(int(v) // 100, int(v) % 100) for v in changed[:, 0, 0, 0]}
    assert corners == {(y, x) for y in range(5) for x in range(5)}
    assert torch.equal(changed[0, 0], batch[0, 0, :16, :16] + changed[0, 0, 0, 0])


def test_a_share_of_the_changes_is_that_of_its_fields():
    settings = replace(
        SETTINGS, zoom=0.1, stain_dropout=0.5, cutout=0.2, shift=0.1, size=16, brightness=0.3
    )
    batch = torch.rand(9, 4, 16, 16)
    augmentation = draw_augmentation(9, np.random.default_rng(1), settings)
    whole = augment(batch, augmentation, settings)
    for own in (slice(0, None, 2), slice(1, None, 2)):
        assert torch.allclose(augment(batch[own], augmentation.of(own), settings), whole[own])


def test_each_stain_is_raised_by_its_own_offset():
    changed = changed_by(torch.full((50, 4, 16, 16), 0.5), replace(UNCHANGED, offset=0.1))
    raised = changed[:, :, 0, 0] - 0.5
    assert torch.equal(changed, changed[:, :, :1, :1].expand_as(changed))
    assert len(raised.unique()) == 200
    assert -0.1 <= raised.min() < -0.09 and 0.09 < raised.max() <= 0.1
