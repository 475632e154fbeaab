"""Recipes: YAML files that say how a feature set, a CNN or a stack is made.

A recipe is found by path or by name: in the workspace first, then among those
that come with the package. Every key is checked; a misspelt one is an error
that names the nearest key.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpastack.errors import InputError, shorten
from hpastack.workspace import Workspace

_PACKAGE = Path(__file__).resolve().parent


class Settings(BaseModel):
    """The checked keys of a recipe; each recipe type is a subclass."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict, for the record of what was run."""
        return self.model_dump(mode="json")


class HandcraftedRecipe(Settings):
    """Hand-crafted features of every field.

    `size` is the longer side in pixels, or ``original`` for fields as they are.
    """

    type: Literal["handcrafted"]
    families: list[str] = Field(min_length=1)
    size: Annotated[int, Field(ge=16)] | Literal["original"] = 512

    @property
    def pixels(self) -> int | None:
        """Longer side in pixels; None for fields as they are."""
        return None if self.size == "original" else self.size


class EmbeddingRecipe(Settings):
    """Embeddings of every field by a backbone; the keys are those of `extract_embeddings`.

    `statistics` names a table of `pipelines.statistics`.
    """

    type: Literal["embedding"]
    backbone: str
    weights: str = "pretrained"
    stem: Literal["average", "copy", "repeat", "random"] = "average"
    stains: list[Literal["red", "green", "blue", "yellow"]] | None = Field(None, min_length=1)
    size: int = Field(default=512, ge=16)
    crop: int | None = Field(None, ge=16)
    statistics: str | None = None
    pool: str | None = None
    batch_size: int = Field(default=32, ge=1)
    seed: int = 0
    compile: bool = False
    storage: Literal["float32", "float16"] = "float32"

    def record(self) -> dict[str, Any]:
        """Return the settings, without those that are left to the backbone."""
        return {key: value for key, value in super().record().items() if value is not None}


class CnnRecipe(Settings):
    """A timm backbone fine-tuned once a fold; the keys are those of `CnnSettings`."""

    type: Literal["cnn"]
    backbone: str
    weights: str = "pretrained"
    stem: Literal["average", "copy", "repeat", "random"] = "average"
    pool: str | None = None
    drop_rate: float = 0.0
    stains: list[Literal["red", "green", "blue", "yellow"]] | None = Field(None, min_length=1)
    vouch_for_weights: bool = False
    size: int = 512
    crop: int | None = None
    normalise: Literal["weights", "fields"] = "weights"
    epochs: int = 20
    patience: int = 0
    watched_share: float = 0.1
    batch_size: int = 32
    accumulate: int = 1
    clip_norm: float = 0.0
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    compile: bool = False
    learning_rate: float = 3e-4
    warm_up: float = 0.05
    weight_decay: float = 0.02
    loss: Literal["bce", "focal", "asymmetric", "lsep"] = "bce"
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
    views: Literal[1, 8] = 1
    crops: Literal[1, 5] = 1
    seed: int = 0


class DuplicatesRecipe(Settings):
    """When two fields count as near-duplicates.

    `embedding` names a store; the other keys are the parameters of
    `hpastack.near_duplicates`.
    """

    type: Literal["duplicates"]
    max_distance: int | dict[Literal["red", "green", "blue", "yellow"], int] = 48
    min_stains: int = Field(3, ge=1, le=4)
    shifted: bool = True
    min_correlation: float = Field(0.88, gt=0, le=1)
    min_similarity: float = Field(0.38, gt=0, le=1)
    mirrored: bool = False
    embedding: str | None = None
    min_cosine: float = Field(0.98, gt=0, le=1)


class StackRecipe(Settings):
    """Per-label boosters on the CNN consensus, blended, calibrated and thresholded.

    `cnns` and `features` name stores; ``auto`` takes every store of the
    workspace that holds predictions, or anything else. `prior_shift` is none,
    em, or a table of prevalences. The other keys are the parameters of
    `hpastack.StackClassifier`.
    """

    type: Literal["stack"]
    cnns: list[str] | Literal["auto"] = "auto"
    features: list[str] | Literal["auto"] = "auto"
    accept_fold_plans: list[str] = []
    boosters: list[Literal["lightgbm", "xgboost"]] = Field(["lightgbm", "xgboost"], min_length=1)
    rounds: int = Field(60, ge=1)
    min_rounds: int = Field(10, ge=1)
    learning_rate: float = Field(0.2, gt=0)
    leaves: int = Field(7, ge=2)
    min_leaf: int = Field(20, ge=1)
    l2: float = Field(20.0, ge=0)
    column_share: float = Field(0.8, gt=0, le=1)
    monotone: bool = False
    bags: int = Field(1, ge=1)
    tune: int = Field(0, ge=0)
    max_columns: int | None = Field(48, ge=1)
    n_components: int = Field(32, ge=1)
    min_positives: int = Field(20, ge=1)
    min_clusters: int = Field(5, ge=1)
    calibration: Literal["platt", "beta", "isotonic", "none"] = "platt"
    thresholds: Literal["shrunk", "global", "per-label", "prevalence", "plug-in"] = "shrunk"
    min_labels: int = Field(0, ge=0)
    prior_shift: str = "none"
    repeats: int = Field(1, ge=1)
    n_bootstrap: int = Field(200, ge=0)
    seed: int = 0


