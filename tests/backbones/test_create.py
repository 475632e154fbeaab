"""Backbones with four stains, their weights and their vectors."""

import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from hpastack.backbones import (
    Preprocessing,
    adapt_stem,
    choose_device,
    create_backbone,
    embed_batch,
    embedding_columns,
    embedding_dimension,
    read_weights_record,
    save_weights,
)
from hpastack.errors import InputError


@pytest.fixture
def fields():
    return np.random.default_rng(0).random((7, 4, 32, 32), dtype=np.float32)


@pytest.fixture(scope="module")
def colour_model():
    """A backbone for colour pictures, with 10 classes, as a stranger might have saved."""
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=10)


def save_colour(path, model, prefix=""):
    save_file({prefix + key: value for key, value in model.state_dict().items()}, path)
    return path


def test_equals_a_plain_loop(fields):
    model = create_backbone("test_resnet", weights="random", size=32, seed=3)
    torch.manual_seed(3)
    plain = timm.create_model("test_resnet", in_chans=4, num_classes=0).eval()
    with torch.no_grad():
        wanted = [plain((torch.from_numpy(f[None]) - 0.5) / 0.5).numpy()[0] for f in fields]
    assert np.abs(embed_batch(model, fields) - wanted).max() < 1e-5
    assert embedding_dimension(model) == 96


def test_does_not_depend_on_the_batch(fields):
    model = create_backbone("test_resnet", weights="random", size=32)
    whole = embed_batch(model, fields)
    assert whole.dtype == np.float32
    for n in (1, 2, 5):
        parts = [embed_batch(model, fields[i : i + n]) for i in range(0, len(fields), n)]
        assert np.abs(np.concatenate(parts) - whole).max() < 1e-5
    assert embed_batch(model, fields[:0]).shape == (0, 96)


def test_same_seed_same_weights_and_callers_numbers_untouched(fields):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = create_backbone("test_resnet", weights="random", size=32, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    second = create_backbone("test_resnet", weights="random", size=32, seed=5)
    other = create_backbone("test_resnet", weights="random", size=32, seed=6)
    assert np.array_equal(embed_batch(first, fields), embed_batch(second, fields))
    assert not np.allclose(embed_batch(first, fields), embed_batch(other, fields))


@pytest.mark.parametrize(
    "stem, wanted",
    [
        ("average", [2.25, 2.25, 2.25, 2.25]),
        ("copy", [0.75, 1.5, 4.5, 2.25]),
        ("repeat", [0.75, 1.5, 4.5, 0.75]),
    ],
)
def test_stem_worked_by_hand(stem, wanted):
    # 1, 2 and 6: mean 3, and every filter is multiplied by 3/4
    filters = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    assert adapt_stem(filters, stem).flatten().tolist() == wanted


@pytest.mark.parametrize("stem", ["average", "copy"])
def test_equal_stains_answer_as_a_grey_picture(tmp_path, colour_model, stem):
    path = save_colour(tmp_path / "colour.safetensors", colour_model)
    model = create_backbone("test_resnet", weights=path, stem=stem, size=32)
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    colour_model.eval()
    with torch.no_grad():
        four = model.forward_features(grey.repeat(1, 4, 1, 1))
        three = colour_model.forward_features(grey.repeat(1, 3, 1, 1))
    assert torch.allclose(four, three, atol=1e-5)


def test_repeat_is_what_timm_does(tmp_path, colour_model):
    path = save_colour(tmp_path / "colour.safetensors", colour_model)
    ours = create_backbone("test_resnet", weights=path, stem="repeat", size=32)
    theirs = timm.create_model(
        "test_resnet", in_chans=4, num_classes=0, checkpoint_path="",
        pretrained=True, pretrained_cfg_overlay={"file": str(path), "num_classes": 10},
    )  # fmt: skip
    for key, value in theirs.state_dict().items():
        assert torch.equal(value, ours.state_dict()[key]), key


def test_random_stem_keeps_the_rest(tmp_path, colour_model):
    path = save_colour(tmp_path / "colour.safetensors", colour_model)
    state = create_backbone("test_resnet", weights=path, stem="random", seed=4).state_dict()
    drawn = create_backbone("test_resnet", weights="random", seed=4).state_dict()
    first, *rest = [key for key in state if key.endswith("weight")]
    assert torch.equal(state[first], drawn[first])
    assert torch.equal(state[rest[-1]], colour_model.state_dict()[rest[-1]])


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "module.model."])
def test_prefixes_are_stripped(tmp_path, colour_model, fields, prefix):
    path = save_colour(tmp_path / "w.safetensors", colour_model, prefix)
    plain = save_colour(tmp_path / "plain.safetensors", colour_model)
    model, wanted = (create_backbone("test_resnet", weights=p, size=32) for p in (path, plain))
    assert np.array_equal(embed_batch(model, fields), embed_batch(wanted, fields))


