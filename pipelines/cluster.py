"""Find near-duplicates, group fields that belong together into clusters, and plan the folds."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.catalogue import catalogue_digest, training_fields
from hpastack.clusters import (
    PAIR_COLUMNS,
    DuplicateSettings,
    clusters_from_keys,
    hash_catalogue,
    label_disagreements,
    leaks,
    near_duplicates,
    read_assignment,
    read_duplicate_lists,
    unknown_ids,
    weakest_links,
)
from hpastack.errors import InputError, counted, shorten
from hpastack.files import atomic_write, publish_text, refuse_existing
from hpastack.folds import (
    FoldPlan,
    FoldReport,
    MultilabelStratifiedGroupKFold,
    audit_folds,
    fold_report,
    labels_digest,
    labels_missing_from_folds,
    make_fold_plan,
    read_fold_table,
    write_fold_plan,
)
from hpastack.labels import Vocabulary
from hpastack.recipes import read_recipe
from hpastack.report.console import clusters_text, folds_text
from hpastack.stack import gather_target_free
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import LEAST_FOLDS, add_options
from pipelines._output import report, show, warn, wrote

DEFAULT_GROUPS = ("well", "antibody")
# A cluster with a larger share of the fields makes folds uneven, and is rarely intended.
_GIANT_SHARE = 0.1
# Column of data/domains.csv, which can be used like a column of the catalogue.
_DOMAIN = "domain"
# Columns of a table of pairs that have the two ids.
_IDS = list(PAIR_COLUMNS[:2])


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "cluster",
        "Find near-duplicate fields in train and test, merge them with wells and antibodies into "
        "clusters, and plan cross-validation folds that never split a cluster.",
        "--group-by well antibody --balance cell_line=0.5 --n-splits 5",
        recipes=["duplicates"],
    )
    parser.add_argument(
        "recipe", nargs="?", default="duplicates", metavar="RECIPE",
        help="recipe that defines when two fields are near-duplicates (default: "
        "models/duplicates.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--group-by", nargs="*", default=None, metavar="COLUMN",
        help="columns of the catalogue, or domain: fields with the same value stay in one fold "
        "(default: well and antibody, if the catalogue has them)",
    )  # fmt: skip
    parser.add_argument(
        "--balance", nargs="+", type=_column_and_weight, default=[], metavar="COLUMN[=W]",
        help="columns of the catalogue, or domain, whose values are balanced over the folds like "
        "labels, each with the weight W relative to a label (default: 1)",
    )  # fmt: skip
    parser.add_argument("--n-splits", type=int, metavar="N", help="number of folds (default: 5)")
    add_options(parser, "--seed", seed=None)
    parser.add_argument(
        "--folds", type=Path, metavar="CSV",
        help="import the folds from this table (image_id or Id, and fold) instead of making them",
    )  # fmt: skip
    parser.add_argument(
        "--accept-split-clusters", action="store_true",
        help="accept the folds of --folds even if they split clusters; models trained on them are "
        "tested on near-duplicates of their training fields",
    )  # fmt: skip
    parser.add_argument(
        "--pairs", type=Path, action="append", default=[], metavar="FILE",
        help="known duplicates: two or more comma-separated ids per line, or a table with the "
        "columns image_id, twin, as data/pairs.csv; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--no-images", action="store_true",
        help="do not search images for near-duplicates; use only groups, --pairs and embeddings",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    plot = workspace.reports / "folds.png"
    tables = [workspace.clusters, workspace.pairs, workspace.leaks, workspace.disagreements]
    outputs = [*tables, workspace.split_clusters, workspace.folds, plot]
    for path in outputs:
        refuse_existing(path, args.overwrite)
    if args.accept_split_clusters and args.folds is None:
        raise InputError("--accept-split-clusters needs --folds CSV")
    weights = dict(args.balance)
    if len(weights) < len(args.balance):
        raise InputError("--balance: duplicate column")
    chosen = {"--balance": weights or None, "--n-splits": args.n_splits, "--seed": args.seed}
    for option, value in chosen.items():
        if args.folds is not None and value is not None:
            raise InputError(f"{option} has no effect on the folds of --folds; omit one of them")
    n_splits = 5 if args.n_splits is None else args.n_splits
    MultilabelStratifiedGroupKFold(
        n_splits, balance=weights
    )  # invalid values are an error before any work
    settings = _settings(args, workspace)
    catalogue = workspace.read_catalogue()
    train = training_fields(catalogue)
    for option, value in {**chosen, "--folds": args.folds}.items():
        if train.empty and value is not None:
            raise InputError(
                f"{workspace.catalogue}: no training fields, so there are no folds; omit "
                f"{option} (duplicates and clusters need no labels)"
            )
    vocabulary = workspace.vocabulary()
    indicator = vocabulary.indicator(train["target"], allow_empty=True)
    imported = None if args.folds is None else read_fold_table(args.folds, train.index)
    columns = _columns(catalogue, workspace, [*(args.group_by or []), *weights])
    grouped = [column for column in DEFAULT_GROUPS if column in columns]
    if args.group_by is not None:
        grouped = list(dict.fromkeys(args.group_by))
    embeddings = _embeddings(settings, workspace, catalogue)
    listed = [read_duplicate_lists(path) for path in args.pairs]
    for path, table in zip(args.pairs, listed):
        _warn_of_unknown(path, unknown_ids(table, catalogue.index, path))

    show(f"groups kept together: {', '.join(grouped) or 'none'}")
    found = _found_pairs(args, workspace, catalogue, settings, embeddings)
    pairs = _with_listed(found, pd.concat([found.iloc[:0], *_as_pairs(listed, catalogue)]))
    links = pd.concat([pairs, *(table.assign(evidence="listed") for table in listed)])
    links = links.drop_duplicates(_IDS, ignore_index=True)
    clusters = clusters_from_keys(catalogue.index, links, columns[grouped])
    # Fields of a plate or cell line have different labels, even if they are grouped by it.
    alike = [column for column in grouped if column in DEFAULT_GROUPS]
    labelled_alike = clusters
    if alike != grouped:
        labelled_alike = clusters_from_keys(catalogue.index, links, columns[alike])
    disagreements = label_disagreements(labelled_alike, catalogue)
    show(clusters_text(clusters, pairs, disagreements))
    _warn_of_giants(clusters, links, columns[grouped])
    plan: FoldPlan | None = None
    if imported is not None:
        plan = _imported_plan(args, imported, clusters, indicator)
    elif not train.empty:
        plan = make_fold_plan(
            train.index, indicator, clusters, n_splits, args.seed or 0,
            balance=columns[list(weights)] if weights else None, balance_weights=weights or None,
        )  # fmt: skip
    evenness = None if plan is None else _fold_report(plan, indicator, vocabulary)
    leaked = leaks(pairs, catalogue)
    n_leaked = leaked["image_id"].nunique()
    have = counted(n_leaked, "test field has", "test fields have")
    show(f"{have} a near-duplicate with known labels")

    # Files of an earlier run would belong to other clusters.
    for path in (*outputs, workspace.folds.with_suffix(".json")):
        path.unlink(missing_ok=True)
    written = (clusters.reset_index(), pairs, leaked, disagreements)
    for path, table in zip(tables, written):
        publish_text(path, table.to_csv(index=False, lineterminator="\n"))
    outcome = "no folds, as the catalogue has no training fields"
    if plan is not None and evenness is not None:
        split = plan.split_clusters
        if len(split):
            text = split.to_csv(index=False, lineterminator="\n")
            publish_text(workspace.split_clusters, text)
            tables.append(workspace.split_clusters)
        write_fold_plan(workspace.folds, plan)
        tables.append(workspace.folds)
        outcome = _write_plot(evenness, plot)
    names = ", ".join(path.name for path in tables)
    plots = [plot] if plot.is_file() else []
    wrote(f"wrote {names} to {workspace.data}; {outcome}", *tables, *plots)
    report(
        n_fields=len(catalogue), n_pairs=len(pairs), n_clusters=clusters.nunique(),
        n_folds=0 if plan is None else plan.n_folds,
        n_split_clusters=0 if plan is None else len(plan.split_clusters),
        n_test_fields_with_duplicate=n_leaked,
    )  # fmt: skip


def _column_and_weight(text: str) -> tuple[str, float]:
    column, _, weight = text.partition("=")
    try:
        return column, float(weight or 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN or COLUMN=WEIGHT") from None


def _settings(args: argparse.Namespace, workspace: Workspace) -> DuplicateSettings:
    recipe = read_recipe(args.recipe, workspace, folder="models", overrides=args.overrides)
    if not isinstance(recipe.settings, DuplicateSettings):
        raise InputError(f"{recipe.path} is not a recipe of type duplicates")
    return recipe.settings


def _columns(catalogue: pd.DataFrame, workspace: Workspace, wanted: list[str]) -> pd.DataFrame:
    """Return the columns that fields can be grouped and balanced by, including domains."""
    columns = catalogue
    if _DOMAIN in wanted and _DOMAIN not in catalogue.columns:
        place = workspace.require(workspace.domains, "hpastack domains STORE")
        domains = read_assignment(place, _DOMAIN)
        missing = catalogue.index.difference(domains.index)
        if len(missing):
            raise InputError(
                f"{place}: no domain for {counted(len(missing), 'field')}: {shorten(missing)}; run "
                "hpastack domains again"
            )
        columns = catalogue.assign(**{_DOMAIN: domains.loc[catalogue.index]})
    unknown = [column for column in wanted if column not in columns]
    if unknown:
        raise InputError(
            f"the catalogue has no column {unknown[0]!r}; it has {shorten(catalogue.columns, 20)} "
            "(put RECIPE before --group-by and --balance)"
        )
    return columns


def _embeddings(
    settings: DuplicateSettings, workspace: Workspace, catalogue: pd.DataFrame
) -> pd.DataFrame | None:
    if settings.embedding is None:
        return None
    return gather_target_free(
        [workspace.store(settings.embedding)], list(catalogue.index), workspace.vocabulary(),
        made_from=catalogue_digest(catalogue),
    ).table  # fmt: skip


def _found_pairs(
    args: argparse.Namespace,
    workspace: Workspace,
    catalogue: pd.DataFrame,
    settings: DuplicateSettings,
    embeddings: pd.DataFrame | None,
) -> pd.DataFrame:
    pictured = catalogue[catalogue["content"] != ""]
    hashes = None
    if args.no_images or pictured.empty:
        show("near-duplicates: no images searched")
    else:
        hashes = hash_catalogue(
            pictured, workspace.data / "hashes.h5", catalogue_digest(pictured), jobs=args.jobs
        )  # fmt: skip
    options = asdict(settings)
    del options["embedding"]
    pairs = near_duplicates(hashes, embeddings=embeddings, jobs=args.jobs, **options)
    return pairs.astype(object)


def _as_pairs(listed: list[pd.DataFrame], catalogue: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """Yield the listed pairs of fields of the catalogue, as rows of the table of pairs."""
    for table in listed:
        known = table[table.isin(set(catalogue.index)).all(axis=1)]
        # In the order of the catalogue, as in the pairs found in images.
        ids = known[_IDS].to_numpy(dtype=object)
        rows = catalogue.index.get_indexer(pd.Index(ids.ravel())).reshape(-1, 2)
        ids = np.where(rows[:, :1] > rows[:, 1:], ids[:, ::-1], ids)
        known = pd.DataFrame(ids, columns=_IDS)
        yield known.assign(evidence="listed").reindex(columns=list(PAIR_COLUMNS)).astype(object)


def _with_listed(found: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs found and those listed in one table without duplicates."""
    listed = listed.drop_duplicates(_IDS)
    keys = [pd.MultiIndex.from_frame(table[_IDS]) for table in (found, listed)]
    both = keys[0].isin(keys[1])
    found = found.assign(evidence=found["evidence"].where(~both, found["evidence"] + "+listed"))
    return pd.concat([found, listed[~keys[1].isin(keys[0])]], ignore_index=True)