_TYPES: dict[str, type[Settings]] = {
    "handcrafted": HandcraftedRecipe,
    "embedding": EmbeddingRecipe,
    "cnn": CnnRecipe,
    "duplicates": DuplicatesRecipe,
    "stack": StackRecipe,
}


@dataclass(frozen=True)
class Recipe:
    """A recipe as read: its name, where it stood, and its checked settings."""

    name: str
    path: Path
    settings: Settings

    def record(self) -> dict[str, Any]:
        """Return what is kept of it with what it makes: its name and settings."""
        return {"name": self.name, **self.settings.record()}


def read_recipe(
    source: str | Path,
    workspace: Workspace,
    *,
    folder: Literal["features", "models"],
    overrides: Sequence[str] = (),
) -> Recipe:
    """Find, read and check a recipe.

    Parameters
    ----------
    source : str or path-like
        A path, or a name such as ``stack`` or ``models/stack.yaml``. A name is
        looked for in the workspace first, then among the package's own.
    workspace : Workspace
    folder : {"features", "models"}
        Which of the two folders a bare name refers to.
    overrides : sequence of str
        ``key=value``, the value in YAML; they win over the file.

    Returns
    -------
    Recipe
        Named after its file.

    Raises
    ------
    InputError
        If no such recipe is found, it is not valid YAML, a key is unknown, or
        a value is not of its key's type.
    """
    path = _find(Path(source), workspace, folder)
    try:
        # utf-8-sig: editors on Windows put a byte-order mark in front.
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no keys; a recipe starts with 'type: ...'")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise InputError(f"--set {override}: write KEY=VALUE")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"--set {override}: the value is not valid YAML") from None
    return Recipe(path.stem, path, _check(values, path))


def workspace_recipes(workspace: Workspace, *, folder: Literal["features", "models"]) -> list[Path]:
    """List the recipes of a workspace.

    Parameters
    ----------
    workspace : Workspace
    folder : {"features", "models"}

    Returns
    -------
    list of Path
        The workspace's own recipes by name; those that come with the package
        if it has none.
    """
    own = sorted((workspace.root / folder).glob("*.yaml"))
    return own or sorted(shipped_recipes(folder).glob("*.yaml"))


def contained_recipes(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Say which recipes of hand-crafted features others make superfluous.

    Parameters
    ----------
    recipes : sequence of Recipe

    Returns
    -------
    dict of str to str
        Name of a recipe to the name of one that measures all its families at
        the same size: a wider one, or an earlier one with the same families.
    """
    made = [(r.name, r.settings) for r in recipes if isinstance(r.settings, HandcraftedRecipe)]
    contained = {}
    for place, (name, settings) in enumerate(made):
        own = set(settings.families)
        for other_place, (other, wider) in enumerate(made):
            families = set(wider.families)
            if settings.size == wider.size and (
                own < families or (own == families and other_place < place)
            ):
                contained[name] = other
    return contained


def shipped_recipes(folder: str) -> Path:
    """Return the folder of the recipes that come with the package: features or models."""
    installed = _PACKAGE / "_recipes" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder


def _find(source: Path, workspace: Workspace, folder: str) -> Path:
    name = source.with_suffix(".yaml").name
    bare = source.parent in (Path(), Path(folder))
    candidates = [source, source.with_suffix(".yaml"), workspace.root / source.with_suffix(".yaml")]
    if bare:
        candidates += [workspace.root / folder / name, shipped_recipes(folder) / name]
    for candidate in candidates:
        if candidate.suffix == ".yaml" and candidate.is_file():
            return candidate
    known = {path.stem for path in (workspace.root / folder).glob("*.yaml")}
    known |= {path.stem for path in shipped_recipes(folder).glob("*.yaml")}
    raise InputError(f"unknown recipe {source}; there is {shorten(sorted(known), 12)}")


def _check(values: dict, path: Path) -> Settings:
    kind = values.get("type")
    if kind not in _TYPES:
        raise InputError(f"{path}: type {kind!r} is unknown; it is one of {', '.join(_TYPES)}")
    model = _TYPES[kind]
    unknown = [str(key) for key in values if key not in model.model_fields]
    if unknown:
        near = difflib.get_close_matches(unknown[0], model.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"keys: {', '.join(model.model_fields)}"
        raise InputError(f"{path}: unknown key {unknown[0]!r}; {hint}")
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0] if first["loc"] else "recipe"
        raise InputError(f"{path}: {key}: {first['msg']} (is {first['input']!r})") from None