def test_pth_is_read_only_as_plain_tensors(tmp_path, colour_model, fields):
    good = tmp_path / "good.pth"
    torch.save({"state_dict": colour_model.state_dict(), "epoch": 3}, good)
    plain = save_colour(tmp_path / "plain.safetensors", colour_model)
    model, wanted = (create_backbone("test_resnet", weights=p, size=32) for p in (good, plain))
    assert np.array_equal(embed_batch(model, fields), embed_batch(wanted, fields))
    whole = tmp_path / "whole.pth"
    torch.save(colour_model, whole)  # a pickled module, which could run code when opened
    with pytest.raises(InputError, match=r"whole\.pth cannot be read as plain tensors"):
        create_backbone("test_resnet", weights=whole)


def test_folder_of_weights(tmp_path, colour_model):
    with pytest.raises(
        InputError, match="no .safetensors, .pth, .pt or .bin file|no named tensors"
    ):
        create_backbone("test_resnet", weights=tmp_path)
    torch.save({"x": torch.zeros(1)}, tmp_path / "old.pth")
    save_colour(tmp_path / "model.safetensors", colour_model)
    create_backbone("test_resnet", weights=tmp_path)
    save_colour(tmp_path / "other.safetensors", colour_model)
    with pytest.raises(InputError, match=r"name one of model\.safetensors, other\.safetensors"):
        create_backbone("test_resnet", weights=tmp_path)


