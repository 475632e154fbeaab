"""Choose and gather the stores of a stack; none may have used the labels it is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.folds import FoldPlan
from hpastack.labels import Vocabulary
from hpastack.stack.store_checks import (
    NOT_FINITE,
    SEEN_LABELS,
    UNREADABLE,
    StoreProblems,
    check_columns_in_common,
    check_label_columns,
    check_numbers_of_members,
    check_plan,
    command_to_remake,
)
from hpastack.store import PREDICTIONS, Store, open_store

#: Value of `accept` for the fold plans of all stores.
ALL = "all"


class MemberValues(NamedTuple):
    """Predictions of the members of one store for the requested test fields."""

    rows: np.ndarray  # (n_rows,) positions in the table, ascending
    columns: list[str]
    values: np.ndarray  # (n_members, n_rows, n_columns) float32


@dataclass(frozen=True)
class GatheredStores:
    """The columns of a stack, and their stores.

    If stores keep the predictions of each model (member) for test fields,
    `member_table` returns the columns of one member at a time; there are
    `n_members` of them.

    Parameters
    ----------
    table : DataFrame
        One row per requested field, the columns of all stores side by side.
    cnns : list of str
        Stores of predictions.
    logits : list of str
        Those of them with logits.
    stores : dict
        Metadata of each store: kind, content, recipe, made_from, fold_plan,
        n_members.
    notes : list of str
        Caveats for the reader of a score, such as an accepted fold plan.
    scores : list of str
        Stores of scores: one column per label, but not predictions.
    embeddings : list of str
        Stores of embeddings: features made by a recipe of that type.
    members : dict of str to MemberValues
        For each store with members, those of its requested test fields.
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
        """Number of tables that `member_table` can return; 0 without members."""
        return max((len(of_store.values) for of_store in self.members.values()), default=0)

    def member_table(self, member: int) -> pd.DataFrame:
        """Return the columns as predicted by one member of each store.

        The table is created at each call, so that only one copy of the features
        of the test fields has to be in memory.

        Parameters
        ----------
        member : int
            From 0 to ``n_members - 1``. The members of a store with fewer
            are repeated from the first.

        Returns
        -------
        DataFrame
            The columns of `table`; the rows that are test fields (fold -1)
            of a store with members, in the order of `table`. If a store has no
            members for a field, its values are the same in every table.

        Raises
        ------
        IndexError
            If the member does not exist.
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
    """Return the stores of a folder that a stack uses.

    Parameters
    ----------
    folder : path-like
        With ``NAME.h5`` for each store.
    cnns : sequence of str or "auto", default="auto"
        Names of the stores of predictions; ``"auto"``: all in the folder.
    features : sequence of str or "auto", default="auto"
        Names of the other stores; ``"auto"``: all in the folder.

    Returns
    -------
    list of Path
        Predictions first. Named stores need not exist.

    Raises
    ------
    InputError
        If there are none, or files of the folder are not stores.
    """
    predictions: list[Path] = []
    others: list[Path] = []
    problems = StoreProblems()
    for path in sorted(Path(folder).glob("*.h5")):
        try:
            with open_store(path) as store:
                (predictions if store.content in PREDICTIONS else others).append(path)
        except InputError as error:
            problems.add(UNREADABLE, path, str(error))
    problems.raise_if_any()
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
        Fields that every store must cover, in the order of the result.
    vocabulary : Vocabulary
        Label names that stores of predictions must have.
    made_from : str, optional
        Digest of the catalogue: a store extracted from fields is rejected if
        they have changed since.
    plan : FoldPlan, optional
        The folds that the stack is trained on; out-of-fold stores are checked
        against it. Omit it to apply a fitted stack.
    accept : sequence of str
        Names of out-of-fold stores to use even if their fold plan is unknown or
        splits clusters; ``"all"``: any. Other stores in the folders of `paths`
        may be named too.

    Returns
    -------
    GatheredStores

    Raises
    ------
    InputError
        If a store is in-sample, its fold plan is unknown or splits clusters
        and it is not accepted, it does not cover the fields, has other
        labels, is out of date, or shares a column with another; if `accept`
        names something that is not a store; or if two stores have numbers of
        members that do not match: the largest must be a multiple of all. One
        message names all stores at fault, by kind of problem.
    """
    names = [Path(path).name.removesuffix(".h5") for path in paths]
    # A store that another stack uses may be named; a name that is not a store is a misspelling.
    known = {path.name.removesuffix(".h5") for of in paths for path in Path(of).parent.glob("*.h5")}
    unknown = [name for name in accept if name not in {*names, *known, ALL}]
    if unknown:
        raise InputError(
            f"accept_fold_plans: not a store: {shorten(unknown)}; the stores are "
            f"{shorten(sorted(known), 20)}",
            "accept",
        )
    if not len(paths):
        raise InputError("a stack needs at least one store of predictions or features")
    frames: list[pd.DataFrame] = []
    inputs = GatheredStores(pd.DataFrame(), [], [], {})
    problems = StoreProblems()
    for path, name in zip(paths, names):
        try:
            with open_store(path) as store:
                is_accepted = name in accept or ALL in accept
                if plan is not None:
                    inputs.notes.extend(check_plan(store, plan, problems, accepted=is_accepted))
                    inputs.notes.extend(_note_on_threshold(store))
                command = command_to_remake(store.recipe, name)
                if command and made_from is not None and store.made_from != made_from:
                    problems.add_out_of_date(path, command)
                    continue  # it may lack fields, with the same remedy
                frames.append(_gather(store, name, image_ids, vocabulary, inputs, problems))
        except InputError as error:
            problems.add(UNREADABLE, path, str(error))
    problems.raise_if_any()
    check_columns_in_common(paths, [frame.columns.tolist() for frame in frames], problems)
    problems.raise_if_any()
    check_numbers_of_members({name: len(of.values) for name, of in inputs.members.items()})
    return replace(inputs, table=pd.concat(frames, axis=1))


