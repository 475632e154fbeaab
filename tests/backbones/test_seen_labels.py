"""What embeddings know of labels."""

import hashlib
import json

import pytest

from hpastack.backbones import create_backbone, embedding_kind, save_weights

TRAINED_ON = ["a", "b", "c"]


@pytest.fixture
def fine_tuned(tmp_path):
    """Return a folder as fine-tuning leaves it."""
    model = create_backbone("test_resnet", weights="random", size=32)
    path = tmp_path / "fold_0.safetensors"
    save_weights(path, model, {"trained_on": "two labelled fields", "fold": 0})
    (tmp_path / "folds.csv").write_text("image_id,fold\na,0\nb,1\nc,1\n")
    describe(path)
    return path


def describe(path, weights="pretrained", digest=None):
    digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {"settings": {"weights": weights}, "weights": {path.name: digest}}
    (path.parent / "cnn.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_weights_known_by_name_saw_no_labels_of_these_fields(weights):
    assert embedding_kind("resnet18", weights, TRAINED_ON) == "target_free"


def test_weights_saved_without_labels_are_target_free(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, create_backbone("test_resnet", weights="random", size=32), {})
    assert embedding_kind("test_resnet", path, TRAINED_ON) == "target_free"


def test_fine_tuned_weights_are_target_free_for_fields_they_never_saw(fine_tuned):
    assert embedding_kind("test_resnet", fine_tuned, ["d", "e"]) == "target_free"
    # One is enough, held out from this very model or not.
    for known in TRAINED_ON:
        assert embedding_kind("test_resnet", fine_tuned, ["d", known]) == "in_sample"


def test_fields_whose_ids_look_like_missing_values_were_seen_too(fine_tuned):
    (fine_tuned.parent / "folds.csv").write_text("image_id,fold\nnan,0\nNA,1\nnull,1\n")
    for known in ("nan", "NA", "null"):
        assert embedding_kind("test_resnet", fine_tuned, ["d", known]) == "in_sample"


def test_where_it_is_not_known_what_they_saw_they_are_in_sample(fine_tuned):
    describe(fine_tuned, weights="an/earlier/fine-tuning.safetensors")
    assert embedding_kind("test_resnet", fine_tuned, ["d"]) == "in_sample"
    describe(fine_tuned, digest="0" * 64)
    assert embedding_kind("test_resnet", fine_tuned, ["d"]) == "in_sample"
    describe(fine_tuned)
    (fine_tuned.parent / "folds.csv").unlink()
    assert embedding_kind("test_resnet", fine_tuned, ["d"]) == "in_sample"


@pytest.mark.parametrize(
    "backbone, kind",
    [
        ("hpa_bestfitting_densenet121", "in_sample"),
        ("hpa_dino4cells_vit_base_patch16", "target_free"),
        ("hpa_subcell_vit_base", "target_free"),
    ],
)
def test_published_weights_know_what_their_training_saw(backbone, kind, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not looked into")
    assert embedding_kind(backbone, path, ["d"]) == kind
    assert embedding_kind(backbone, "random", ["d"]) == "target_free"
