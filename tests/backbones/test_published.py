"""Published networks: their names of weights, loaded strictly, and what they compute.

The files of weights are not here: the shapes and names are those of the public code, the numbers
are random, and each network is computed once more from the bare tensors.
"""

import inspect
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from hpastack.backbones import (
    PUBLIC_MODELS,
    check_features_and_logits,
    create_backbone,
    embed_batch,
    embedding_kind,
    features_and_logits,
    save_weights,
)
from hpastack.backbones.published import _positions
from hpastack.errors import InputError

DEPTH = 2  # blocks of the transformers, instead of 12


def drawn(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(shape, generator=generator) + 0.5
        if name.endswith("running_var")
        else torch.randn(shape, generator=generator) / max(1, np.prod(shape[1:])) ** 0.5
        for name, shape in shapes.items()
    }


def fields(size, n=2):
    return np.random.default_rng(1).random((n, 4, size, size), dtype=np.float32)


@pytest.fixture
def shallow(monkeypatch):
    """Make the transformers shallower, so that they are quick."""
    for name, model in list(PUBLIC_MODELS.items()):
        if "depth" in inspect.signature(model.build).parameters:
            build = partial(model.build, depth=DEPTH)
            monkeypatch.setitem(PUBLIC_MODELS, name, replace(model, build=build))


# --- the winner of the competition


def norm_shapes(name, width):
    return {
        f"{name}.{what}": (width,) for what in ("weight", "bias", "running_mean", "running_var")
    }


