"""Networks for fields of the Human Protein Atlas whose weights others have published.

Their weights come as a file that the user gives; nothing is downloaded. Each entry of
`PUBLIC_MODELS` says how the network is built, what the published names of its weights become,
and how fields must be prepared for it. The facts were read in the public code that trained or
applied the networks, which is named with each entry; none of the files of weights was at hand.
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
    """Say what a published network is, and how it is used.

    Parameters
    ----------
    build : callable
        ``build(size, num_classes, drop_rate)`` makes the network for squares of `size` pixels.
    rename : callable
        ``rename(state, model)`` gives the published tensors under the names of the network, and
        omits those that only training used. Prefixes that all names share, such as ``module.``,
        are removed before.
    preprocessing : Preprocessing
        As published; its size is what is used where none is given.
    trained_on : str
        Labels that the weights have seen; empty if none.
    source : str
        Where the code is, and from there the weights.
    licence : str
        Of the code; that of the weights may be another.
    citation : str
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

    Mean and maximum of the last maps side by side, batch norm, a layer of 1,024, its ReLU and
    batch norm, and the classifier. The features are what the classifier sees.

    Parameters
    ----------
    num_classes : int
        0 for no classifier.
    drop_rate : float
        Dropout before both layers of the head.
    halved : bool
        Whether the maps are halved once more behind the first pooling, as for fields of 1,024 px.
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
        """Return the last maps."""
        return self.trunk.forward_features(inputs)

    def forward_head(self, maps: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Pool the maps, and classify them unless the features are asked for."""
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
    """Pool tokens by weights that two gates give them, once for each head.

    Parameters
    ----------
    width : int
        Of a token.
    hidden : int
        Of the gates.
    heads : int
    drop_rate : float

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
    """Vision transformer whose tokens are pooled by gated attention, that of the class among them.

    Parameters
    ----------
    size : int
        Side of the fields in pixels.
    num_classes : int
        0 for no classifier. The published classifiers are files of their own and not used here.
    drop_rate : float
        Dropout before the classifier.
    depth : int, default=12
        Blocks of the transformer.
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
        """The layer that cuts fields into patches."""
        return self.vit.patch_embed

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the tokens behind the last norm."""
        return self.vit.forward_features(inputs)

    def forward_head(self, tokens: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Pool the tokens, and classify them unless the features are asked for."""
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


# The network was saved with its layers under two names each: as torchvision names them, and as
# stages that share them.
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
            continue  # of ImageNet, never used
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
    # The head is that of self-supervised training, which no embedding uses.
    backbone = {
        key.removeprefix("module.").removeprefix("backbone."): value
        for key, value in state.items()
        if not key.removeprefix("module.").startswith("head.")
    }
    if "pos_embed" in backbone:
        # As the network's own code does: a tenth of a cell is added to the grid it scales to.
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
    # Trained with dropout in front of each gate, applied without: its number may be 1 or 0.
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
            block, part, what = attention.groups()
            parts.setdefault(f"vit.blocks.{block}.attn.qkv.{what}", {})[part] = value
        elif key.startswith(("encoder.", "pool_model.")):
            name = key
            for pattern, replacement in _SUBCELL_NAMES:
                name = re.sub(pattern, replacement, name)
            renamed[name] = value
        # All else belongs to the training: decoder, projections, a classifier on the side.
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
    """Resample the positions behind the first to another grid, bicubically.

    With `extra` the scale is that of a grid wider by as much.
    """
    old = round((positions.shape[1] - 1) ** 0.5)
    if (old, old) == tuple(grid) or old**2 + 1 != positions.shape[1]:
        return positions
    maps = positions[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    # By a size where there is one: a factor of 61/28 makes 60 positions of 28.
    scale = tuple((side + extra) / old for side in grid)
    how: dict[str, Any] = {"scale_factor": scale} if extra else {"size": grid}
    maps = nn.functional.interpolate(maps, mode="bicubic", align_corners=False, **how)
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

#: Published networks by the name that `create_backbone` takes.
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
