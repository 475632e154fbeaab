"""Settings for fine-tuning a CNN; imports no torch, so that recipes can be checked without it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal, get_args

from hpastack.backbones import STEMS
from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.settings import Field, one_of, settings

Loss = Literal["bce", "focal", "asymmetric", "lsep"]

#: Names of the losses.
LOSSES: tuple[Loss, ...] = get_args(Loss)

# Settings that affect predictions, but not the weights.
_PREDICTING = ("views", "crops")

_NotNegative = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_UpToHalf = Annotated[float, Field(ge=0, le=0.5)]


@settings
class CnnSettings:
    """Settings for fine-tuning the CNNs of a fold plan; the keys of a recipe of type ``cnn``."""

    backbone: str
    """Model name of timm."""
    weights: str = "pretrained"
    """Initial weights: `pretrained`, `random`, a file or a folder. `pretrained` is downloaded
    once; a folder contains weights, or a CNN fine-tuned on the same folds. Paths in a recipe are
    relative to the workspace.
    """
    stem: Annotated[str, one_of(STEMS)] = "average"
    """How RGB filters are converted to one filter per stain. See `hpastack.create_backbone`."""
    pool: str | None = None
    """Pooling of the last feature map; null: as in the backbone. timm's `global_pool`, or `gem`, a
    generalised mean with a learned exponent, for networks with feature maps (not vision
    transformers).
    """
    drop_rate: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Dropout before the classifier."""
    stains: Annotated[list[Annotated[str, one_of(STAINS)]], Field(min_length=1)] | None = None
    """Input stains of the network, in this order; those of the weights, or all, if null."""
    vouch_for_weights: bool = False
    """Declare that weights trained on labels were not trained on these fields. They must not
    have been trained on near-duplicates of them either, or predictions are not out of fold.
    Without this, such weights are rejected.
    """
    size: Annotated[int, Field(ge=16, le=16_384)] = 512
    """Side of the fields, in pixels."""
    crop: int | None = None
    """Side of the square crop that is the network's input, in pixels; null for the whole field.
    Placed at random in training, and as `crops` says in prediction.
    """
    normalise: Literal["weights", "fields"] = "weights"
    """How stains are normalised: as the weights expect, or by the training fields. `fields` uses
    their mean and standard deviation, as random weights always do.
    """
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Passes over the training fields. Without `patience` the last weights are kept."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better validation score before training stops; 0 trains to the end. The
    score is the macro average precision of the validation fields; the weights of the best epoch
    are kept. The held-out fold is not used for this: choosing by it would make the out-of-fold
    predictions optimistic.
    """
    watched_share: Annotated[float, Field(ge=0.01, le=0.5)] = 0.1
    """Share of the training fields used for validation, with `patience`. They are whole clusters
    and are not trained on.
    """
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    """Fields per batch, over all GPUs."""
    accumulate: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Batches whose gradients are accumulated for one optimizer step."""
    clip_norm: _NotNegative = 0.0
    """Maximum gradient norm; larger gradients are scaled down to it; 0 for no limit."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Precision of the network's computations. `auto` is bfloat16 on a GPU and float32 elsewhere;
    weights are kept in float32.
    """
    compile: bool = False
    """Train with `torch.compile`: minutes of compilation, then faster steps."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """Peak learning rate of AdamW. It rises linearly over `warm_up`, then falls as a cosine."""
    warm_up: _Share = 0.05
    """Share of the training in which the learning rate rises."""
    weight_decay: _NotNegative = 0.02
    """Weight decay of AdamW, applied to filters and matrices, not to biases and norms."""
    loss: Loss = "bce"
    """Loss over the labels. `bce` is binary cross-entropy; `lsep` is a ranking loss, calibrated by
    the stack; see `focal_gamma`, `positive_gamma`, `negative_gamma` and `asymmetric_clip` for the
    others.
    """
    focal_gamma: _NotNegative = 2.0
    """Focusing exponent that down-weights well-predicted labels, for `focal`."""
    positive_gamma: _NotNegative = 1.0
    """Focusing exponent of positive labels, for `asymmetric`."""
    negative_gamma: _NotNegative = 4.0
    """Focusing exponent of negative labels, for `asymmetric`."""
    asymmetric_clip: _UpToHalf = 0.05
    """Probability below which negative labels are ignored, for `asymmetric`."""
    label_weight_power: _Share = 0.0
    """Labels are weighted by their prevalence to minus this power; 0 for equal weights."""
    label_smoothing: _UpToHalf = 0.0
    """Weight of the label's prevalence in its smoothed targets. Smoothing towards one half would
    swamp rare labels.
    """
    repeat_threshold: _Share = 0.05
    """Prevalence below which fields of a label are repeated; 0 for no repeats. A field whose rarest
    label has prevalence f is used sqrt(threshold / f) times per epoch.
    """
    turns: bool = True
    """Rotate fields by multiples of 90 degrees and flip them, at random."""
    brightness: _Share = 0.1
    """Maximum relative change of the values of a stain: factors from 1 - this to 1 + this."""
    offset: _Share = 0.02
    """Maximum shift of the values of a stain, up or down."""
    shift: _UpToHalf = 0.06
    """Maximum translation, as a share of the side of the network's input."""
    zoom: _UpToHalf = 0.0
    """Maximum relative change of size, about the centre: factors from 1 - this to 1 + this."""
    stain_dropout: _Share = 0.0
    """Probability that one of the reference stains of a field is set to 0."""
    cutout: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Side of a square that is set to 0 in all stains, as a share of the input's side."""
    mixup: _NotNegative = 0.0
    """Alpha of the beta distribution of mixup weights; 0 for no mixup. Labels are mixed with the
    same weights as fields.
    """
    metric_group: str | None = None
    """Column of the catalogue whose values an ArcFace head learns to classify. With `antibody` or
    `well`, fields with the same value become similar in the embedding. Fields without a value are
    ignored.
    """
    metric_weight: _NotNegative = 0.1
    """Weight of the ArcFace head in the loss, beside that of the labels."""
    metric_scale: Annotated[float, Field(ge=1)] = 30.0
    """Factor of the cosines in the ArcFace head."""
    metric_margin: Annotated[float, Field(ge=0, le=1.5)] = 0.3
    """Angular margin of the ArcFace head, in radians."""
    ema_decay: Annotated[float, Field(ge=0, le=0.99999)] = 0.0
    """Decay of the exponential running mean of the weights, which is then kept; 0 for none."""
    views: Literal[1, 8] = 1
    """Views averaged in prediction; 8 are all rotations and flips. This is test-time
    augmentation.
    """
    crops: Literal[1, 5] = 1
    """Crops of a field whose predictions are averaged. 1 is the central crop; 5 are the central
    crop and the corners, and need `crop`.
    """
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Random seed."""

    def __post_init__(self) -> None:
        if self.crop is not None and not 16 <= self.crop <= self.size:
            raise InputError(f"crop is {self.crop}; it must be from 16 to size, {self.size}")
        if self.crops > 1 and self.crop is None:
            raise InputError(f"crops is {self.crops}, but crop is not set; set its side in pixels")

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-serialisable dict."""
        return asdict(self)

    def shaping(self) -> dict[str, Any]:
        """Return the settings that affect the weights, as a JSON-serialisable dict."""
        return {key: value for key, value in asdict(self).items() if key not in _PREDICTING}
