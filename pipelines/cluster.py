"""Find near-duplicates, put fields that belong together into clusters, and plan the folds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from hpastack.catalogue import catalogue_digest, publish_text, read_catalogue
from hpastack.channels import STAINS
from hpastack.clusters import clusters_from_keys, leaks, read_duplicate_lists
from hpastack.duplicates import PAIR_COLUMNS, hash_catalogue, near_duplicates
from hpastack.errors import InputError, shorten
from hpastack.folds import (
    FoldPlan,
    MultilabelStratifiedGroupKFold,
    audit_folds,
    fold_report,
    labels_digest,
    labels_missing_from_folds,
    make_fold_plan,
    read_fold_table,
    write_fold_plan,
)
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command

DEFAULT_GROUPS = ("well", "antibody")
# A cluster with more of the fields than this makes folds uneven, and is rarely meant.
_GIANT_SHARE = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status.
    """
    parser = command_parser(
        "cluster",
        "Find near-duplicate fields in train and test, join them with wells and antibodies into "
        "clusters, and plan folds that never split a cluster.",
        "python -m pipelines.cluster --group-by well antibody --n-splits 5",
    )
    parser.add_argument(
        "--group-by", nargs="*", default=None, metavar="COLUMN",
        help="columns of the catalogue whose fields stay together "
        "(default: well and antibody where the catalogue has them)",
    )  # fmt: skip
    parser.add_argument("--n-splits", type=int, default=5, metavar="N", help="folds (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="settles ties (default: 0)")
    parser.add_argument(
        "--folds", type=Path, metavar="CSV",
        help="take the folds of this table (image_id or Id, and fold) instead of making them",
    )  # fmt: skip
    parser.add_argument(
        "--accept-split-clusters", action="store_true",
        help="take the folds of --folds even where they split a cluster; what is trained on them "
        "sees twins of the fields it is tested on",
    )  # fmt: skip
    parser.add_argument(
        "--pairs", type=Path, action="append", default=[], metavar="FILE",
        help="known duplicates: on each line two or more ids separated by commas "
        "(may be given several times)",
    )  # fmt: skip
    parser.add_argument(
        "--no-images", action="store_true", help="look at no image: groups and --pairs only"
    )
    parser.add_argument(
        "--no-shifts", action="store_true", help="look for duplicates in place only, not shifted"
    )
    parser.add_argument(
        "--max-distance", type=int, default=48, metavar="BITS",
        help="most bits of 256 in which the hashes of a stain may differ (default: 48)",
    )  # fmt: skip
    parser.add_argument(
        "--min-correlation", type=float, default=0.92, metavar="R",
        help="least correlation of the overlap of a shifted copy (default: 0.92)",
    )  # fmt: skip
    parser.add_argument(
        "--min-stains", type=int, default=3, metavar="N",
        help="stains that must agree (default: 3)",
    )  # fmt: skip
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    outputs = [workspace.clusters, workspace.data / "pairs.csv", workspace.leaks, workspace.folds]
    if not args.overwrite:
        for path in outputs:
            if path.exists():
                raise InputError(f"{path} exists; give --overwrite to replace it")
    if args.accept_split_clusters and args.folds is None:
        raise InputError("--accept-split-clusters goes with --folds CSV")
    MultilabelStratifiedGroupKFold(args.n_splits)  # refuses a bad number before any work
    catalogue = read_catalogue(
        workspace.require(workspace.catalogue, "python -m pipelines.prepare IMAGES")
    )
    train = catalogue[catalogue["split"] == "train"]
    if train.empty:
        raise InputError(f"{workspace.catalogue}: no training fields, so there is nothing to fold")
    vocabulary = workspace.vocabulary()
    indicator = vocabulary.indicator(train["target"], allow_empty=True)
    imported = None if args.folds is None else read_fold_table(args.folds, train.index)
    columns = _group_columns(catalogue, args.group_by)
    listed = [read_duplicate_lists(path) for path in args.pairs]
    for path, table in zip(args.pairs, listed):
        if not table.isin(set(catalogue.index)).any(axis=None):
            raise InputError(f"{path}: holds no id of the catalogue")

    print(f"groups kept together: {', '.join(columns) or 'none'}")
    pairs = pd.concat([_found_pairs(args, workspace, catalogue), *_as_pairs(listed, catalogue)])
    pairs = pairs.drop_duplicates(["image_id", "twin"], ignore_index=True)
    links = pd.concat([pairs[["image_id", "twin"]], *listed], ignore_index=True)
    clusters = clusters_from_keys(catalogue.index, links, catalogue[columns])
    _print_clusters(clusters, pairs)
    if imported is None:
        plan = make_fold_plan(train.index, indicator, clusters, args.n_splits, args.seed)
    else:
        plan = _imported_plan(args, imported, clusters, indicator)
    own = plan.frame["cluster"].to_numpy()
    for warning in labels_missing_from_folds(indicator, own, plan.n_folds, vocabulary.names):
        print(f"warning: {warning}", file=sys.stderr)
    report = fold_report(indicator, plan.frame["fold"].to_numpy())
    sizes = np.bincount(plan.frame["fold"])
    print(
        f"{plan.n_folds} folds of {sizes.min()} to {sizes.max()} fields; positives of a label "
        f"differ from an equal share by {report['relative_deviation'].mean():.1%} on average"
    )
    twins = leaks(pairs, catalogue)
    for path, text in zip(outputs, (_csv(clusters.reset_index()), _csv(pairs), _csv(twins))):
        publish_text(path, text)
    write_fold_plan(workspace.folds, plan)
    print(f"wrote {', '.join(path.name for path in outputs)} to {workspace.data}")


def _group_columns(catalogue: pd.DataFrame, wanted: list[str] | None) -> list[str]:
    if wanted is None:
        return [column for column in DEFAULT_GROUPS if column in catalogue.columns]
    unknown = [column for column in wanted if column not in catalogue.columns]
    if unknown:
        raise InputError(
            f"--group-by: the catalogue has no column {unknown[0]!r}; "
            f"it has {shorten(catalogue.columns, 20)}"
        )
    return list(dict.fromkeys(wanted))


def _found_pairs(
    args: argparse.Namespace, workspace: Workspace, catalogue: pd.DataFrame
) -> pd.DataFrame:
    pictured = catalogue[(catalogue[list(STAINS)] != "").all(axis=1)]
    if args.no_images or pictured.empty:
        print("near-duplicates: no image looked at")
        return pd.DataFrame(columns=list(PAIR_COLUMNS), dtype=object)
    hashes = hash_catalogue(
        pictured, workspace.data / "hashes.h5", catalogue_digest(pictured), threads=args.jobs,
        progress=partial(tqdm, desc="hash", unit="field", delay=1),
    )  # fmt: skip
    return near_duplicates(
        hashes, max_distance=args.max_distance, min_stains=args.min_stains,
        shifted=not args.no_shifts, min_correlation=args.min_correlation,
        progress=partial(tqdm, desc="confirm", unit="pair", delay=1),
    ).astype(object)  # fmt: skip


def _as_pairs(listed: list[pd.DataFrame], catalogue: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """Keep what is known of fields of the catalogue, as rows of the table of pairs."""
    for table in listed:
        known = table[table.isin(set(catalogue.index)).all(axis=1)]
        # The earlier field of the catalogue first, as in the pairs found by looking.
        ids = known[["image_id", "twin"]].to_numpy(dtype=object)
        rows = catalogue.index.get_indexer(pd.Index(ids.ravel())).reshape(-1, 2)
        ids = np.where(rows[:, :1] > rows[:, 1:], ids[:, ::-1], ids)
        known = pd.DataFrame(ids, columns=["image_id", "twin"])
        yield known.assign(evidence="listed").reindex(columns=list(PAIR_COLUMNS)).astype(object)


def _print_clusters(clusters: pd.Series, pairs: pd.DataFrame) -> None:
    sizes = clusters.value_counts()
    print(
        f"{len(pairs)} pairs of near-duplicates; {len(sizes)} clusters of {len(clusters)} fields, "
        f"the largest ({sizes.index[0]}) with {sizes.iloc[0]}"
    )
    if sizes.iloc[0] > _GIANT_SHARE * len(clusters):
        print(
            f"warning: cluster {sizes.index[0]} holds {sizes.iloc[0] / len(clusters):.0%} of the "
            "fields; look at what joins them (data/pairs.csv, --group-by, --max-distance)",
            file=sys.stderr,
        )


def _imported_plan(
    args: argparse.Namespace, fold: pd.Series, clusters: pd.Series, indicator: np.ndarray
) -> FoldPlan:
    split = audit_folds(fold, clusters)
    if len(split) and not args.accept_split_clusters:
        raise InputError(
            f"{args.folds}: splits {len(split)} clusters: {shorten(split['cluster'])}; make folds "
            "without --folds, or give --accept-split-clusters"
        )
    for row in split.itertuples():
        print(f"split: cluster {row.cluster} of {row.n_fields} fields lies in folds {row.folds}")
    if len(split):
        print(
            f"warning: {args.folds} splits {len(split)} clusters; scores on these folds are too "
            "good",
            file=sys.stderr,
        )
    record = {
        "algorithm_version": None,
        "imported_from": str(args.folds),
        "labels": labels_digest(fold.index, indicator),
        "n_split_clusters": len(split),
        "seed": None,
    }
    frame = pd.DataFrame({"cluster": clusters.loc[fold.index], "fold": fold})
    return FoldPlan(frame, record)


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


if __name__ == "__main__":
    sys.exit(main())
