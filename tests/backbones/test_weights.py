"""Files of weights: what is read, what is refused, and that nothing reaches for a network."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from hpastack.backbones import create_backbone, embed_batch, save_weights, weight_file
from hpastack.backbones.weights import read_state
from hpastack.errors import InputError


@pytest.fixture
def batch():
    return np.random.default_rng(0).random((2, 4, 32, 32), dtype=np.float32)


@pytest.fixture(scope="module")
def states():
    """Weights of two backbones for colour pictures, as a stranger might have saved."""
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(timm.create_model("test_resnet", num_classes=10).state_dict())
    return drawn


def stored(path, saved):
    torch.save(saved, path)
    return path


@pytest.mark.parametrize(
    "nest, better",
    [
        ("state_dict", "ema"),
        ("student", "teacher"),
        ("model", "state_dict"),
        ("model", "model_ema"),
    ],
)
def test_nested_weights_are_found_and_the_running_mean_first(tmp_path, states, nest, better):
    first = next(iter(states[0]))
    path = stored(tmp_path / "w.pth", {"epoch": 3, nest: states[0]})
    assert torch.equal(read_state(path)[first], states[0][first])
    stored(path, {nest: states[0], better: {"state_dict": states[1]}})
    assert torch.equal(read_state(path)[first], states[1][first])


@pytest.mark.parametrize("prefix", ["_orig_mod.module.", "ema.module.", "teacher.backbone."])
def test_prefixes_of_training_scripts_are_stripped(tmp_path, states, batch, prefix):
    plain = stored(tmp_path / "plain.pth", states[0])
    path = stored(tmp_path / "w.pth", {prefix + key: value for key, value in states[0].items()})
    model, wanted = (create_backbone("test_resnet", weights=p, size=32) for p in (path, plain))
    assert np.array_equal(embed_batch(model, batch), embed_batch(wanted, batch))


def test_a_stem_is_left_random_only_where_it_is_asked_for(tmp_path, states):
    first, *rest = states[0]
    path = stored(tmp_path / "w.pth", {key: states[0][key] for key in rest})
    with pytest.raises(InputError, match=rf"missing: {first}"):
        create_backbone("test_resnet", weights=path)
    create_backbone("test_resnet", weights=path, stem="random")
    for width in (1, 2, 5):
        filters = torch.zeros(16, width, 3, 3)
        stored(path, {**states[0], first: filters})
        with pytest.raises(InputError, match=rf"{first} is for {width} channels?, .* 4 stains"):
            create_backbone("test_resnet", weights=path)
        create_backbone("test_resnet", weights=path, stem="random")


def test_three_filters_are_kept_for_three_stains_unless_they_are_of_colours(
    tmp_path, states, monkeypatch
):
    path = stored(tmp_path / "w.pth", states[0])
    stains = ("red", "blue", "yellow")
    first = next(iter(states[0]))
    kept = create_backbone("test_resnet", weights=path, stains=stains)
    assert torch.equal(kept.state_dict()[first], states[0][first])
    colour = timm.create_model("test_resnet", num_classes=0)
    colour.load_state_dict({k: v for k, v in states[0].items() if not k.startswith("fc.")})
    create_model = timm.create_model
    monkeypatch.setattr(
        timm, "create_model",
        lambda name, pretrained=False, **options: (
            colour if pretrained else create_model(name, **options)
        ),
    )  # fmt: skip
    adapted = create_backbone("test_resnet", stem="copy", stains=stains).state_dict()[first]
    filters = states[0][first]
    assert torch.equal(adapted[:, 0], filters[:, 0])
    assert torch.equal(adapted[:, 1], filters[:, 2])
    assert torch.allclose(adapted[:, 2], filters.mean(dim=1))


def test_counters_that_old_files_lack_do_not_matter(tmp_path, states):
    old = {k: v for k, v in states[0].items() if not k.endswith("num_batches_tracked")}
    create_backbone("test_resnet", weights=stored(tmp_path / "w.pth", old))


def test_positions_of_a_transformer_are_resampled_as_timm_does(tmp_path):
    torch.manual_seed(0)
    drawn = timm.create_model("test_vit", in_chans=4, img_size=64, num_classes=0)
    path = tmp_path / "w.safetensors"
    save_file(drawn.state_dict(), path)
    larger = create_backbone("test_vit", weights=path, size=96)
    drawn.set_input_size((96, 96))
    assert torch.equal(larger.pos_embed, drawn.pos_embed)
    save_file({**drawn.state_dict(), "pos_embed": torch.zeros(1, 12, 64)}, path)
    with pytest.raises(InputError, match=r"of another shape: pos_embed \(1, 12, 64\)"):
        create_backbone("test_vit", weights=path, size=96)


@pytest.mark.parametrize("saved", [{}, {"epoch": 3}, [1, 2]], ids=str)
def test_a_file_without_tensors_is_an_error(tmp_path, saved):
    path = stored(tmp_path / "w.pth", saved)
    with pytest.raises(InputError, match=r"w\.pth: the file contains no named tensors"):
        read_state(path)


def test_a_layer_on_flattened_patches_cannot_be_adapted(tmp_path):
    model = timm.create_model("test_vit", num_classes=0)
    state = model.state_dict()
    filters = state["patch_embed.proj.weight"]
    state["patch_embed.proj.weight"] = filters.flatten(1)
    path = stored(tmp_path / "w.pth", state)
    with pytest.raises(
        InputError, match="is a linear layer on flattened patches.* stem to 'random"
    ):
        create_backbone("test_vit", weights=path)


def test_a_folder_of_fine_tuned_cnns_names_its_folds(tmp_path):
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=3)
    (tmp_path / "cnn.json").write_text("{}")
    for fold in range(2):
        save_weights(tmp_path / f"fold_{fold}.safetensors", model, {"fold": fold})
    with pytest.raises(InputError, match=r"name one of fold_0\.safetensors, fold_1\.safetensors"):
        weight_file(tmp_path)
    path = tmp_path / "fold_1.safetensors"
    again = create_backbone("test_resnet", weights=path, num_classes=3)
    assert torch.equal(again.fc.weight, model.fc.weight)
    other = create_backbone("test_resnet", weights=path, num_classes=4, seed=7)
    drawn = create_backbone("test_resnet", weights="random", num_classes=4, size=32, seed=7)
    assert torch.equal(other.fc.weight, drawn.fc.weight)


@pytest.fixture
def no_network(monkeypatch):
    """Let no socket be opened; gives what was tried."""
    tried = []

    def refuse(*args, **_):
        tried.append(args)
        raise OSError("the network is not to be touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def test_files_and_random_weights_do_not_touch_the_network(tmp_path, states, no_network):
    create_backbone("resnet18", weights="random", size=32)
    create_backbone("test_resnet", weights=stored(tmp_path / "w.pth", states[0]))
    create_backbone("vit_tiny_patch16_224", weights="random", size=32)
    assert no_network == []


@pytest.mark.parametrize("offline", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_pretrained_weights_without_a_network_are_one_line_with_the_remedy(tmp_path, offline):
    code = """