def _gather(
    store: Store,
    name: str,
    image_ids: Sequence[str],
    vocabulary: Vocabulary,
    inputs: GatheredStores,
    problems: StoreProblems,
) -> pd.DataFrame:
    """Return the columns of a store, and add what else it has to the gathered stores."""
    frame = store.to_frame(image_ids)
    if store.content != "features":
        check_label_columns(store, vocabulary, problems)
        (inputs.scores if store.content == "scores" else inputs.cnns).append(name)
        if store.content == "logits":
            inputs.logits.append(name)
    elif store.recipe.get("type") == "embedding":
        inputs.embeddings.append(name)
    members = _members_of(store, frame.index, problems)
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
    return frame


def gather_target_free(
    paths: Sequence[Path],
    image_ids: Sequence[str],
    vocabulary: Vocabulary,
    *,
    made_from: str,
) -> GatheredStores:
    """Read stores for the comparison of train and test, which must not have used labels.

    Parameters
    ----------
    paths, image_ids, vocabulary, made_from
        As in `gather_stores`.

    Returns
    -------
    GatheredStores

    Raises
    ------
    InputError
        If a store has used labels or contains predictions, and as in `gather_stores`.
    """
    inputs = gather_stores(paths, image_ids, vocabulary, made_from=made_from)
    problems = StoreProblems()
    for path, store in zip(paths, inputs.stores.values()):
        if store["content"] != "features" or store["kind"] != "target_free":
            problems.add(SEEN_LABELS, path, f"{store['content']} of kind {store['kind']}")
    problems.raise_if_any()
    return inputs


def _note_on_threshold(store: Store) -> list[str]:
    threshold = store.recipe.get("threshold") if store.recipe.get("type") == "ingest" else None
    if threshold is None:
        return []
    how = f"all values of at least {threshold}"
    if threshold == "prevalence":
        how = "the largest values of test fields, in the share of training fields that have it"
    return [f"{store.name}: label sets; each label stands for {how} (ingest --threshold)"]


def _members_of(store: Store, image_ids: pd.Index, problems: StoreProblems) -> MemberValues | None:
    """Read the predictions of the members of a store for the test fields among the fields."""
    members = store.members()
    if members is None or store.fold is None:
        return None
    if not np.isfinite(members).all():
        problems.add(NOT_FINITE, store.path, "members")
        return None
    own_rows = pd.Index(store.image_ids).get_indexer(image_ids)
    is_test = store.fold == -1
    rows = np.flatnonzero(is_test[own_rows])
    if not len(rows):
        return None
    place = np.cumsum(is_test) - 1  # of a test field among the test fields
    return MemberValues(rows, store.columns, members[:, place[own_rows[rows]]])
