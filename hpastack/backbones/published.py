"""Networks for fields of the Human Protein Atlas with published weights.

The user provides the file of weights; nothing is downloaded. Each entry of `PUBLIC_MODELS`
defines how the network is built, how the published names of its weights are translated, and how
fields are preprocessed for it. These facts are from the public code that trained or applied the
networks, which each entry cites; none of the files of weights was available for a test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hpastack.backbones._torch import timm, torch
from hpastack.backbones.network import Network
from hpastack.backbones.preprocessing import Preprocessing
from hpastack.errors import InputError, shorten
from hpastack.fields import STAINS

nn = torch.nn


@dataclass(frozen=True)
class PublicModel:
    """Definition of a published network.

    Parameters
    ----------
    build : callable
        ``build(size, num_classes, drop_rate)`` returns the network for squares of `size` pixels.
    rename : callable
        ``rename(state, model)`` returns the published tensors under the names of the network,
        without those that only training used. Prefixes that all names share, such as
        ``module.``, are removed before.
    preprocessing : Preprocessing
        As published; its size is the default.
    trained_on : str
        Labels on which the weights were trained; empty if none.
    source : str
        Where the code is published, with links to the weights.
    licence : str
        Licence of the code; that of the weights may differ.
    citation : str
        Reference to cite.
    """

    build: Callable[[int, int, float], Network]
    rename: Callable[[dict[str, torch.Tensor], Any], dict[str, torch.Tensor]]
    preprocessing: Preprocessing
    trained_on: str
    source: str
    licence: str
    citation: str


class BestfittingDenseNet(Network):
    """DenseNet121 with the head that won the 2018 competition.

    The head: concatenated mean and maximum of the last feature maps, batch norm, a linear layer
    of 1,024 units, ReLU, batch norm, and the classifier. The features are the input of the
    classifier.

    Parameters
    ----------
    num_classes : int
        0 for no classifier.
    drop_rate : float
        Dropout before both linear layers of the head.
    halved : bool
        Whether the feature maps are halved once more after the first pooling, as for fields of
        1,024 px.
    """

    n_features = 1024

    def __init__(self, num_classes: int, drop_rate: float, halved: bool) -> None:
        super().__init__()
        self.pretrained_cfg = {
            "architecture": "hpa_bestfitting_densenet121", "classifier": "classifier",
            "first_conv": "trunk.features.conv0",
        }  # fmt: skip
        self.num_classes = num_classes
        trunk: Any = timm.create_model("densenet121", in_chans=len(STAINS), num_classes=0)
        if halved:
            trunk.features.pool0 = nn.Sequential(trunk.features.pool0, nn.MaxPool2d(2))
        self.trunk: Any = trunk
        self.pool = timm.layers.SelectAdaptivePool2d(pool_type="catavgmax", flatten=True)
        self.bn1 = nn.BatchNorm1d(2 * self.n_features)
        self.fc1 = nn.Linear(2 * self.n_features, self.n_features)
        self.bn2 = nn.BatchNorm1d(self.n_features)
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = _classifier(self.n_features, num_classes)

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the last feature maps."""
        return self.trunk.forward_features(inputs)

    def forward_head(self, maps: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Pool the feature maps; return logits, or with `pre_logits` the features."""
        hidden = self.fc1(self.dropout(self.bn1(self.pool(maps))))
        features = self.dropout(self.bn2(hidden.relu()))
        return features if pre_logits else self.classifier(features)

    def get_classifier(self) -> torch.nn.Module:
        """Return the last layer."""
        return self.classifier

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits, or features if there is no classifier."""
        return self.forward_head(self.forward_features(inputs))


class GatedAttentionPooling(nn.Module):
    """Gated attention pooling of tokens, with several heads.

    Parameters
    ----------
    width : int
        Dimension of a token.
    hidden : int
        Dimension of the gates.
    heads : int
        Number of heads.
    drop_rate : float
        Dropout before the gates.

    References
    ----------
    .. [1] M. Ilse, J. M. Tomczak and M. Welling, "Attention-based deep multiple instance
       learning", ICML 2018. https://arxiv.org/abs/1802.04712
    """

    def __init__(self, width: int, hidden: int, heads: int, drop_rate: float) -> None:
        super().__init__()
        self.value = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden)
        self.attention = nn.Linear(hidden, heads)
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Pool tokens of shape (n, n_tokens, width) to (n, heads * width)."""
        value = torch.tanh(self.value(self.dropout(tokens)))
        gate = nn.functional.gelu(self.gate(self.dropout(tokens)))
        weights = self.attention(value * gate).softmax(dim=1)
        return (weights.transpose(1, 2) @ tokens).flatten(1)


class SubCellVit(Network):
    """Vision transformer with gated attention pooling of all tokens, the class token included.

    Parameters
    ----------
    size : int
        Side of the fields in pixels.
    num_classes : int
        0 for no classifier. The published classifiers are in separate files and not used here.
    drop_rate : float
        Dropout before the classifier.
    depth : int, default=12
        Number of transformer blocks.
    """

    def __init__(self, size: int, num_classes: int, drop_rate: float, depth: int = 12) -> None:
        super().__init__()
        self.pretrained_cfg = {
            "architecture": "hpa_subcell_vit_base", "classifier": "classifier",
            "first_conv": "vit.patch_embed.proj",
        }  # fmt: skip
        self.num_classes = num_classes
        self.vit: Any = timm.create_model(
            "vit_base_patch16_224", img_size=size, in_chans=len(STAINS), num_classes=0,
            global_pool="", depth=depth, norm_layer=partial(nn.LayerNorm, eps=1e-12),
        )  # fmt: skip
        width: Any = self.vit.embed_dim
        heads = 2
        self.pool = GatedAttentionPooling(width, hidden=512, heads=heads, drop_rate=0.2)
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = _classifier(heads * width, num_classes)

    @property
    def patch_embed(self) -> torch.nn.Module:
        """The layer that divides fields into patches."""
        return self.vit.patch_embed

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the tokens after the last layer norm."""
        return self.vit.forward_features(inputs)

    def forward_head(self, tokens: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Pool the tokens; return logits, or with `pre_logits` the features."""
        features = self.dropout(self.pool(tokens))
        return features if pre_logits else self.classifier(features)

    def get_classifier(self) -> torch.nn.Module:
        """Return the last layer."""
        return self.classifier

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits, or features if there is no classifier."""
        return self.forward_head(self.forward_features(inputs))


def _classifier(n_features: int, num_classes: int) -> torch.nn.Module:
    return nn.Linear(n_features, num_classes) if num_classes else nn.Identity()


def _build_bestfitting(size: int, num_classes: int, drop_rate: float, *, halved: bool) -> Network:
    return BestfittingDenseNet(num_classes, drop_rate, halved)


# The network was saved with each layer under two names: that of torchvision, and that of a stage
# that shares the layer.
_BESTFITTING_STAGES = {
    "conv1.0": "conv0", "conv1.1": "norm0", "encoder2.0": "denseblock1",
    "encoder3.0": "transition1", "encoder3.1": "denseblock2", "encoder4.0": "transition2",
    "encoder4.1": "denseblock3", "encoder5.0": "transition3", "encoder5.1": "denseblock4",
    "encoder5.2": "norm5",
}  # fmt: skip


def _rename_bestfitting(state: dict[str, torch.Tensor], model: Network) -> dict[str, torch.Tensor]:
    renamed: dict[str, Any] = {}
    for key, value in state.items():
        if key.startswith("backbone.classifier."):
            continue  # the ImageNet classifier, never used
        name = re.sub(r"^backbone\.features\.", "trunk.features.", key)
        name = re.sub(r"^logit\.", "classifier.", name)
        stage = re.match(r"(conv1|encoder\d)\.\d(?=\.)", name)
        if stage and stage[0] in _BESTFITTING_STAGES:
            name = f"trunk.features.{_BESTFITTING_STAGES[stage[0]]}{name[stage.end() :]}"
        if name in renamed and not torch.equal(renamed[name], value):
            raise InputError(f"{key} differs from the same weights under their other name")
        renamed[name] = value
    return renamed


def _build_dino4cells(
    size: int, num_classes: int, drop_rate: float, *, patch: int, depth: int = 12
) -> Any:
    return timm.create_model(
        f"vit_base_patch{patch}_224", img_size=size, in_chans=len(STAINS), depth=depth,
        num_classes=num_classes, drop_rate=drop_rate,
    )  # fmt: skip


def _rename_dino4cells(state: dict[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    # The head is that of self-supervised training and not used for embeddings.
    backbone = {
        key.removeprefix("module.").removeprefix("backbone."): value
        for key, value in state.items()
        if not key.removeprefix("module.").startswith("head.")
    }
    if "pos_embed" in backbone:
        # As in the published code: 0.1 is added to each side of the target grid.
        backbone["pos_embed"] = _positions(backbone["pos_embed"], model.patch_embed.grid_size, 0.1)
    return backbone


_SUBCELL_NAMES = (
    (r"^encoder\.embeddings\.cls_token$", "vit.cls_token"),
    (r"^encoder\.embeddings\.position_embeddings$", "vit.pos_embed"),
    (r"^encoder\.embeddings\.patch_embeddings\.projection\.", "vit.patch_embed.proj."),
    (r"^encoder\.layernorm\.", "vit.norm."),
    (r"^encoder\.encoder\.layer\.(\d+)\.layernorm_before\.", r"vit.blocks.\1.norm1."),
    (r"^encoder\.encoder\.layer\.(\d+)\.layernorm_after\.", r"vit.blocks.\1.norm2."),
    (r"^encoder\.encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"vit.blocks.\1.attn.proj."),
    (r"^encoder\.encoder\.layer\.(\d+)\.intermediate\.dense\.", r"vit.blocks.\1.mlp.fc1."),
    (r"^encoder\.encoder\.layer\.(\d+)\.output\.dense\.", r"vit.blocks.\1.mlp.fc2."),
    # Trained with dropout before each gate, applied without: the layer number may be 1 or 0.
    (r"^pool_model\.attention_v\.[01]\.", "pool.value."),
    (r"^pool_model\.attention_u\.[01]\.", "pool.gate."),
    (r"^pool_model\.attention\.(weight|bias)$", r"pool.attention.\1"),
)
_SUBCELL_ATTENTION = re.compile(
    r"^encoder\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)$"
)


def _rename_subcell(state: dict[str, torch.Tensor], model: Any) -> dict[str, torch.Tensor]:
    renamed: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for key, value in state.items():
        attention = _SUBCELL_ATTENTION.match(key)
        if attention:
            block, part, tensor = attention.groups()
            parts.setdefault(f"vit.blocks.{block}.attn.qkv.{tensor}", {})[part] = value
        elif key.startswith(("encoder.", "pool_model.")):
            name = key
            for pattern, replacement in _SUBCELL_NAMES:
                name = re.sub(pattern, replacement, name)
            renamed[name] = value
        # The other tensors were used in training only: decoder, projections, auxiliary classifier.
    for name, triple in parts.items():
        absent = [part for part in ("query", "key", "value") if part not in triple]
        if absent:
            raise InputError(f"missing for {name}: {shorten(absent)}")
        renamed[name] = torch.cat([triple["query"], triple["key"], triple["value"]])
    if "vit.pos_embed" in renamed:
        grid = model.vit.patch_embed.grid_size
        renamed["vit.pos_embed"] = _positions(renamed["vit.pos_embed"], grid, 0.0)
    return renamed


def _positions(positions: torch.Tensor, grid: tuple[int, int], extra: float) -> torch.Tensor:
    """Resample position embeddings, except the first, to another grid by bicubic interpolation.

    `extra` is added to the sides of the grid for the scale factor.
    """
    old = round((positions.shape[1] - 1) ** 0.5)
    if (old, old) == tuple(grid) or old**2 + 1 != positions.shape[1]:
        return positions
    maps = positions[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    # By size, unless a scale is needed: a factor of 61/28 may turn 28 positions into 60.
    scale = tuple((side + extra) / old for side in grid)
    target: dict[str, Any] = {"scale_factor": scale} if extra else {"size": grid}
    maps = nn.functional.interpolate(maps, mode="bicubic", align_corners=False, **target)
    return torch.cat([positions[:, :1], maps.flatten(2).transpose(1, 2)], dim=1)


_BESTFITTING_1024 = Preprocessing(
    1024,
    mean=(0.074598, 0.050630, 0.050891, 0.076287),
    sd=(0.122813, 0.085745, 0.129882, 0.119411),
)

_bestfitting = partial(
    PublicModel,
    rename=_rename_bestfitting,
    trained_on="the labels of the 2018 competition and of the Human Protein Atlas, version 18",
    source="https://github.com/CellProfiling/HPA-competition-solutions (bestfitting), "
    "https://github.com/CellProfiling/hpa_densenet",
    licence="MIT",
    citation="W. Ouyang et al., Nat. Methods 16, 1254-1261, 2019, doi:10.1038/s41592-019-0658-6",
)

_dino4cells = partial(
    PublicModel,
    rename=_rename_dino4cells,
    preprocessing=Preprocessing(512, scaling="standardised"),
    trained_on="",
    source="https://github.com/broadinstitute/DINO4Cells_code, https://zenodo.org/record/8061392",
    licence="see its repository",
    citation="M. Doron et al., bioRxiv 2023.06.16.545359, doi:10.1101/2023.06.16.545359",
)

#: Published networks by their name in `create_backbone`.
PUBLIC_MODELS: dict[str, PublicModel] = {
    "hpa_bestfitting_densenet121": _bestfitting(
        build=partial(_build_bestfitting, halved=True),
        preprocessing=_BESTFITTING_1024,
    ),
    "hpa_bestfitting_densenet121_512": _bestfitting(
        build=partial(_build_bestfitting, halved=False),
        preprocessing=replace(_BESTFITTING_1024, size=512),
    ),
    "hpa_dino4cells_vit_base_patch16": _dino4cells(build=partial(_build_dino4cells, patch=16)),
    "hpa_dino4cells_vit_base_patch8": _dino4cells(build=partial(_build_dino4cells, patch=8)),
    "hpa_subcell_vit_base": PublicModel(
        build=SubCellVit,
        rename=_rename_subcell,
        preprocessing=Preprocessing(
            448, stains=("red", "yellow", "blue", "green"), scaling="min_max"
        ),
        trained_on="",
        source="https://github.com/CellProfiling/SubCellPortable, "
        "https://github.com/czi-ai/sub-cell-embed",
        licence="MIT",
        citation="A. Gupta et al., bioRxiv 2024.12.06.627299, doi:10.1101/2024.12.06.627299",
    ),
}