def densenet_shapes():
    shapes = {"conv0.weight": (64, 4, 7, 7), **norm_shapes("norm0", 64)}
    width = 64
    for block, n_layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, n_layers + 1):
            name = f"denseblock{block}.denselayer{layer}"
            shapes |= norm_shapes(f"{name}.norm1", width)
            shapes[f"{name}.conv1.weight"] = (128, width, 1, 1)
            shapes |= norm_shapes(f"{name}.norm2", 128)
            shapes[f"{name}.conv2.weight"] = (32, 128, 3, 3)
            width += 32
        if block < 4:
            shapes |= norm_shapes(f"transition{block}.norm", width)
            shapes[f"transition{block}.conv.weight"] = (width // 2, width, 1, 1)
            width //= 2
    return shapes | norm_shapes("norm5", width)


STAGES = {
    "conv0": "conv1.0", "norm0": "conv1.1", "denseblock1": "encoder2.0",
    "transition1": "encoder3.0", "denseblock2": "encoder3.1", "transition2": "encoder4.0",
    "denseblock3": "encoder4.1", "transition3": "encoder5.0", "denseblock4": "encoder5.1",
    "norm5": "encoder5.2",
}  # fmt: skip


@pytest.fixture(scope="module")
def bestfitting():
    """Every tensor that the published network saves: its layers stand there twice."""
    layers = drawn(densenet_shapes())
    state = {f"backbone.features.{name}": value for name, value in layers.items()}
    for name, value in layers.items():
        first, rest = name.split(".", 1)
        state[f"{STAGES[first]}.{rest}"] = value
    head = norm_shapes("bn1", 2048) | norm_shapes("bn2", 1024)
    head |= {"fc1.weight": (1024, 2048), "fc1.bias": (1024,)}
    head |= {"logit.weight": (28, 1024), "logit.bias": (28,)}
    head |= {"backbone.classifier.weight": (1000, 1024), "backbone.classifier.bias": (1000,)}
    return state | drawn(head, seed=1)


def plain_bestfitting(state, batch, halved):
    mean = torch.tensor([0.074598, 0.050630, 0.050891, 0.076287]).view(1, 4, 1, 1)
    sd = torch.tensor([0.122813, 0.085745, 0.129882, 0.119411]).view(1, 4, 1, 1)

    def norm(x, name):
        return F.batch_norm(
            x, state[f"{name}.running_mean"], state[f"{name}.running_var"],
            state[f"{name}.weight"], state[f"{name}.bias"],
        )  # fmt: skip

    def conv(x, name, **options):
        return F.conv2d(x, state[f"{name}.weight"], **options)

    x = conv((torch.from_numpy(batch) - mean) / sd, "conv1.0", stride=2, padding=3)
    x = F.max_pool2d(norm(x, "conv1.1").relu(), 3, stride=2, padding=1)
    if halved:
        x = F.max_pool2d(x, 2, stride=2)
    for block, (stage, n_layers) in enumerate(
        (("encoder2.0", 6), ("encoder3.1", 12), ("encoder4.1", 24), ("encoder5.1", 16))
    ):
        if block:
            transition = stage[:-1] + "0"
            x = F.avg_pool2d(conv(norm(x, f"{transition}.norm").relu(), f"{transition}.conv"), 2)
        for layer in range(1, n_layers + 1):
            name = f"{stage}.denselayer{layer}"
            new = conv(norm(x, f"{name}.norm1").relu(), f"{name}.conv1")
            new = conv(norm(new, f"{name}.norm2").relu(), f"{name}.conv2", padding=1)
            x = torch.cat([x, new], dim=1)
    x = norm(x, "encoder5.2").relu()
    x = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
    x = F.linear(norm(x, "bn1"), state["fc1.weight"], state["fc1.bias"]).relu()
    features = norm(x, "bn2")
    return features, F.linear(features, state["logit.weight"], state["logit.bias"])


@pytest.mark.parametrize("suffix, halved", [("", True), ("_512", False)])
def test_bestfitting(bestfitting, tmp_path, suffix, halved):
    name = f"hpa_bestfitting_densenet121{suffix}"
    path = tmp_path / "final.pth"
    torch.save({"epoch": 40, "state_dict": bestfitting}, path)
    batch = fields(128)
    features, logits = plain_bestfitting(bestfitting, batch, halved)
    model = create_backbone(name, weights=path, size=128)
    wanted = features.numpy()
    np.testing.assert_allclose(embed_batch(model, batch), wanted, rtol=1e-3, atol=1e-3)
    model = create_backbone(name, weights=path, size=128, num_classes=28)
    check_features_and_logits(model)
    wanted = logits.numpy()
    np.testing.assert_allclose(embed_batch(model, batch), wanted, rtol=1e-3, atol=1e-3)


def test_bestfitting_is_rejected_if_a_name_is_missing_or_its_two_names_differ(
    bestfitting, tmp_path
):
    name, path = "hpa_bestfitting_densenet121", tmp_path / "w.pth"
    once = {k: v for k, v in bestfitting.items() if not k.startswith("backbone.")}
    torch.save(once, path)  # the layers under one of their names are enough
    create_backbone(name, weights=path, size=64)
    torch.save({k: v for k, v in once.items() if k != "fc1.bias"}, path)
    with pytest.raises(InputError, match=r"does not match the backbone; missing: fc1\.bias"):
        create_backbone(name, weights=path, size=64)
    torch.save({**bestfitting, "conv1.0.weight": torch.zeros(64, 4, 7, 7)}, path)
    with pytest.raises(InputError, match=r"conv1\.0\.weight differs"):
        create_backbone(name, weights=path, size=64)


# --- the vision transformers


def plain_vit(get, x, *, n_blocks, heads, eps, patch):
    """Compute the tokens of a vision transformer; `get` gives a tensor by its name in timm."""

    def linear(x, name):
        return F.linear(x, get(f"{name}.weight"), get(f"{name}.bias"))

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], get(f"{name}.weight"), get(f"{name}.bias"), eps)

    x = F.conv2d(x, get("patch_embed.proj.weight"), get("patch_embed.proj.bias"), stride=patch)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([get("cls_token").expand(len(x), -1, -1), x], dim=1) + get("pos_embed")
    for block in range(n_blocks):
        inner = norm(x, f"blocks.{block}.norm1")
        query, key, value = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in linear(inner, f"blocks.{block}.attn.qkv").chunk(3, dim=-1)
        )
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        attended = (weights @ value).transpose(1, 2).flatten(2)
        x = x + linear(attended, f"blocks.{block}.attn.proj")
        inner = F.gelu(linear(norm(x, f"blocks.{block}.norm2"), f"blocks.{block}.mlp.fc1"))
        x = x + linear(inner, f"blocks.{block}.mlp.fc2")
    return norm(x, "norm")


