"""What a CNN is fine-tuned with; free of torch, so that recipes can be checked without it."""

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

# What shapes predictions, but not the weights.
_PREDICTING = ("views", "crops")

_NotNegative = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_UpToHalf = Annotated[float, Field(ge=0, le=0.5)]


@settings
class CnnSettings:
    """How the CNNs of a fold plan are fine-tuned; the keys of a recipe of type ``cnn``."""

    backbone: str
    """Model name of timm."""
    weights: str = "pretrained"
    """Where training starts: `pretrained`, `random`, a file or a folder. `pretrained` is downloaded
    once; a folder is that of weights, or of a CNN fine-tuned on the same folds. Paths in a recipe
    start at the workspace.
    """
    stem: Annotated[str, one_of(STEMS)] = "average"
    """How three colour filters become one for each stain. See `hpastack.create_backbone`."""
    pool: str | None = None
    """How the last map is pooled, if not as the backbone does. timm's `global_pool`, or `gem`, a
    generalised mean with a learned exponent, for networks with maps (not vision transformers).
    """
    drop_rate: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Dropout before the classifier."""
    stains: Annotated[list[Annotated[str, one_of(STAINS)]], Field(min_length=1)] | None = None
    """Stains that the network sees, in its order; those of the weights, or all, if null."""
    vouch_for_weights: bool = False
    """Declare that weights trained on labels have seen none of these fields. Nor near-duplicates of
    them: predictions would not be out of fold. Such weights are rejected otherwise.
    """
    size: Annotated[int, Field(ge=16, le=16_384)] = 512
    """Side of the fields, in pixels."""
    crop: int | None = None
    """Side of the square that the network sees of a field; null for all of it. In training it lies
    anywhere; `crops` says where in prediction.
    """
    normalise: Literal["weights", "fields"] = "weights"
    """How stains are scaled: as the weights expect, or by the training fields. `fields` takes their
    mean and standard deviation, and so do random weights, which expect nothing.
    """
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Passes over the training fields. Without `patience` the last weights are kept."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better validation score before training stops; 0 trains to the end. The
    score is the macro average precision of the validation fields; the weights of the best epoch
    are kept. The held-out fold is not looked at: choosing by it would flatter the out-of-fold
    predictions.
    """
    watched_share: Annotated[float, Field(ge=0.01, le=0.5)] = 0.1
    """Share of the training fields used for validation, with `patience`. In whole clusters; they
    are not learned from.
    """
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    """Fields that pass through the network together, on all GPUs taken together."""
    accumulate: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Batches whose gradients are added up to one step."""
    clip_norm: _NotNegative = 0.0
    """Longest gradient; longer ones are scaled down to it; 0 for any."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """What the network computes in. `auto` is bfloat16 on a GPU and float32 elsewhere; weights are
    kept in float32.
    """
    compile: bool = False
    """Train through `torch.compile`: minutes of waiting, then faster."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """Highest learning rate of AdamW. It rises over `warm_up` and falls as a cosine."""
    warm_up: _Share = 0.05
    """Share of the training in which the learning rate rises."""
    weight_decay: _NotNegative = 0.02
    """Of AdamW, on filters and matrices, not on biases and norms."""
    loss: Loss = "bce"
    """Loss over the labels. `bce` is binary cross-entropy; `lsep` is a ranking loss, calibrated by
    the stack; see `focal_gamma`, `positive_gamma`, `negative_gamma` and `asymmetric_clip` for the
    others.
    """
    focal_gamma: _NotNegative = 2.0
    """How much less a field that is already right counts, for `focal`."""
    positive_gamma: _NotNegative = 1.0
    """The same for labels that a field has, for `asymmetric`."""
    negative_gamma: _NotNegative = 4.0
    """The same for labels that a field has not, for `asymmetric`."""
    asymmetric_clip: _UpToHalf = 0.05
    """Probability below which labels that a field has not are ignored, for `asymmetric`."""
    label_weight_power: _Share = 0.0
    """Labels count by their prevalence to minus this power; 1 gives each the same weight."""
    label_smoothing: _UpToHalf = 0.0
    """How far targets are shrunk towards the prevalence of the label. Not towards one half, which
    would drown the rare labels.
    """
    repeat_threshold: _Share = 0.05
    """Prevalence below which fields of a label are repeated; 0 for none. A field whose rarest label
    has prevalence f is shown sqrt(threshold / f) times per epoch.
    """
    turns: bool = True
    """Rotate fields by multiples of 90 degrees and flip them, at random."""
    brightness: _Share = 0.1
    """Most by which the values of a stain are multiplied, plus or minus."""
    offset: _Share = 0.02
    """Most by which the values of a stain are shifted."""
    shift: _UpToHalf = 0.06
    """Most by which a field is moved, as a share of its side."""
    zoom: _UpToHalf = 0.0
    """Most by which a field is enlarged or reduced about its middle."""
    stain_dropout: _Share = 0.0
    """Chance that one of the reference stains of a field is black."""
    cutout: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Side of a square that is black in all stains, as a share of the field's."""
    mixup: _NotNegative = 0.0
    """Alpha of the beta distribution by which two fields are mixed; 0 for none. Their labels are
    mixed in the same shares.
    """
    metric_group: str | None = None
    """Column of the catalogue whose values an ArcFace head learns to tell apart. Such as `antibody`
    or `well`: fields of one value lie close to each other in the embedding. Fields without a value
    take no part.
    """
    metric_weight: _NotNegative = 0.1
    """Weight of the ArcFace head in the loss, beside that of the labels."""
    metric_scale: Annotated[float, Field(ge=1)] = 30.0
    """Factor of the cosines of the ArcFace head."""
    metric_margin: Annotated[float, Field(ge=0, le=1.5)] = 0.3
    """Angle, in radians, by which a field must be nearer to its own group."""
    ema_decay: Annotated[float, Field(ge=0, le=0.99999)] = 0.0
    """Decay of the running mean of the weights, which is kept; 0 for none."""
    views: Literal[1, 8] = 1
    """Views whose predictions are averaged; 8 are all rotations and flips."""
    crops: Literal[1, 5] = 1
    """Squares of a field that are averaged in prediction. 1 is the middle; 5 are the middle and the
    corners, and need `crop`.
    """
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seed of everything that is drawn at random."""

    def __post_init__(self) -> None:
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
