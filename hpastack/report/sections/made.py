"""How the stack was made: its stores, folds, recipe and versions."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpastack.report.facts import Facts
from hpastack.report.numbers import value_text


def context(facts: Facts) -> dict[str, Any]:
    """Return the tables."""
    manifest, record = facts.manifest, facts.record
    stores = record.get("stores", {})
    return {
        "stores": [
            {
                "name": name,
                "kind": made.get("kind", ""),
                "content": made.get("content", ""),
                "fold_plan": made.get("fold_plan", "")[:12],
                "made_from": made.get("made_from", "")[:12],
                "recipe": ", ".join(
                    f"{key}: {value_text(value)}" for key, value in made.get("recipe", {}).items()
                ),
            }
            for name, made in stores.items()
        ],
        "fold_plan": manifest["fold_plan"],
        "fold_sizes": ", ".join(f"{size:,}" for size in np.bincount(facts.stack.fold_)),
        "settings": {
            "Recipe" if "recipe" in record else "Parameters": {
                key: value_text(value)
                for key, value in record.get("recipe", manifest["parameters"]).items()
            },
            "Versions": {"hpastack": manifest["hpastack"], **manifest["made_with"]},
        },
    }
