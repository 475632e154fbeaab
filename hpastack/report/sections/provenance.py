"""How the stack was made: recipe, stores, folds, versions, and commands to reproduce it."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from typing import Any

import numpy as np

from hpastack.cnn import CnnSettings
from hpastack.extraction import EmbeddingSettings, HandcraftedSettings
from hpastack.report.facts import Facts
from hpastack.report.numbers import value_text
from hpastack.stack import StackRecipe

#: Settings class and command of the recipes of stores.
_MAKERS: dict[str, tuple[Any, str]] = {
    "handcrafted": (HandcraftedSettings, "extract"),
    "embedding": (EmbeddingSettings, "extract"),
    "cnn": (CnnSettings, "finetune"),
}
# Words that YAML does not parse as text.
_YAML_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
# Keys of a record that are not settings.
_NOT_SETTINGS = ("type", "name", "checkpoints")
_COMPETITION = (
    "W. Ouyang et al., Analysis of the Human Protein Atlas Image Classification competition, "
    "Nat. Methods 16, 1254-1261, 2019, doi:10.1038/s41592-019-0658-6"
)


def context(facts: Facts) -> dict[str, Any]:
    """Return the tables and commands."""
    manifest, record = facts.manifest, facts.record
    has_recipe = "recipe" in record
    settings = record["recipe"] if has_recipe else manifest["parameters"]
    return {
        "has_recipe": has_recipe,
        "settings": setting_rows(settings, defaults_of(StackRecipe)),
        "stores": [_store(name, made) for name, made in record.get("stores", {}).items()],
        "fold_plan": manifest["fold_plan"],
        "fold_sizes": ", ".join(f"{size:,}" for size in np.bincount(facts.stack.fold_)),
        "versions": {"hpastack": manifest["hpastack"], **manifest["made_with"]},
        "commands": commands(facts) if has_recipe else [],
        "competition": _COMPETITION,
        "version": manifest["hpastack"],
    }


def defaults_of(settings: Any) -> dict[str, Any]:
    """Return the defaults of the settings of a recipe that have one.

    Parameters
    ----------
    settings : type
        A settings class.

    Returns
    -------
    dict
    """
    defaults = {}
    for field in dataclasses.fields(settings):
        if field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
    return defaults


def setting_rows(settings: dict[str, Any], defaults: dict[str, Any]) -> list[dict[str, Any]]:
    """Return settings as table rows, those that differ from their defaults first.

    Parameters
    ----------
    settings, defaults : dict

    Returns
    -------
    list of dict
        ``key``, ``value``, ``default`` (None if there is none) and ``differs``.

    Examples
    --------
    >>> rows = setting_rows({"rounds": 5, "bags": 2}, {"rounds": 5, "bags": 1})
    >>> [(row["key"], row["value"], row["default"], row["differs"]) for row in rows]
    [('bags', '2', '1', True), ('rounds', '5', '5', False)]
    """
    rows = []
    for key, value in settings.items():
        if key in _NOT_SETTINGS:
            continue
        default = value_text(defaults[key]) if key in defaults else None
        written = value_text(value)
        rows.append({"key": key, "value": written, "default": default,
                     "differs": default is not None and written != default})  # fmt: skip
    return sorted(rows, key=lambda row: not row["differs"])


def _store(name: str, made: dict[str, Any]) -> dict[str, Any]:
    recipe = made.get("recipe", {})
    settings, _ = _MAKERS.get(recipe.get("type", ""), (None, ""))
    defaults = {} if settings is None else defaults_of(settings)
    rows = setting_rows(recipe, defaults)
    chosen = [row for row in rows if row["differs"] or row["default"] is None]
    others = [row for row in rows if row not in chosen]
    return {
        "name": name,
        "kind": made.get("kind", "").replace("_", " "),
        "content": made.get("content", "").replace("_", " "),
        "type": recipe.get("type", ""),
        "fold_plan": made.get("fold_plan", "")[:12],
        "made_from": made.get("made_from", "")[:12],
        "chosen": ", ".join(f"{row['key']}: {row['value']}" for row in chosen),
        "others": ", ".join(f"{row['key']}: {row['value']}" for row in others),
    }


def commands(facts: Facts) -> list[str]:
    """Return the commands that reproduce the stores and the fit of a stack.

    Parameters
    ----------
    facts : Facts
        Facts of a stack whose record has a recipe.

    Returns
    -------
    list of str
        Imported stores (``ingest``) have no command, because their files are unknown.
    """
    stores, lines = facts.record.get("stores", {}), []
    for name, made in stores.items():
        recipe = made.get("recipe", {})
        settings, command = _MAKERS.get(recipe.get("type", ""), (None, ""))
        if settings is not None:
            lines.append(_command(command, shlex.quote(name), recipe, settings))
    chosen = dict(facts.record["recipe"])
    if stores:
        chosen["cnns"] = list(facts.stack.cnns)
        chosen["features"] = [name for name in stores if name not in facts.stack.cnns]
    return [*lines, _command("stack", f"--name {shlex.quote(facts.name)}", chosen, StackRecipe)]


def _command(command: str, what: str, recipe: dict[str, Any], settings: Any) -> str:
    """Return a command with all settings, because a recipe of that name may have changed."""
    known = {field.name for field in dataclasses.fields(settings)}
    chosen = [f"{key}={_yaml(value)}" for key, value in recipe.items() if key in known]
    options = " ".join(f"--set {shlex.quote(setting)}" for setting in chosen)
    return f"hpastack {command} {what} {options}"


def _yaml(value: Any) -> str:
    is_word = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value)
    reads_as_text = is_word and value.lower() not in _YAML_WORDS
    return value if reads_as_text else json.dumps(value)