import socket, time
time.sleep = lambda _: None  # the hub waits before it tries again
def refuse(*_, **__):
    print("TRIED")
    raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
from hpastack.backbones import create_backbone
from hpastack.errors import InputError
try:
    create_backbone("resnet18", weights="pretrained")
except InputError as error:
    print(error)
"""
    environment = {
        **os.environ, "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": offline, "HF_HUB_DOWNLOAD_TIMEOUT": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    *tried, message = done.stdout.strip().splitlines()
    assert message.startswith("pretrained weights of resnet18 are not available")
    assert message.endswith("set weights to a file, or to 'random'")
    assert bool(tried) == (offline == "0")


def lightning(states):
    """As Lightning saves a module whose loss has a buffer."""
    own = {f"model.{key}": value for key, value in states[0].items()}
    return {"state_dict": {"criterion.pos_weight": torch.ones(28)} | own}, "criterion.pos_weight"


def averaged(states):
    """As `torch.optim.swa_utils.AveragedModel` is saved."""
    own = {f"module.{key}": value for key, value in states[0].items()}
    return {"n_averaged": torch.tensor(7)} | own, "n_averaged"


def nested(states):
    """A running mean and the model beside it, in one flat dict."""
    mean = {f"ema.module.{key}": value for key, value in states[0].items()}
    return mean | {f"head.{number}": torch.ones(2) for number in range(3)}, "head.0, head.1, head.2"


@pytest.mark.parametrize("saved", [lightning, averaged, nested])
def test_what_stands_beside_the_backbone_is_ignored_and_named(tmp_path, states, batch, saved):
    plain = create_backbone("test_resnet", weights=stored(tmp_path / "p.pth", states[0]), size=32)
    content, beside = saved(states)
    path = stored(tmp_path / "w.pth", content)
    with pytest.warns(
        UserWarning, match=f"w.pth: tensors that are not of the backbone are ignored: {beside}"
    ):
        model = create_backbone("test_resnet", weights=path, size=32)
    np.testing.assert_array_equal(embed_batch(model, batch), embed_batch(plain, batch))


def test_a_stranger_among_the_names_of_the_backbone_is_an_error(tmp_path, states):
    content = {f"model.{key}": value for key, value in states[0].items()}
    path = stored(tmp_path / "w.pth", content | {"model.stranger": torch.ones(2)})
    with pytest.raises(InputError, match="unexpected: stranger"):
        create_backbone("test_resnet", weights=path, size=32)
    path = stored(tmp_path / "w.pth", {"other.weight": torch.ones(2)})
    with pytest.raises(InputError, match="unexpected: other.weight"):
        create_backbone("test_resnet", weights=path, size=32)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pointer_of_git_lfs_is_called_one(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    for weights in (path, tmp_path):
        with pytest.raises(InputError, match="Git LFS pointer.*git lfs pull"):
            create_backbone("test_resnet", weights=weights, size=32)