def vit_shapes(n_cells, patch=16, width=768):
    shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, n_cells + 1, width),
        "patch_embed.proj.weight": (width, 4, patch, patch), "patch_embed.proj.bias": (width,),
    }  # fmt: skip
    for block in range(DEPTH):
        for name, (n_out, n_in) in {
            "attn.qkv": (3 * width, width), "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }.items():  # fmt: skip
            shapes[f"blocks.{block}.{name}.weight"] = (n_out, n_in)
            shapes[f"blocks.{block}.{name}.bias"] = (n_out,)
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{block}.{name}.{what}": (width,) for what in ("weight", "bias")}
    return shapes | {"norm.weight": (width,), "norm.bias": (width,)}


@pytest.mark.parametrize("size", [48, 80])
def test_dino4cells(shallow, tmp_path, size):
    state = drawn(vit_shapes(n_cells=9))
    saved = {f"backbone.{name}": value for name, value in state.items()}
    saved |= drawn({"head.mlp.0.weight": (8, 768), "head.last_layer.weight_v": (4, 8)})
    path = tmp_path / "checkpoint.pth"
    torch.save({"student": {}, "teacher": saved, "epoch": 9}, path)
    name = "hpa_dino4cells_vit_base_patch16"
    model = create_backbone(name, weights=path, size=size)

    batch = fields(size)
    x = torch.from_numpy(batch)
    x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), correction=0, keepdim=True) + 1e-7)
    if size == 80:  # a grid of 5 x 5 instead of 3 x 3
        maps = state["pos_embed"][:, 1:].reshape(1, 3, 3, 768).permute(0, 3, 1, 2)
        maps = F.interpolate(maps, scale_factor=(5.1 / 3, 5.1 / 3), mode="bicubic")
        cells = maps.permute(0, 2, 3, 1).reshape(1, 25, 768)
        state["pos_embed"] = torch.cat([state["pos_embed"][:, :1], cells], dim=1)
    tokens = plain_vit(state.get, x, n_blocks=DEPTH, heads=12, eps=1e-6, patch=16)
    np.testing.assert_allclose(embed_batch(model, batch), tokens[:, 0], rtol=1e-3, atol=1e-3)

    wider = {**saved, "backbone.patch_embed.proj.weight": torch.zeros(768, 4, 8, 8)}
    torch.save(wider, path)
    with pytest.raises(InputError, match=r"patch_embed\.proj\.weight \(768, 4, 8, 8\) instead of"):
        create_backbone(name, weights=path, size=size)


def subcell_names(state):
    """Give the tensors of a transformer the names that its public code gives them."""
    named = {
        "encoder.embeddings.cls_token": state["cls_token"],
        "encoder.embeddings.position_embeddings": state["pos_embed"],
        "encoder.layernorm.weight": state["norm.weight"],
        "encoder.layernorm.bias": state["norm.bias"],
    }
    for what in ("weight", "bias"):
        named[f"encoder.embeddings.patch_embeddings.projection.{what}"] = state[
            f"patch_embed.proj.{what}"
        ]
        for block in range(DEPTH):
            ours, theirs = f"blocks.{block}", f"encoder.encoder.layer.{block}"
            parts = state[f"{ours}.attn.qkv.{what}"].chunk(3)
            for part, value in zip(("query", "key", "value"), parts):
                named[f"{theirs}.attention.attention.{part}.{what}"] = value.clone()
            for our, their in (
                ("attn.proj", "attention.output.dense"), ("mlp.fc1", "intermediate.dense"),
                ("mlp.fc2", "output.dense"), ("norm1", "layernorm_before"),
                ("norm2", "layernorm_after"),
            ):  # fmt: skip
                named[f"{theirs}.{their}.{what}"] = state[f"{ours}.{our}.{what}"]
    return named


