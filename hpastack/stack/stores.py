"""Choose and gather stores for a stack; none may have seen the labels it is tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.folds import FoldPlan, audit_folds, fold_digest
from hpastack.labels import Vocabulary
from hpastack.store import PREDICTIONS, Store, open_store

#: Accepts the fold plans of all stores.
ALL = "all"


class MemberValues(NamedTuple):
    """What the members of one store predict for the test fields asked for."""

    rows: np.ndarray  # (n_rows,) positions in the table, ascending
    columns: list[str]
    values: np.ndarray  # (n_members, n_rows, n_columns) float32


@dataclass(frozen=True)
class GatheredStores:
    """The columns of a stack, and where they come from.

    Where stores keep what each model (member) predicts for test fields,
    `member_table` gives the columns of one member at a time; there are
    `n_members` of them.

    Parameters
    ----------
    table : DataFrame
        One row a field asked for, the columns of all stores side by side.
    cnns : list of str
        Stores that hold predictions.
    logits : list of str
        Those of them that hold logits.
    stores : dict
        Per store what it is: kind, content, recipe, made_from, fold_plan,
        n_members.
    notes : list of str
        What a reader of the score must know, such as an accepted fold plan.
    scores : list of str
        Stores that hold scores: a column a label, but no predictions.
    embeddings : list of str
        Stores that hold embeddings: features made by a recipe of that type.
    members : dict of str to MemberValues
        Per store with members, those of its test fields that were asked for.
    """

    table: pd.DataFrame
    cnns: list[str]
    logits: list[str]
    stores: dict[str, dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    scores: list[str] = field(default_factory=list)
    embeddings: list[str] = field(default_factory=list)
    members: dict[str, MemberValues] = field(default_factory=dict)

    @property
    def n_members(self) -> int:
        """Number of tables that `member_table` gives; 0 without members."""
        return max((len(of_store.values) for of_store in self.members.values()), default=0)

    def member_table(self, member: int) -> pd.DataFrame:
        """Return the columns as one member of each store predicts them.

        The table is made anew at each call, so that only one copy of the
        features of the test fields need be held.

        Parameters
        ----------
        member : int
            From 0 to ``n_members - 1``. A store with fewer members gives
            them again from its first on.

        Returns
        -------
        DataFrame
            The columns of `table`; its rows that are test fields (fold -1)
            of a store with members, in their order. Where a store has no
            members of a field it has the same values in every table.

        Raises
        ------
        IndexError
            If there is no such member.
        """
        if not 0 <= member < self.n_members:
            raise IndexError(f"member {member} of {self.n_members}")
        rows = np.unique(np.concatenate([m.rows for m in self.members.values()]))
        table = self.table.iloc[rows].copy()
        for of_store in self.members.values():
            values = table[of_store.columns].to_numpy(copy=True)
            places = np.searchsorted(rows, of_store.rows)
            values[places] = of_store.values[member % len(of_store.values)]
            table[of_store.columns] = values
        return table


def choose_stores(
    folder: str | PathLike[str],
    *,
    cnns: Sequence[str] | Literal["auto"] = "auto",
    features: Sequence[str] | Literal["auto"] = "auto",
) -> list[Path]:
    """Return the stores of a folder that a stack is made from.

    Parameters
    ----------
    folder : path-like
        Holds ``NAME.h5`` for each store.
    cnns : sequence of str or "auto", default="auto"
        Names of the stores of predictions; every one of the folder.
    features : sequence of str or "auto", default="auto"
        Names of the other stores; every one of the folder.

    Returns
    -------
    list of Path
        Predictions first. Stores that are named need not exist.

    Raises
    ------
    InputError
        If there is none, or a file of the folder is not a store.
    """
    predictions: list[Path] = []
    others: list[Path] = []
    for path in sorted(Path(folder).glob("*.h5")):
        with open_store(path) as store:
            (predictions if store.content in PREDICTIONS else others).append(path)
    chosen: list[Path] = []
    for names, of_folder in ((cnns, predictions), (features, others)):
        if names == "auto":
            chosen += of_folder
        else:
            chosen += [Path(folder) / f"{name.removesuffix('.h5')}.h5" for name in names]
    if not chosen:
        raise InputError(f"no stores in {folder}; make some with extract, finetune or ingest")
    return chosen


def gather_stores(
    paths: Sequence[Path],
    image_ids: Sequence[str],
    vocabulary: Vocabulary,
    *,
    made_from: str | None = None,
    plan: FoldPlan | None = None,
    accept: Sequence[str] = (),
) -> GatheredStores:
    """Read stores side by side, rows by id.

    Parameters
    ----------
    paths : sequence of path-like
        The stores.
    image_ids : sequence of str
        Fields that every store must cover, in the order wanted.
    vocabulary : Vocabulary
        Label names that predictions must be of.
    made_from : str, optional
        Digest of the catalogue: a store extracted from fields is refused if
        they have changed since.
    plan : FoldPlan, optional
        The folds the stack is trained on; out-of-fold stores are checked
        against it. Left out where a fitted stack is only applied.
    accept : sequence of str
        Names of out-of-fold stores whose fold plan is unknown or splits
        clusters, and that are to be used all the same; ``"all"``: any. Stores
        beside `paths` may be named too.

    Returns
    -------
    GatheredStores

    Raises
    ------
    InputError
        If a store is in-sample, its fold plan is unknown or splits clusters
        and it is not accepted, it does not cover the fields, holds other
        labels, is out of date, or shares a column with another; if `accept`
        names what is no store; or if two stores have numbers of members
        that do not go together: the largest must be a multiple of all.
    """
    names = [Path(path).name.removesuffix(".h5") for path in paths]
    # Of several stacks one may use what another does not; but what is no store is misspelt.
    known = {path.name.removesuffix(".h5") for of in paths for path in Path(of).parent.glob("*.h5")}
    strange = [name for name in accept if name not in {*names, *known, ALL}]
    if strange:
        raise InputError(
            f"accept_fold_plans names {shorten(strange)}, which is no store; there are "
            f"{shorten(sorted(known), 20)}"
        )
    frames: list[pd.DataFrame] = []
    inputs = GatheredStores(pd.DataFrame(), [], [], {})
    for path, name in zip(paths, names):
        with open_store(path) as store:
            if plan is not None:
                note = _checked_against_plan(store, plan, accepted=name in accept or ALL in accept)
                inputs.notes.extend([note] if note else [])
                inputs.notes.extend(_note_on_threshold(store))
            frame = store.to_frame(image_ids)
            maker = _remaker(store.recipe, name)
            if maker and made_from is not None and store.made_from != made_from:
                raise InputError(
                    f"{path} was made from other fields than the catalogue lists now; run: "
                    f"python -m pipelines.{maker} --overwrite"
                )
            if store.content != "features":
                _check_label_columns(store, vocabulary)
                (inputs.scores if store.content == "scores" else inputs.cnns).append(name)
                if store.content == "logits":
                    inputs.logits.append(name)
            elif store.recipe.get("type") == "embedding":
                inputs.embeddings.append(name)
            members = _members_of(store, frame.index)
            if members is not None:
                inputs.members[name] = members
            inputs.stores[name] = {
                "kind": store.kind,
                "content": store.content,
                "recipe": store.recipe,
                "made_from": store.made_from,
                "fold_plan": store.fold_plan,
                "n_members": store.n_members,
            }
        for other_path, other in zip(paths, frames):
            shared = frame.columns.intersection(other.columns)
            if len(shared):
                raise InputError(
                    f"{path} and {other_path} have {counted(len(shared), 'column')} in common, "
                    "such as "
                    f"{shared[0]}; name the stores to take, as in --set features=[{path.stem}], "
                    "or move one away"
                )
        frames.append(frame)
    if not frames:
        raise InputError("a stack needs at least one store of predictions or features")
    _check_numbers_of_members(inputs.members)
    return replace(inputs, table=pd.concat(frames, axis=1))


def gather_target_free(
    paths: Sequence[Path],
    image_ids: Sequence[str],
    vocabulary: Vocabulary,
    *,
    made_from: str,
) -> GatheredStores:
    """Read stores to compare fields by, which must treat train and test alike.

    Parameters
    ----------
    paths, image_ids, vocabulary, made_from
        As `gather_stores`.

    Returns
    -------
    GatheredStores

    Raises
    ------
    InputError
        If a store has seen labels or holds predictions, and as `gather_stores`.
    """
    inputs = gather_stores(paths, image_ids, vocabulary, made_from=made_from)
    for path, store in zip(paths, inputs.stores.values()):
        if store["content"] != "features" or store["kind"] != "target_free":
            raise InputError(
                f"{path} has seen labels (it holds {store['content']} of kind {store['kind']}), so "
                "that training fields would be told from test fields by that alone; name stores "
                "of target-free features"
            )
    return inputs


def _remaker(recipe: Mapping[str, Any], name: str) -> str:
    """Return the command that makes a store again from the catalogue; empty if there is none."""
    if recipe.get("type") in ("handcrafted", "embedding"):
        return f"extract {name}"
    if recipe.get("type") == "neighbours":
        # From a stranger it may hold anything.
        stores = recipe.get("stores")
        seen_by = " ".join(map(str, stores)) if isinstance(stores, list) else "STORES"
        if "cnn" in recipe:
            seen_by = f"--cnn {recipe['cnn']}"
        return f"neighbours {seen_by} --name {recipe.get('name', name)}"
    return ""


def _checked_against_plan(store: Store, plan: FoldPlan, *, accepted: bool) -> str:
    if store.kind == "target_free":
        return ""
    if store.kind == "in_sample":
        raise InputError(
            f"{store.path} is in-sample: it has seen the labels it would be tested on; make it "
            "out of fold, or leave it out of the recipe"
        )
    clusters = plan.frame["cluster"]
    remedy = f"accept it with --accept {store.name} if you must"
    if store.fold is None:
        if accepted:
            return f"{store.name}: out of fold by an unknown plan, accepted; scores may be too good"
        raise InputError(
            f"{store.path}: its fold plan is unknown; ingest it with --folds, or {remedy}"
        )
    fold = pd.Series(store.fold, index=store.image_ids)
    known = fold[fold >= 0]
    if store.fold_plan != fold_digest(known.index, known):
        raise InputError(f"{store.path}: its folds do not fit their digest; make it again")
    if store.fold_plan == plan.digest:
        return ""
    missing = clusters.index.difference(known.index)
    if len(missing):
        raise InputError(
            f"{store.path}: {counted(len(missing), 'training field has', 'training fields have')} "
            f"no fold: {shorten(missing)}; "
            "make it again with this workspace's folds"
        )
    split = audit_folds(known.loc[clusters.index], clusters)
    if not len(split):
        return f"{store.name}: out of fold by a plan of its own, which keeps clusters whole"
    if accepted:
        return (
            f"{store.name}: its fold plan splits {counted(len(split), 'cluster')} "
            f"({counted(int(split['n_fields'].sum()), 'field')}), accepted; scores may be too good"
        )
    raise InputError(
        f"{store.path}: its fold plan splits {counted(len(split), 'cluster')}, such as that of "
        f"{split['cluster'].iloc[0]}; {remedy}"
    )


def _note_on_threshold(store: Store) -> list[str]:
    threshold = store.recipe.get("threshold") if store.recipe.get("type") == "ingest" else None
    if threshold is None:
        return []
    how = f"all values of at least {threshold}"
    if threshold == "prevalence":
        how = "the largest values of test fields, in the share of training fields that have it"
    return [f"{store.name}: label sets; each label stands for {how} (ingest --threshold)"]


def _check_label_columns(store: Store, vocabulary: Vocabulary) -> None:
    is_scores = store.content == "scores"
    what, verb = ("scores", "scores") if is_scores else ("predictions", "predicts")
    # Predictions may come without label names, scores may not.
    unnamed = store.vocabulary is None and not is_scores
    if not unnamed and list(store.vocabulary or []) != list(vocabulary):
        raise InputError(f"{store.path} {verb} other labels than this workspace's vocabulary")
    wanted = [f"{store.name}__{label}" for label in range(len(vocabulary))]
    if store.columns != wanted:
        raise InputError(
            f"{store.path}: its columns are not {wanted[0]} ... {wanted[-1]}; a store of "
            f"{what} keeps the name it was made under"
        )
    values = store.values()
    bad = np.isinf(values) if is_scores and store.allow_nan else ~np.isfinite(values)
    if bad.any():
        raise InputError(f"{store.path}: {what} that are not finite; make it again")


def _members_of(store: Store, image_ids: pd.Index) -> MemberValues | None:
    """Read what the members of a store predict for those of the fields that are test fields."""
    members = store.members()
    if members is None or store.fold is None:
        return None
    if not np.isfinite(members).all():
        raise InputError(f"{store.path}: members that are not finite; make it again")
    own_rows = pd.Index(store.image_ids).get_indexer(image_ids)
    is_test = store.fold == -1
    rows = np.flatnonzero(is_test[own_rows])
    if not len(rows):
        return None
    place = np.cumsum(is_test) - 1  # of a test field among the test fields
    return MemberValues(rows, store.columns, members[:, place[own_rows[rows]]])


def _check_numbers_of_members(members: dict[str, MemberValues]) -> None:
    numbers = {name: len(of_store.values) for name, of_store in members.items()}
    most = max(numbers, key=numbers.__getitem__, default="")
    for name, number in numbers.items():
        # Only so does every member of the store stand in equally many tables.
        if numbers[most] % number:
            raise InputError(
                f"{name} has {number} members and {most} has {numbers[most]}, which is no "
                "multiple; make both with the same number of folds, bring one in again with the "
                "mean of its test fields alone, or leave one out of the recipe"
            )