def _warn_of_giants(clusters: pd.Series, links: pd.DataFrame, groups: pd.DataFrame) -> None:
    sizes = clusters.value_counts()
    for cluster, size in sizes[sizes > max(1, _GIANT_SHARE * len(clusters))].items():
        lines = [
            f"cluster {cluster} contains {size / len(clusters):.0%} of the fields; "
            "its weakest links:"
        ]
        weakest = weakest_links(clusters.index[clusters == cluster], links, groups)
        for link, n_split_off in zip(weakest.itertuples(), weakest["n_split_off"].tolist()):
            name = f"{link.link} {link.value}"
            if link.link == "pair":
                name = f"pair {link.image_id} {link.twin} (strength {link.strength:.2f})"
            split_off = counted(n_split_off, "field is", "fields are")
            lines.append(f"  {name}: without it, {split_off} split off")
        if weakest.empty:
            lines.append("  no single link splits it")
        warn("\n".join(lines))


def _fold_report(plan: FoldPlan, indicator: np.ndarray, vocabulary: Vocabulary) -> FoldReport:
    """Print how balanced the folds are, and warn of labels that are missing from some."""
    if plan.n_folds < LEAST_FOLDS:
        warn(f"only {plan.n_folds} folds; a stack needs at least three (--n-splits 3)")
    own, fold = (plan.frame[name].to_numpy() for name in ("cluster", "fold"))
    for warning in labels_missing_from_folds(indicator, own, plan.n_folds, vocabulary.names):
        warn(warning)
    evenness = fold_report(indicator, fold, groups=own, names=vocabulary.names)
    show(folds_text(evenness, fold))
    return evenness