@pytest.mark.parametrize("number", [0, 1])
def test_subcell(shallow, tmp_path, number):
    state = drawn(vit_shapes(n_cells=9))
    pool = drawn(
        {
            f"pool_model.attention_v.{number}.weight": (512, 768),
            f"pool_model.attention_v.{number}.bias": (512,),
            f"pool_model.attention_u.{number}.weight": (512, 768),
            f"pool_model.attention_u.{number}.bias": (512,),
            "pool_model.attention.weight": (2, 512),
            "pool_model.attention.bias": (2,),
        },
        seed=1,
    )
    saved = subcell_names(state) | pool
    path = tmp_path / "w.pth"
    torch.save({**saved, "decoder.mask_token": torch.zeros(1, 1, 8)}, path)
    name = "hpa_subcell_vit_base"
    model = create_backbone(name, weights=path, size=48)

    batch = fields(48)
    x = torch.from_numpy(batch)[:, [0, 3, 2, 1]]  # red, yellow, blue, green
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    x = (x - low) / (high - low + 1e-6)
    tokens = plain_vit(state.get, x, n_blocks=DEPTH, heads=12, eps=1e-12, patch=16)
    value, gate = (
        F.linear(
            tokens, pool[f"pool_model.attention_{k}.{number}.weight"],
            pool[f"pool_model.attention_{k}.{number}.bias"],
        )
        for k in "vu"
    )  # fmt: skip
    scores = F.linear(
        value.tanh() * F.gelu(gate), pool["pool_model.attention.weight"],
        pool["pool_model.attention.bias"],
    )  # fmt: skip
    heads = [(scores[:, :, k].softmax(dim=1)[:, :, None] * tokens).sum(dim=1) for k in (0, 1)]
    wanted = torch.cat(heads, dim=1).numpy()
    assert wanted.shape == (2, 1536)
    np.testing.assert_allclose(embed_batch(model, batch), wanted, rtol=1e-3, atol=1e-3)

    key = "encoder.encoder.layer.1.attention.attention.key.bias"
    torch.save({k: v for k, v in saved.items() if k != key}, path)
    with pytest.raises(InputError, match=r"missing for vit\.blocks\.1\.attn\.qkv\.bias: key"):
        create_backbone(name, weights=path, size=48)
    torch.save({k: v for k, v in saved.items() if not k.startswith("pool_model.attention.")}, path)
    with pytest.raises(InputError, match=r"missing: pool\.attention\.weight"):
        create_backbone(name, weights=path, size=48)


