"""One backbone of every family of timm takes four stains, or it is said why it does not."""

import re

import pytest
import timm
import torch

from hpastack.backbones import create_backbone
from hpastack.backbones.weights import load_weights
from hpastack.errors import InputError

pytestmark = pytest.mark.slow

# What the names of small models hold, the smallest first.
SMALL = (
    "test_", "zepto", "atto", "femto", "pico", "xxtiny", "nano", "xxs", "xtiny", "_050", "_035",
    "tiny", "_s0", "xs", "_ti", "small", "lite", "_s", "18", "b0", "_0", "m0", "t0",
)  # fmt: skip
# The smallest model of these families takes seconds to a minute.
LARGE = {
    "beit", "deepseek_vit", "gemma4_vit", "hieradet_sam2", "mobilenetv5", "naflexvit", "nasnet",
    "pnasnet", "qwen3_vit", "vgg", "vision_transformer_sam",
}  # fmt: skip
# What cannot be built for four stains, and what the error says.
FAILING = {
    "csatv2": "does not accept fields of 512 px and 4 stains"
}  # its first layers are for three


def smallest(module: str) -> str:
    def rank(name: str) -> tuple[int, int, str]:
        hints = [number for number, hint in enumerate(SMALL) if hint in name]
        sizes = [int(digits) for digits in re.findall(r"\d+", name)]
        return min(hints, default=len(SMALL)), max(sizes, default=0), name

    return min(timm.list_models(module=module), key=rank)


# All families take five minutes: of those whose first layer is nothing special every fourth is
# tried. All were built once, with timm 1.0.31.
EVERY = 4
SPECIAL = {"coat", "convmixer", "crossvit", "csatv2", "hiera", "mvitv2", "pvt_v2"}
FAMILIES = sorted(
    module
    for module in timm.list_modules()
    if timm.list_models(module=module) and module not in LARGE
)
TRIED = sorted({*FAMILIES[::EVERY], *SPECIAL.intersection(FAMILIES)})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", TRIED)
def test_a_family_takes_four_stains(module):
    name = smallest(module)
    if module in FAILING:
        with pytest.raises(InputError, match=f"backbone {name} {FAILING[module]}"):
            create_backbone(name, weights="random")
        return
    model = create_backbone(name, weights="random")
    side = model.preprocessing.input_size
    fixed = timm.get_pretrained_cfg(name) and timm.get_pretrained_cfg(name).fixed_input_size
    with torch.random.fork_rng():
        torch.manual_seed(1)
        options = {"img_size": side} if fixed else {}
        colour = timm.create_model(name, in_chans=3, num_classes=0, **options).eval()
        grey = torch.rand(1, 1, side, side)
    load_weights(model, colour.state_dict(), name, stem="average", are_of_colours=True)
    with torch.inference_mode():
        wanted, found = colour(grey.expand(-1, 3, -1, -1)), model(grey.expand(-1, 4, -1, -1))
    # Sums over three and over four channels are rounded in another order.
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_patches_that_overlap_take_sides_of_any_multiple():
    assert create_backbone("pvt_v2_b0", weights="random", size=256).preprocessing.size == 256
    with pytest.raises(InputError, match="patches of 16 px, but 250 px is not a multiple of"):
        create_backbone("test_vit", weights="random", size=250)


def test_patches_taken_as_rows_of_numbers_are_an_error_with_the_remedy():
    model = create_backbone("naflexvit_base_patch16_siglip", weights="random", size=64)
    state = dict(model.state_dict())
    state["embeds.proj.weight"] = state["embeds.proj.weight"][:, :768]
    with pytest.raises(
        InputError, match="embeds.proj.weight is a linear layer on flattened patches"
    ):
        load_weights(model, state, "w", stem="average")
    load_weights(model, state, "w", stem="random")
