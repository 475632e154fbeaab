"""What a CNN is fine-tuned with; free of torch, so that recipes can be checked without it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hpastack.errors import InputError

LOSSES = ("bce", "focal", "asymmetric", "lsep")
NORMALISATIONS = ("weights", "fields")
PRECISIONS = ("auto", "bfloat16", "float32")

# What shapes predictions, but not the weights.
_PREDICTING = ("views", "crops")

# Lowest and highest value of each number; None where there is no limit.
_RANGES: dict[str, tuple[float, float | None]] = {
    "size": (16, None),
    "epochs": (1, None),
    "batch_size": (2, None),
    "accumulate": (1, None),
    "clip_norm": (0, None),
    "patience": (0, None),
    "watched_share": (0.01, 0.5),
    "metric_weight": (0, None),
    "metric_scale": (1, None),
    "metric_margin": (0, 1.5),
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
    "seed": (0, None),
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
    stains : list of str, optional
        Those that the network sees, in its order, if not all four.
    vouch_for_weights : bool, default=False
        Whether you answer for it that weights trained on labels have seen none of these
        fields, nor near-duplicates of them. They are refused otherwise: predictions would not
        be out of fold.
    size : int, default=512
        Side of the fields in pixels.
    crop : int, optional
        Side of the square that the network sees of a field: one anywhere
        while it trains, those that `crops` says when it predicts. All of
        the field if left out.
    normalise : {"weights", "fields"}, default="weights"
        Whether stains are scaled as the weights expect, or by their mean and
        standard deviation in the training fields. Random weights expect
        nothing and always take the latter.
    epochs : int, default=20
        Passes over the training fields. Without `patience` the weights of
        the last epoch are kept.
    patience : int, default=0
        Stop after this many epochs in which the macro average precision of
        the watched fields has not risen, and keep the weights of the best;
        0 trains to the end. The held-out fold has no say: choosing
        by it would flatter the out-of-fold predictions.
    watched_share : float, default=0.1
        Share of the training fields, in whole clusters, that are watched and
        not learned from, with `patience`.
    batch_size : int, default=32
        Fields that pass through the network together, on all GPUs taken together.
    accumulate : int, default=1
        Batches whose gradients are added up to one step.
    clip_norm : float, default=0.0
        Gradients longer than this are shortened to it; 0 leaves them.
    precision : {"auto", "bfloat16", "float32"}, default="auto"
        What the network computes in; ``auto`` is bfloat16 on a GPU and
        float32 elsewhere. Weights are kept in float32.
    compile : bool, default=False
        Whether training runs through `torch.compile`: minutes of waiting, then faster.
    learning_rate : float, default=3e-4
        Of AdamW, at its highest; rises over `warm_up` and falls as a cosine.
    warm_up : float, default=0.05
        Share of the training.
    weight_decay : float, default=0.02
        On filters and matrices, not on biases and norms.
    loss : {"bce", "focal", "asymmetric", "lsep"}, default="bce"
        As `hpastack.cnn.losses.label_loss`.
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
    metric_group : str, optional
        Column of the catalogue, such as ``antibody`` or ``well``: an ArcFace head learns
        to tell its values apart, so that fields of one value lie close to each
        other in the embedding. Fields without a value take no part.
    metric_weight : float, default=0.1
        How much the head's loss counts beside that of the labels.
    metric_scale, metric_margin : float, default=30.0 and 0.3
        Of the head: factor of the cosines, and the angle, in radians, by which
        a field must be nearer to its own group.
    ema_decay : float, default=0.0
        Of the running mean of the weights, which is what is kept; 0 for none.
    views : {1, 8}, default=1
        Predictions are the mean logits of 1 view, or of all 8 turned and
        mirrored ones,
    crops : {1, 5}, default=1
        times that of 1 square, the middle, or of 5, with the corners; more than 1 needs `crop`.
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
    stains: list[str] | None = None
    vouch_for_weights: bool = False
    size: int = 512
    crop: int | None = None
    normalise: str = "weights"
    epochs: int = 20
    patience: int = 0
    watched_share: float = 0.1
    batch_size: int = 32
    accumulate: int = 1
    clip_norm: float = 0.0
    precision: str = "auto"
    compile: bool = False
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
    metric_group: str | None = None
    metric_weight: float = 0.1
    metric_scale: float = 30.0
    metric_margin: float = 0.3
    ema_decay: float = 0.0
    views: int = 1
    crops: int = 1
    seed: int = 0

    def __post_init__(self):
        for key, (low, high) in _RANGES.items():
            value = getattr(self, key)
            if not value >= low or (high is not None and value > high):
                limits = f"at least {low}" if high is None else f"from {low} to {high}"
                raise InputError(f"{key} is {value}; it must be {limits}")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0")
        for key, known in (
            ("loss", LOSSES), ("normalise", NORMALISATIONS), ("precision", PRECISIONS),
            ("views", (1, 8)), ("crops", (1, 5)),
        ):  # fmt: skip
            value = getattr(self, key)
            if value not in known:
                names = ", ".join(str(name) for name in known)
                raise InputError(f"{key} is {value!r}; it is one of {names}")
        if self.crop is not None and not 16 <= self.crop <= self.size:
            raise InputError(f"crop is {self.crop}; it must be from 16 to size, {self.size}")
        if self.crops > 1 and self.crop is None:
            raise InputError(f"crops is {self.crops}, but there is no crop; set its side in pixels")

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict."""
        return asdict(self)

    def shaping(self) -> dict[str, Any]:
        """Return those of the settings that shape the weights, as a JSON-able dict."""
        return {key: value for key, value in asdict(self).items() if key not in _PREDICTING}
