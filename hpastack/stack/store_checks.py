"""Checks of the stores of a stack, with all problems of one kind in one message."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.folds import FoldPlan, audit_folds, fold_digest
from hpastack.labels import Vocabulary
from hpastack.store import Store

#: Number of stores that a message names.
MAX_NAMED = 50


@dataclass(frozen=True)
class Kind:
    """A kind of problem that stores have.

    Parameters
    ----------
    what : str
        What is wrong, for one or more stores.
    remedy : str
        May contain ``{names}``, the list of the names of the stores.
    parameters : tuple of str
        Parameters that the remedy changes.
    """

    what: str
    remedy: str
    parameters: tuple[str, ...] = ()


IN_SAMPLE = Kind(
    "in-sample, so trained on the labels that the stack is tested on",
    "make them out of fold, or exclude them from the recipe",
)
UNKNOWN_PLAN = Kind(
    "fold plan is unknown",
    "ingest them with the folds of their models, or accept them with accept=[{names}]",
    ("accept",),
)
SPLIT_PLAN = Kind(
    "fold plan splits clusters",
    "make them again with the folds of this workspace, or accept them with accept=[{names}]",
    ("accept",),
)
EDITED_FOLDS = Kind("folds do not match their digest", "make them again")
NO_FOLD = Kind("training fields without a fold", "make them again with the folds of this workspace")
OUT_OF_DATE = Kind("made from other fields than the catalogue lists now", "run: {commands}")
OTHER_LABELS = Kind(
    "labels differ from the vocabulary of this workspace",
    "make them again, or exclude them from the recipe",
)
RENAMED = Kind(
    "columns are not NAME__0, NAME__1, ... for each label",
    "a store of predictions or scores must keep its name, so rename the file back",
)
NOT_FINITE = Kind("values are not finite", "make them again")
SEEN_LABELS = Kind(
    "made with labels, which alone would separate training from test fields",
    "name stores of target-free features",
)
IN_COMMON = Kind(
    "columns in common",
    "name the stores to use with cnns and features, or move one of them away",
)
UNREADABLE = Kind("", "")


@dataclass
class StoreProblems:
    """Problems of several stores, collected to be reported together.

    Parameters
    ----------
    by_kind : dict of Kind to dict of path to str
        By kind, the stores and a detail of each, which may be empty.
    commands : list of str
        Commands that make stores again that are out of date.
    """

    by_kind: dict[Kind, dict[Path, str]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def add(self, kind: Kind, path: str | os.PathLike[str], detail: str = "") -> None:
        """Record a problem of a store."""
        self.by_kind.setdefault(kind, {})[Path(path)] = detail

    def add_out_of_date(self, path: str | os.PathLike[str], command: str) -> None:
        """Record that a store is out of date, and the command that makes it again."""
        self.add(OUT_OF_DATE, path)
        station, _, name = command.partition(" ")
        for number, earlier in enumerate(self.commands):
            # One command extracts several recipes.
            if station == "extract" == earlier.partition(" ")[0]:
                self.commands[number] = f"{earlier} {name}"
                return
        self.commands.append(command)

    def raise_if_any(self) -> None:
        """Raise one `InputError` for all problems, if there are any."""
        messages: list[str] = []
        parameters: list[str] = []
        for kind, stores in self.by_kind.items():
            if kind == UNREADABLE:
                messages += stores.values()
                continue
            names = ", ".join(repr(path.name.removesuffix(".h5")) for path in stores)
            commands = " && ".join(f"hpastack {command} --overwrite" for command in self.commands)
            remedy = kind.remedy.format(names=names, commands=commands)
            if len(stores) == 1:
                remedy = remedy.replace(" them ", " it ").replace("their models", "its models")
            messages.append(f"{_named(stores)}: {kind.what}; {remedy}")
            parameters += [name for name in kind.parameters if name not in parameters]
        if messages:
            raise InputError("; ".join(messages), *parameters)


def _named(stores: Mapping[Path, str]) -> str:
    """Return the paths of stores with their details; the folder is named once."""
    first, *others = stores
    texts = [str(first), *(p.name if p.parent == first.parent else str(p) for p in others)]
    details = stores.values()
    named = [f"{text} ({detail})" if detail else text for text, detail in zip(texts, details)]
    return shorten(named, MAX_NAMED)


def check_plan(
    store: Store, plan: FoldPlan, problems: StoreProblems, *, accepted: bool
) -> list[str]:
    """Check the folds of a store against those of a stack.

    Parameters
    ----------
    store : Store
    plan : FoldPlan
        The folds that the stack is trained on.
    problems : StoreProblems
        Problems are added to it.
    accepted : bool
        Whether the store may have an unknown plan, or one that splits clusters.

    Returns
    -------
    list of str
        Notes for the reader of a score.
    """
    if store.kind == "target_free":
        return []
    if store.kind == "in_sample":
        problems.add(IN_SAMPLE, store.path)
        return []
    if store.fold is None:
        if accepted:
            return [
                f"{store.name}: out of fold by an unknown plan, accepted; scores may be too good"
            ]
        problems.add(UNKNOWN_PLAN, store.path)
        return []
    clusters = plan.frame["cluster"]
    fold = pd.Series(store.fold, index=store.image_ids)
    known = fold[fold >= 0]
    if store.fold_plan != fold_digest(known.index, known):
        problems.add(EDITED_FOLDS, store.path)
        return []
    if store.fold_plan == plan.digest:
        return []
    missing = clusters.index.difference(known.index)
    if len(missing):
        problems.add(NO_FOLD, store.path, f"{counted(len(missing), 'field')}: {shorten(missing)}")
        return []
    split = audit_folds(known.loc[clusters.index], clusters)
    if not len(split):
        return [f"{store.name}: out of fold by a plan of its own, which does not split clusters"]
    if accepted:
        return [
            f"{store.name}: its fold plan splits {counted(len(split), 'cluster')} "
            f"({counted(int(split['n_fields'].sum()), 'field')}), accepted; scores may be too good"
        ]
    problems.add(
        SPLIT_PLAN,
        store.path,
        f"{counted(len(split), 'cluster')}, such as that of {split['cluster'].iloc[0]}",
    )
    return []


def check_label_columns(store: Store, vocabulary: Vocabulary, problems: StoreProblems) -> None:
    """Check that a store of predictions or scores has one valid column per label.

    Parameters
    ----------
    store : Store
    vocabulary : Vocabulary
    problems : StoreProblems
        Problems are added to it.
    """
    is_scores = store.content == "scores"
    # Predictions may come without label names, scores may not.
    unnamed = store.vocabulary is None and not is_scores
    if not unnamed and list(store.vocabulary or []) != list(vocabulary):
        problems.add(OTHER_LABELS, store.path)
        return
    expected = [f"{store.name}__{label}" for label in range(len(vocabulary))]
    if store.columns != expected:
        problems.add(RENAMED, store.path)
        return
    values = store.values()
    bad = np.isinf(values) if is_scores and store.allow_nan else ~np.isfinite(values)
    if bad.any():
        problems.add(NOT_FINITE, store.path)


def check_numbers_of_members(numbers: Mapping[str, int]) -> None:
    """Check that the largest number of members is a multiple of all others.

    Only then every member of a store occurs in equally many tables.

    Parameters
    ----------
    numbers : dict of str to int
        Number of members of each store.

    Raises
    ------
    InputError
        If it is not; all stores at fault are named.
    """
    most = max(numbers, key=numbers.__getitem__, default="")
    others = [f"{name} ({number})" for name, number in numbers.items() if numbers[most] % number]
    if others:
        raise InputError(
            f"{most} has {numbers[most]} members, which is not a multiple of those of "
            f"{shorten(others, MAX_NAMED)}; make all with the same number of folds, ingest some "
            "again with only the mean of their test fields, or exclude some from the recipe"
        )


def command_to_remake(recipe: Mapping[str, Any], name: str) -> str:
    """Return the command that makes a store again from the catalogue; empty if there is none.

    Parameters
    ----------
    recipe : dict
        Of the store.
    name : str
        Of the store.

    Returns
    -------
    str
    """
    if recipe.get("type") in ("handcrafted", "embedding"):
        return f"extract {name}"
    if recipe.get("type") == "neighbours":
        # The recipe is untrusted input and may have any content.
        stores = recipe.get("stores")
        source = " ".join(map(str, stores)) if isinstance(stores, list) else "STORES"
        if "cnn" in recipe:
            source = f"--cnn {recipe['cnn']}"
        return f"neighbours {source} --name {recipe.get('name', name)}"
    return ""


def check_columns_in_common(
    paths: Sequence[Path], columns: Sequence[Sequence[str]], problems: StoreProblems
) -> None:
    """Check that no two stores share a column.

    Parameters
    ----------
    paths : sequence of path-like
    columns : sequence of sequence of str
        Columns of each store.
    problems : StoreProblems
        Problems are added to it.
    """
    store_of: dict[str, Path] = {}
    for path, own in zip(paths, columns):
        shared: dict[Path, list[str]] = {}
        for column in own:
            if column in store_of:
                shared.setdefault(store_of[column], []).append(column)
            else:
                store_of[column] = Path(path)
        if shared:
            details = [
                f"{counted(len(names), 'column')} of {other.name}, such as {names[0]}"
                for other, names in shared.items()
            ]
            problems.add(IN_COMMON, path, "; ".join(details))