def _warn_of_unknown(path: Path, unknown: pd.Series) -> None:
    if unknown.empty:
        return
    show(
        f"{path}: {counted(len(unknown), 'id is', 'ids are')} not in the catalogue: "
        f"{shorten(unknown.index)}"
    )
    joined = unknown[unknown > 1]
    if len(joined):
        named = shorten(f"{name} ({count})" for name, count in joined.items())
        warn(
            f"{path}: ids that are not in the catalogue link fields that are (number of "
            f"fields in brackets): {named}; remove these lines if the fields do not show the same "
            "cells"
        )


def _write_plot(evenness: FoldReport, path: Path) -> str:
    try:
        figure = evenness.plot()
    except InputError as error:
        return f"no plot of the folds: {error}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return f"plotted them in {path}"


def _imported_plan(
    args: argparse.Namespace, fold: pd.Series, clusters: pd.Series, indicator: np.ndarray
) -> FoldPlan:
    split = audit_folds(fold, clusters)
    if len(split) and not args.accept_split_clusters:
        raise InputError(
            f"{args.folds}: splits {counted(len(split), 'cluster')}: {shorten(split['cluster'])}; "
            "make folds "
            "without --folds, or pass --accept-split-clusters"
        )
    if len(split):
        warn(
            f"{args.folds} splits {counted(len(split), 'cluster')} of {split['n_fields'].sum()} "
            "fields (data/split_clusters.csv); scores on these folds are too optimistic"
        )
    record: dict[str, object] = {
        "algorithm_version": None,
        "balance": {},
        "imported_from": str(args.folds),
        "labels": labels_digest(fold.index, indicator),
        "n_split_clusters": len(split),
        "seed": None,
    }
    frame = pd.DataFrame({"cluster": clusters.loc[fold.index], "fold": fold})
    return FoldPlan(frame, record)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
