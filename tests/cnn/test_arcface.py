"""The head that learns which fields belong together."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from hpastack.cnn.arcface import ArcFaceHead, group_numbers
from hpastack.errors import InputError


def head_of(directions, **options):
    head = ArcFaceHead(2, len(directions), **options)
    with torch.no_grad():
        head.directions.copy_(torch.tensor(directions))
    return head


def test_loss_worked_by_hand():
    # Two groups at right angles; the field lies half way, 45 degrees from each.
    head = head_of([[1.0, 0.0], [0.0, 3.0]], scale=2.0, margin=0.5)
    own, other = 2 * math.cos(math.pi / 4 + 0.5), 2 * math.cos(math.pi / 4)
    wanted = -math.log(math.exp(own) / (math.exp(own) + math.exp(other)))
    found = head(torch.tensor([[5.0, 5.0]]), torch.tensor([0]))
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    # Without margin and with the field on its direction: the softmax of the two cosines.
    head = head_of([[1.0, 0.0], [0.0, 3.0]], scale=2.0, margin=0.0)
    wanted = math.log(1 + math.exp(-2))
    assert head(torch.tensor([[7.0, 0.0]]), torch.tensor([0])).item() == pytest.approx(
        wanted, rel=1e-3
    )


def test_fields_without_a_group_do_not_count():
    head = head_of([[1.0, 0.0], [0.0, 1.0]], scale=5.0, margin=0.3)
    fields = torch.tensor([[1.0, 0.5], [0.2, 1.0], [3.0, -1.0]], requires_grad=True)
    some = head(fields, torch.tensor([0, -1, 1]))
    assert some.item() == pytest.approx(head(fields[[0, 2]], torch.tensor([0, 1])).item())
    none = head(fields, torch.tensor([-1, -1, -1]))
    none.backward()
    assert none.item() == 0
    assert torch.equal(fields.grad, torch.zeros_like(fields))
    assert torch.equal(head.directions.grad, torch.zeros_like(head.directions))


def test_a_field_opposite_to_its_group_is_drawn_to_it():
    head = head_of([[1.0, 0.0], [0.0, 1.0]], scale=5.0, margin=0.5)
    losses = [
        head(torch.tensor([[math.cos(a), math.sin(a)]]), torch.tensor([0])).item()
        for a in np.linspace(0, math.pi, 30)
    ]
    field = torch.tensor([[-1.0, 0.02]], requires_grad=True)
    head(field, torch.tensor([0])).backward()
    assert torch.isfinite(field.grad).all()
    # The farther, the worse, up to half a turn, where the cosine alone would turn back.
    assert losses[-1] > losses[-3] and losses[0] == min(losses)


def test_groups_form_in_the_embedding():
    torch.manual_seed(0)
    groups = torch.arange(60) % 6
    inputs = torch.eye(6)[groups] * 1.5 + 0.7 * torch.randn(60, 6)
    layer, head = torch.nn.Linear(6, 4), ArcFaceHead(4, 6, scale=10.0, margin=0.3)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = head(layer(inputs), groups)
        loss.backward()
        optimizer.step()
    vectors = torch.nn.functional.normalize(layer(inputs), dim=1)
    cosines = vectors @ vectors.T
    same = groups[:, None] == groups
    assert cosines[same].mean() > cosines[~same].mean() + 0.3


def test_numbers_are_of_the_fields_learned_from():
    catalogue = pd.DataFrame({"well": ["b", "a", None, "b", "c", "d"]}, index=list("uvwxyz"))
    assert group_numbers(catalogue, "well", np.array([0, 1, 2, 3])).tolist() == [
        1,
        0,
        -1,
        1,
        -1,
        -1,
    ]
    with pytest.raises(InputError, match="column .antibody. is missing"):
        group_numbers(catalogue, "antibody", np.arange(6))
    with pytest.raises(InputError, match="1 value among the training fields; at least 2"):
        group_numbers(catalogue, "well", np.array([0, 3]))


def test_angles_are_not_rounded_in_half_precision():
    angles = torch.tensor([0.02, 0.05, 0.1, 0.3])
    fields = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_(True)
    head = head_of([[1.0, 0.0], [0.0, 1.0]], scale=10.0, margin=0.3)
    wanted = [head(field[None], torch.tensor([0])).item() for field in fields]
    with torch.autocast("cpu", torch.bfloat16):
        found = [head(field[None], torch.tensor([0])).item() for field in fields]
    assert found == wanted
