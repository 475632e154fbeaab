"""Pooled features and logits in one pass."""

import pytest
import torch

from hpastack.backbones import check_features_and_logits, create_backbone, features_and_logits
from hpastack.errors import InputError


# A small model of each way in which timm builds heads.
@pytest.mark.parametrize(
    "name",
    [
        "test_resnet", "test_byobnet", "test_efficientnet", "test_convnext", "test_vit",
        "test_mambaout", "test_nfnet", "mobilenetv3_small_050", "regnetx_002",
        "lcnet_050", "test_vit4", pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("efficientvit_m0", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_features_and_logits_in_one_pass(name):
    size = 224 if name == "efficientvit_m0" else 64
    model = create_backbone(name, weights="random", size=size, num_classes=5)
    check_features_and_logits(model)
    inputs = torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(0))
    features, logits = features_and_logits(model, inputs)
    with torch.no_grad():
        assert torch.allclose(logits, model(inputs), atol=1e-5)
        bare = create_backbone(name, weights="random", size=size)
        bare.load_state_dict(
            {k: v for k, v in model.state_dict().items() if k in bare.state_dict()}
        )
        assert torch.allclose(features, bare(inputs), atol=1e-5)
    (features.sum() + logits.sum()).backward()
    assert all(p.grad is not None for p in model.get_classifier().parameters())
    assert next(model.parameters()).grad is not None


def test_features_of_a_training_model_are_dropped_before_the_classifier():
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=5, drop_rate=0.5)
    model.train()
    check_features_and_logits(model)
    assert all(module.training for module in model.modules())
    features, logits = features_and_logits(model, torch.randn(4, 4, 32, 32))
    assert 0.2 < (features == 0).float().mean() < 0.8
    assert torch.allclose(logits, model.get_classifier()(features))


def test_models_without_one_classifier_on_their_features_are_refused():
    bare = create_backbone("test_resnet", weights="random", size=32)
    with pytest.raises(InputError, match="test_resnet has no classifier"):
        check_features_and_logits(bare)
    two = create_backbone("deit_tiny_distilled_patch16_224", weights="random", num_classes=3)
    with pytest.raises(InputError, match="more than one classifier"):
        check_features_and_logits(two)
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=3)
    forward = model.forward
    model.forward = lambda inputs: forward(inputs) + 1
    with pytest.raises(InputError, match="does not apply one classifier"):
        check_features_and_logits(model)
