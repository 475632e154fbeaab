"""Generalised-mean pooling."""

import numpy as np
import pytest
import torch

from hpastack.backbones import check_features_and_logits, create_backbone, embed_batch, save_weights
from hpastack.backbones.pooling import GemPooling, gem_names
from hpastack.errors import InputError


def test_it_is_the_formula_and_its_exponent_learns():
    maps = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) - 0.1
    pool = GemPooling()
    pooled = pool(maps)
    values = np.maximum(maps.numpy().astype(np.float64), 1e-6)
    wanted = (values**3).mean(axis=(2, 3)) ** (1 / 3)
    np.testing.assert_allclose(pooled.detach().numpy()[:, :, 0, 0], wanted, rtol=1e-5)
    pooled.sum().backward()
    step = 1e-4
    slope = sum(
        sign * ((values ** (3 + sign * step)).mean(axis=(2, 3)) ** (1 / (3 + sign * step))).sum()
        for sign in (1, -1)
    ) / (2 * step)
    assert pool.p.grad.item() == pytest.approx(slope, rel=1e-3)
    assert GemPooling(1.0)(maps.clamp(min=1e-6)).detach().numpy() == pytest.approx(
        maps.clamp(min=1e-6).mean(dim=(2, 3), keepdim=True).numpy(), rel=1e-5
    )


@pytest.mark.parametrize(
    "name", ["test_resnet", "densenet121", "test_efficientnet", "test_convnext", "regnetx_002"]
)
def test_it_takes_the_place_of_the_backbones_own(name, tmp_path):
    model = create_backbone(name, weights="random", size=64, num_classes=3, pool="gem")
    check_features_and_logits(model)
    assert len(gem_names(model)) == 1 and gem_names(model) <= set(model.state_dict())
    inputs = torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    model(inputs).square().sum().backward()
    (p,) = [part.p for part in model.modules() if isinstance(part, GemPooling)]
    assert p.grad is not None and p.grad != 0
    with torch.no_grad():
        p.fill_(2.5)
    path = tmp_path / "w.safetensors"
    save_weights(path, model, {})
    again = create_backbone(name, weights=path, num_classes=3, pool="gem")
    batch = np.random.default_rng(0).random((2, 4, 64, 64), dtype=np.float32)
    assert np.array_equal(embed_batch(again, batch), embed_batch(model, batch))


def test_weights_without_an_exponent_start_at_three(tmp_path):
    plain = create_backbone("test_resnet", weights="random", size=32)
    path = tmp_path / "w.safetensors"
    save_weights(path, plain, {})
    model = create_backbone("test_resnet", weights=path, pool="gem")
    (name,) = gem_names(model)
    assert model.state_dict()[name] == 3
    save_weights(path, model, {})
    with pytest.raises(InputError, match=rf"unexpected: {name}"):
        create_backbone("test_resnet", weights=path)


@pytest.mark.parametrize("name", ["test_vit", "test_mambaout"])
def test_backbones_that_pool_no_maps_are_rejected(name):
    with pytest.raises(InputError, match=f"'gem' is not possible for backbone {name}"):
        create_backbone(name, weights="random", size=64, pool="gem")