@pytest.mark.parametrize("side", [448, 976, 224, 1008])
def test_positions_are_resampled_to_every_grid(side):
    grid = (side // 16, side // 16)
    for old in (14, 28, 32):
        positions = torch.rand(1, old**2 + 1, 8, generator=torch.Generator().manual_seed(old))
        found = _positions(positions, grid, 0.0)
        assert found.shape == (1, grid[0] ** 2 + 1, 8)
        assert torch.equal(found[:, 0], positions[:, 0])
        if grid[0] == old:
            assert found is positions


# --- what holds for all


@pytest.mark.parametrize("name", PUBLIC_MODELS)
@pytest.mark.parametrize("n_channels", [2, 3, 5])
def test_weights_of_another_stain_set_are_rejected(
    name, n_channels, shallow, tmp_path, bestfitting
):
    if "bestfitting" in name:
        state = {
            key: value[:, [0, 1, 2, 0, 1][:n_channels]].clone() if key.endswith("conv0.weight")
            or key == "conv1.0.weight" else value for key, value in bestfitting.items()
        }  # fmt: skip
    else:
        patch = 8 if name.endswith("patch8") else 16
        state = drawn(vit_shapes(n_cells=(48 // patch) ** 2, patch=patch))
        filters = "patch_embed.proj.weight"
        state[filters] = state[filters][:, [0, 1, 2, 0, 1][:n_channels]].clone()
        if "subcell" in name:
            state = subcell_names(state) | drawn(
                {
                    "pool_model.attention_v.0.weight": (512, 768),
                    "pool_model.attention_v.0.bias": (512,),
                    "pool_model.attention_u.0.weight": (512, 768),
                    "pool_model.attention_u.0.bias": (512,),
                    "pool_model.attention.weight": (2, 512),
                    "pool_model.attention.bias": (2,),
                }
            )
    path = tmp_path / "three.pth"
    torch.save(state, path)
    message = rf"three\.pth: .*weight is for {n_channels} channels, .* 4 stains .*not adapted"
    for stem in ("average", "copy", "repeat"):
        with pytest.raises(InputError, match=message):
            create_backbone(name, weights=path, size=48, stem=stem)


@pytest.mark.parametrize("name", PUBLIC_MODELS)
def test_fine_tuned_weights_of_a_published_network_are_read_by_their_own_names(
    name, shallow, tmp_path
):
    path = tmp_path / "fold_0.safetensors"
    model = create_backbone(name, weights="random", size=64, num_classes=3)
    check_features_and_logits(model)
    features, logits = features_and_logits(model, torch.rand(2, 4, 64, 64))
    assert logits.shape == (2, 3)
    save_weights(path, model, {"trained_on": "labels"})
    again = create_backbone(name, weights=path, num_classes=3)
    assert again.preprocessing == model.preprocessing
    assert np.array_equal(embed_batch(again, fields(64)), embed_batch(model, fields(64)))
    embeddings = create_backbone(name, weights=path)  # without the classifier
    assert embed_batch(embeddings, fields(64)).shape == features.shape


@pytest.mark.parametrize("name", PUBLIC_MODELS)
def test_published_networks_are_not_downloaded_nor_changed(name):
    with pytest.raises(
        InputError, match=rf"{name} are not downloaded; set weights to a file, from h"
    ):
        create_backbone(name, weights="pretrained")
    with pytest.raises(InputError, match="has its own pooling"):
        create_backbone(name, weights="random", pool="gem")
    assert not timm.is_model(name)


def test_a_field_scaled_by_its_own_values_takes_no_statistics(shallow):
    measured = dict.fromkeys(("red", "green", "blue", "yellow"), (0.5, 0.25))
    with pytest.raises(InputError, match=r"by its own values \(min_max\); omit statistics"):
        create_backbone("hpa_subcell_vit_base", weights="random", size=48, statistics=measured)
    with pytest.raises(InputError, match="did you mean hpa_subcell_vit_base"):
        create_backbone("hpa_subcell_vit_bas", weights="random")
    with pytest.raises(InputError, match="patches of 16 px.*use 48 or 64"):
        create_backbone("hpa_subcell_vit_base", weights="random", size=50)


def test_the_guide_says_what_they_are_and_whose():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(hpa_\w+)` \| (.+) \| `(\w+)` \| (\d+) \|$", guide, re.MULTILINE)
    assert {name: (kind, int(size)) for name, _, kind, size in rows} == {
        name: (embedding_kind(name, "pretrained", []), model.preprocessing.size)
        for name, model in PUBLIC_MODELS.items()
    }, "docs/guide.md: a row for each network under Published networks"
    guide = " ".join(guide.split())
    for name, model in PUBLIC_MODELS.items():
        assert model.citation in guide, f"docs/guide.md: the citation of {name}"
        source = model.source.partition(" ")[0].rstrip(",")
        assert source in guide, f"docs/guide.md: the source of {name}"