def test_weights_that_do_not_fit_are_listed(tmp_path, colour_model):
    state = dict(colour_model.state_dict())
    gone = next(key for key in state if key.startswith("layer1"))
    del state[gone]
    path = tmp_path / "w.safetensors"
    save_file({**state, "extra.weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=rf"missing: {gone}; unexpected: extra\.weight"):
        create_backbone("test_resnet", weights=path)
    save_colour(path, colour_model)
    with pytest.raises(InputError, match="does not match the backbone"):
        create_backbone("test_vit", weights=path)
    narrow = dict(colour_model.state_dict())
    stem = next(iter(narrow))
    save_file({**narrow, stem: narrow[stem][:, :2].contiguous()}, path)
    with pytest.raises(InputError, match=r"is for 2 channels, but the backbone has 4 stains"):
        create_backbone("test_resnet", weights=path)
    create_backbone("test_resnet", weights=path, stem="random")
    path.write_bytes(b"not weights")
    with pytest.raises(InputError, match="not a safetensors file"):
        create_backbone("test_resnet", weights=path)
    with pytest.raises(InputError, match="no such file"):
        create_backbone("test_resnet", weights=tmp_path / "absent.safetensors")


def test_own_weights_come_back_with_their_preprocessing(tmp_path, fields):
    model = create_backbone("test_resnet", weights="random", size=32, num_classes=3, seed=9)
    model.preprocessing = Preprocessing(32, (0.1, 0.2, 0.3, 0.4), (1.0, 2.0, 3.0, 4.0))
    path = tmp_path / "own.safetensors"
    save_weights(path, model, {"trained_on": "somewhere"})
    again = create_backbone("test_resnet", weights=path, size=32, num_classes=3)
    assert again.preprocessing == model.preprocessing
    assert read_weights_record(path)["trained_on"] == "somewhere"
    assert np.array_equal(embed_batch(again, fields), embed_batch(model, fields))
    assert set(load_file(path)) == set(model.state_dict())
    first = path.read_bytes()
    save_weights(path, model, {"trained_on": "somewhere"})
    assert path.read_bytes() == first


def test_unknown_backbone_names_the_nearest():
    with pytest.raises(InputError, match=r"no backbone 'resnet81'; did you mean .*resnet18"):
        create_backbone("resnet81", weights="random")


def test_vit_sizes():
    model = create_backbone("test_vit", weights="random", size=64)
    assert embedding_dimension(model) == 64
    with pytest.raises(InputError, match=r"patches of 16 px.*use 96 or 112"):
        create_backbone("test_vit", weights="random", size=100)


def test_wrong_options():
    with pytest.raises(InputError, match="stem 'random' does not adapt filters; use 'average', "):
        adapt_stem(torch.zeros((1, 3, 2, 2)), "random")
    with pytest.raises(InputError, match="stem 'mean' is unknown"):
        create_backbone("test_resnet", weights="random", stem="mean")
    with pytest.raises(InputError, match="backbone test_resnet with"):
        create_backbone("test_resnet", weights="random", pool="nonsense")
    with pytest.raises(InputError, match="not on this machine"):
        choose_device("cuda:99")
    with pytest.raises(InputError, match="not on this machine"):
        choose_device("toaster")


@pytest.mark.parametrize("rank, index", [("0", 0), ("1", 1), ("5", 1)])
def test_processes_of_a_launcher_take_the_gpus_in_turn(monkeypatch, rank, index):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert choose_device() == torch.device("cuda", index)
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(InputError, match="LOCAL_RANK is 'first', which is not a number"):
        choose_device()
    model = create_backbone("test_resnet", weights="random", size=32)
    with pytest.raises(InputError, match="the model takes"):
        embed_batch(model, np.zeros((1, 3, 32, 32), np.float32))


def test_hub_out_of_reach(monkeypatch):
    create_model = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise OSError("An error happened while trying to locate the file on the Hub")
        return create_model(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match=r"not available .*set weights to a file, or to 'random'"):
        create_backbone("test_resnet", weights="pretrained")


def test_columns():
    assert embedding_columns("resnet18", 2) == ["resnet18__0", "resnet18__1"]


def test_missing_torch_names_the_remedy():
    code = (
        "import sys; sys.modules['timm'] = None\n"
        "from hpastack.errors import InputError\n"
        "try:\n    from hpastack.backbones import create_backbone\n"
        "except InputError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'hpastack[cnn]'" in done.stdout


def test_pretrained_weights_are_adapted(monkeypatch, tmp_path, colour_model, fields):
    create_model = timm.create_model

    def hub(name, pretrained=False, num_classes=1000, **options):
        model = create_model(name, pretrained=False, num_classes=num_classes, **options)
        if pretrained:
            kept = {k: v for k, v in colour_model.state_dict().items() if not k.startswith("fc")}
            model.load_state_dict(kept, strict=False)
        return model

    monkeypatch.setattr(timm, "create_model", hub)
    model = create_backbone("test_resnet", weights="pretrained", size=32)
    path = save_colour(tmp_path / "colour.safetensors", colour_model)
    wanted = create_backbone("test_resnet", weights=path, size=32)
    assert np.array_equal(embed_batch(model, fields), embed_batch(wanted, fields))
    assert model.preprocessing.mean == (0.5,) * 4


def test_backbone_without_pretrained_weights():
    with pytest.raises(InputError, match=r"weights of botnet50ts_256 are not available"):
        create_backbone("botnet50ts_256", weights="pretrained")


def test_a_crop_is_what_the_network_sees():
    model = create_backbone("test_vit", weights="random", size=64, crop=32)
    assert model.preprocessing.input_size == 32
    assert model.patch_embed.img_size == (32, 32)
    batch = np.random.default_rng(0).random((2, 4, 64, 64), dtype=np.float32)
    small = create_backbone("test_vit", weights="random", size=32)
    wanted = embed_batch(small, batch[:, :, 16:48, 16:48])
    assert np.array_equal(embed_batch(model, batch), wanted)
    assert embedding_dimension(model) == 64


def test_a_backbone_of_two_stains():
    model = create_backbone("test_resnet", weights="random", size=32, stains=("green", "blue"))
    assert model.preprocessing.mean == (0.5, 0.5)
    batch = np.random.default_rng(0).random((2, 4, 32, 32), dtype=np.float32)
    vectors = embed_batch(model, batch)
    batch[:, [0, 3]] = 0
    assert np.array_equal(embed_batch(model, batch), vectors)


def test_what_weights_were_saved_with_wins_unless_something_else_is_asked_for(tmp_path):
    path = tmp_path / "w.safetensors"
    made = create_backbone("test_resnet", weights="random", size=48, stains=("blue", "red"))
    made.preprocessing = Preprocessing(48, (0.1, 0.2), (0.3, 0.4), ("blue", "red"), crop=32)
    save_weights(path, made, {})
    assert create_backbone("test_resnet", weights=path).preprocessing == made.preprocessing
    other = create_backbone("test_resnet", weights=path, size=64).preprocessing
    assert other == Preprocessing(64, (0.1, 0.2), (0.3, 0.4), ("blue", "red"))
    measured = dict.fromkeys(("red", "green", "blue", "yellow"), (0.5, 0.25))
    asked = create_backbone("test_resnet", weights=path, statistics=measured).preprocessing
    assert (asked.mean, asked.sd) == ((0.5, 0.5), (0.25, 0.25))
    with pytest.raises(InputError, match=r"are for the stains blue, red, in this order"):
        create_backbone("test_resnet", weights=path, stains=("red", "blue"))
    with pytest.raises(InputError, match="statistics lack the stains blue"):
        create_backbone("test_resnet", weights=path, statistics={"red": (0.1, 0.2)})


def test_a_gpu_that_is_full_names_the_remedy(fields):
    model = create_backbone("test_resnet", weights="random", size=32)

    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    model.forward = full
    with pytest.raises(InputError, match="with 7 fields per batch; set batch_size to 3"):
        embed_batch(model, fields)
    with pytest.raises(InputError, match="with 1 field per batch; set a smaller size"):
        embed_batch(model, fields[:1])
