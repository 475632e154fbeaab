"""Type of a backbone for type checkers: a torch module with the attributes of timm's models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpastack.backbones._torch import torch

if TYPE_CHECKING:
    from hpastack.backbones.preprocessing import Preprocessing

    class Network(torch.nn.Module):
        """A model from `create_backbone`, or one that it is built from."""

        preprocessing: Preprocessing
        num_classes: int
        pretrained_cfg: dict[str, Any]
        patch_embed: Any
        forward_features: Callable[..., Any]
        forward_head: Callable[..., Any]

        def get_classifier(self) -> Any:
            """Return the last layer."""

else:
    Network = torch.nn.Module
