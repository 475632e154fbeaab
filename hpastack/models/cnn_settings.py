"""What a CNN is fine-tuned with; free of torch, so that recipes can be checked without it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hpastack.errors import InputError

LOSSES = ("bce", "focal", "asymmetric", "lsep")

# Lowest and highest value of each number; None where there is no limit.
_RANGES: dict[str, tuple[float, float | None]] = {
    "size": (16, None),
    "epochs": (1, None),
    "batch_size": (2, None),
    "warm_up": (0, 1),
    "weight_decay": (0, None),
    "focal_gamma": (0, None),
    "positive_gamma": (0, None),
    "negative_gamma": (0, None),
    "asymmetric_clip": (0, 0.5),
    "label_weight_power": (0, 1),
    "label_smoothing": (0, 0.5),
    "repeat_threshold": (0, 1),
    "brightness": (0, 1),
    "offset": (0, 1),
    "shift": (0, 0.5),
    "zoom": (0, 0.5),
    "stain_dropout": (0, 1),
    "cutout": (0, 0.9),
    "mixup": (0, None),
    "drop_rate": (0, 0.9),
    "ema_decay": (0, 0.99999),
}


@dataclass(frozen=True)
class CnnSettings:
    """Say how the CNNs of a fold plan are fine-tuned; the keys of a CNN recipe.

    Parameters
    ----------
    backbone : str
        Model name of timm.
    weights, stem, pool, drop_rate
        As `hpastack.create_backbone`.
    size : int, default=512
        Side of the fields in pixels.
    epochs : int, default=20
        Passes over the training fields. The weights of the last epoch are
        kept: choosing the best by the held-out fold would flatter it.
    batch_size : int, default=32
    learning_rate : float, default=3e-4
        Of AdamW, at its highest; rises over `warm_up` and falls as a cosine.
    warm_up : float, default=0.05
        Share of the training.
    weight_decay : float, default=0.02
        On filters and matrices, not on biases and norms.
    loss : {"bce", "focal", "asymmetric", "lsep"}, default="bce"
        As `hpastack.models.cnn_losses.label_loss`.
    focal_gamma : float, default=2.0
        How much a field that is already right counts less, for ``focal``.
    positive_gamma, negative_gamma : float, default=1.0 and 4.0
        The same for labels that a field has and has not, for ``asymmetric``.
    asymmetric_clip : float, default=0.05
        Labels that a field has not count for nothing below this probability, for
        ``asymmetric``.
    label_weight_power : float, default=0.0
        Labels count in proportion to their prevalence to minus this power; 0
        is all alike, 1 gives each label the same weight in the loss.
    label_smoothing : float, default=0.0
        How far targets are drawn towards the label's prevalence. Not towards
        one half, which would drown the rare labels.
    repeat_threshold : float, default=0.05
        Fields whose rarest label has a smaller prevalence f than this are
        shown sqrt(threshold / f) times an epoch; 0 shows every field once.
    turns : bool, default=True
        Whether fields are turned by quarters and mirrored at random.
    brightness, offset : float, default=0.1 and 0.02
        Most by which a stain's values are multiplied (plus or minus) and
        shifted.
    shift : float, default=0.06
        Most by which a field is moved, as a share of its side.
    zoom : float, default=0.0
        Most by which a field is enlarged or reduced about its middle.
    stain_dropout : float, default=0.0
        Chance that one of the reference stains of a field is black.
    cutout : float, default=0.0
        Side of a square that is black in all stains, as a share of the field's.
    mixup : float, default=0.0
        Alpha of the beta distribution of the shares in which two fields, and
        their labels, are mixed; 0 for none.
    ema_decay : float, default=0.0
        Of the running mean of the weights, which is what is kept; 0 for none.
    views : {1, 8}, default=1
        Predictions are the mean logits of 1 view, or of all 8 turned and
        mirrored ones.
    seed : int, default=0

    Raises
    ------
    InputError
        If a value is out of its range; the key is named.
    """

    backbone: str
    weights: str = "pretrained"
    stem: str = "average"
    pool: str | None = None
    drop_rate: float = 0.0
    size: int = 512
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 3e-4
    warm_up: float = 0.05
    weight_decay: float = 0.02
    loss: str = "bce"
    focal_gamma: float = 2.0
    positive_gamma: float = 1.0
    negative_gamma: float = 4.0
    asymmetric_clip: float = 0.05
    label_weight_power: float = 0.0
    label_smoothing: float = 0.0
    repeat_threshold: float = 0.05
    turns: bool = True
    brightness: float = 0.1
    offset: float = 0.02
    shift: float = 0.06
    zoom: float = 0.0
    stain_dropout: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0
    ema_decay: float = 0.0
    views: int = 1
    seed: int = 0

    def __post_init__(self):
        for key, (low, high) in _RANGES.items():
            value = getattr(self, key)
            if not value >= low or (high is not None and value > high):
                limits = f"at least {low}" if high is None else f"from {low} to {high}"
                raise InputError(f"{key} is {value}; it must be {limits}")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if self.loss not in LOSSES:
            raise InputError(f"loss {self.loss!r} is unknown; it is one of {', '.join(LOSSES)}")
        if self.views not in (1, 8):
            raise InputError(f"views is {self.views}; it must be 1 or 8")

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict."""
        return asdict(self)
