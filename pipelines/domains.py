"""Cluster fields of similar appearance into domains, and measure how train and test differ."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.catalogue import catalogue_digest, training_fields
from hpastack.errors import InputError, counted, shorten
from hpastack.files import atomic_write, package_versions, publish_text, refuse_existing
from hpastack.files.text_table import text_table
from hpastack.similarity import (
    AdversarialCheck,
    adversarial_check,
    domain_agreement,
    domain_folds,
    domains_of_components,
    field_components,
    reference_columns,
)
from hpastack.stack import gather_target_free
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options
from pipelines._output import note, report, show, table_width, wrote

# Columns of the catalogue that domains are compared with, if it has them.
_COMPARED = ("cell_line", "source")
# Number of columns that are printed; the file has all.
_SHOWN_COLUMNS = 8


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "domains",
        "Cluster the fields of train and test into domains of similar appearance (such as cell "
        "lines), and measure how well, and by which features, a classifier separates train from "
        "test.",
        "intensity texture --n-domains auto",
    )
    parser.add_argument("stores", nargs="+", metavar="STORE",
                        help="target-free features: names of stores in features/")  # fmt: skip
    parser.add_argument("--n-domains", type=_number, default=8, metavar="N|auto",
                        help="number of domains; auto chooses 2 to 16 (default: 8)")  # fmt: skip
    parser.add_argument(
        "--columns", nargs="+", metavar="WHICH",
        help="features to use: reference (of red, blue and yellow), all, or names with * and ? "
        "(default: reference if columns are named by their stain, else all)",
    )  # fmt: skip
    parser.add_argument("--compare", nargs="*", metavar="COLUMN",
                        help="columns of the catalogue to compare the domains with "
                        "(default: cell_line and source, if they vary)")  # fmt: skip
    parser.add_argument("--leave-one-out", action="store_true",
                        help="also write folds that each hold one domain out, for "
                        "hpastack cluster --folds")  # fmt: skip
    add_options(parser, "--seed")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    record_path, plot = workspace.domains.with_suffix(".json"), workspace.reports / "domains.png"
    tables = [
        workspace.domains, workspace.domain_map, workspace.adversarial_columns,
        workspace.domain_folds,
    ]  # fmt: skip
    outputs = [*tables, record_path, plot]
    for path in outputs:
        refuse_existing(path, args.overwrite)
    catalogue = workspace.read_catalogue()
    train_ids = training_fields(catalogue).index
    clusters = _clusters(workspace, catalogue, needed=args.leave_one_out)
    compared = _compared(catalogue, args.compare)
    inputs = gather_target_free(
        [workspace.store(name) for name in args.stores],
        list(catalogue.index),
        workspace.vocabulary(),
        made_from=catalogue_digest(catalogue),
    )
    features = _chosen_columns(inputs.table, args.columns)

    components = field_components(features)
    domains = domains_of_components(components, args.n_domains, args.seed)
    is_test = catalogue["split"] == "test"
    agreement = {name: domain_agreement(domains, known) for name, known in compared.items()}
    _print_domains(domains, catalogue["split"], agreement)
    texts = {
        workspace.domains: domains.to_frame().to_csv(lineterminator="\n"),
        workspace.domain_map: _map_text(components),
    }
    if args.leave_one_out:
        texts[workspace.domain_folds] = _leave_one_out(domains, clusters, train_ids)

    check = None
    if is_test.all() or not is_test.any():
        show("train against test: the catalogue has only one of the two")
    elif clusters is None:
        # Fields of a well look similar, and are all in train or all in test: on synthetic fields
        # without any shift, that alone gives an AUC of 0.65.
        show(
            "train against test: not compared without data/clusters.csv, as fields of one well "
            "would separate them; run: hpastack cluster, then this with --overwrite"
        )
    else:
        check = adversarial_check(
            features, is_test, clusters, random_state=args.seed,
        )  # fmt: skip
        _print_check(check)
        texts[workspace.adversarial_columns] = check.columns.to_csv(
            index=False, lineterminator="\n", float_format="%.6g"
        )

    # Files of an earlier run would belong to other domains.
    for path in outputs:
        path.unlink(missing_ok=True)
    for path, text in texts.items():
        publish_text(path, text)
    record = {
        "stores": inputs.stores,
        "columns": list(features.columns),
        "n_components": components.shape[1],
        "seed": args.seed,
        "n_domains": int(domains.nunique()),
        "n_domains_asked": args.n_domains,
        "agreement": agreement,
        "adversarial": None if check is None else _check_record(check),
        "files": {path.name: hashlib.sha256(text.encode()).hexdigest()
                  for path, text in texts.items()},
        "made_with": package_versions(),
    }  # fmt: skip
    publish_text(record_path, json.dumps(record, indent=2, sort_keys=True) + "\n")
    drawn = _draw(plot, components, domains, catalogue["split"], compared)
    written = [path.name for path in (*texts, record_path)]
    wrote(
        f"wrote {', '.join(written)} to {workspace.data}" + (f", and {plot}" if drawn else ""),
        *texts, record_path, *([plot] if drawn else []),
    )  # fmt: skip
    report(
        n_fields=len(catalogue), n_domains=domains.nunique(), agreement=agreement,
        adversarial=record["adversarial"],
    )  # fmt: skip


def _number(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _clusters(workspace: Workspace, catalogue: pd.DataFrame, needed: bool) -> pd.Series | None:
    if not workspace.clusters.is_file() and not needed:
        return None
    return workspace.read_clusters(catalogue.index)


def _compared(catalogue: pd.DataFrame, wanted: list[str] | None) -> dict[str, pd.Series]:
    if wanted is None:
        found = [name for name in _COMPARED if name in catalogue.columns]
        return {
            name: catalogue[name]
            for name in found
            if catalogue.loc[catalogue[name] != "", name].nunique() > 1
        }
    unknown = [name for name in wanted if name not in catalogue.columns]
    if unknown:
        raise InputError(
            f"--compare: the catalogue has no column {unknown[0]!r}; "
            f"it has {shorten(catalogue.columns, 20)}"
        )
    return {name: catalogue[name] for name in wanted}


def _chosen_columns(table: pd.DataFrame, wanted: list[str] | None) -> pd.DataFrame:
    reference = reference_columns(table.columns)
    if wanted == ["all"] or (wanted is None and not reference):
        chosen = list(table.columns)
    elif wanted is None or wanted == ["reference"]:
        if not reference:
            raise InputError(
                "--columns reference: no column is named by its stain; pass --columns all, or names"
            )
        chosen = reference
    else:
        chosen = []
        for pattern in wanted:
            matching = [name for name in table.columns if fnmatchcase(name, pattern)]
            if not matching:
                raise InputError(f"--columns: no column is named {pattern!r}; "
                                 f"there are {shorten(table.columns)}")  # fmt: skip
            chosen += [name for name in matching if name not in chosen]
    show(f"{len(chosen)} of {table.shape[1]} columns: {shorten(chosen, 3)}")
    return table[chosen]


def _map_text(components: pd.DataFrame) -> str:
    points = components.iloc[:, :2].to_numpy()
    if points.shape[1] == 1:
        points = np.column_stack([points, np.zeros(len(points))])
    table = pd.DataFrame(points, components.index, ["component_1", "component_2"])
    return table.rename_axis("image_id").to_csv(lineterminator="\n", float_format="%.4g")


def _print_domains(domains: pd.Series, split: pd.Series, agreement: dict) -> None:
    counts = pd.crosstab(domains, split).reindex(columns=["train", "test"], fill_value=0)
    shares = (counts / counts.sum().clip(lower=1)).map("{:.1%}".format)
    table = pd.concat([counts, shares.add_suffix(" share")], axis=1)
    show(f"{counted(len(counts), 'domain')}:\n{table.rename_axis(columns=None).to_string()}")
    for name, found in agreement.items():
        show(
            f"{name}: adjusted Rand index {found['adjusted_rand']:.3f}; {found['majority']:.1%} of "
            f"{found['n_fields']:,} fields have the most common value of their domain "
            f"(of all: {found['commonest']:.1%})"
        )


def _leave_one_out(domains: pd.Series, clusters: pd.Series | None, train_ids: pd.Index) -> str:
    assert clusters is not None
    frame = domain_folds(domains, clusters, list(train_ids))
    without = sorted(set(domains) - set(frame["domain"]))
    if without:
        note(
            f"no fold holds out domain {shorten(without)}: no cluster has most of its training "
            "fields in it"
        )
    moved = int((frame["domain"] != domains.loc[frame.index]).sum())
    sizes = frame["fold"].value_counts()
    show(
        f"{counted(len(sizes), 'fold')} of {sizes.min():,} to {sizes.max():,} fields hold out one "
        f"domain each; {counted(moved, 'field stays', 'fields stay')} with the rest of the cluster"
    )
    return frame[["fold"]].to_csv(lineterminator="\n")


def _print_check(check: AdversarialCheck) -> None:
    low, high = check.interval
    show(f"train against test: AUC {check.auc:.3f} [{low:.3f}, {high:.3f}]: {check.verdict}")
    if low > 0.5:
        table = check.columns.head(_SHOWN_COLUMNS)
        numbers = {
            name: [f"{value:.4g}" for value in table[name]] for name in table.columns.drop("column")
        }
        show(text_table(list(table["column"]), numbers, table_width(), "column"))


def _check_record(check: AdversarialCheck) -> dict:
    return {
        "auc": check.auc,
        "interval": list(check.interval),
        "fold_aucs": check.fold_aucs.tolist(),
        "effective_size": check.effective_size,
        "verdict": check.verdict,
    }


def _draw(
    path: Path,
    components: pd.DataFrame,
    domains: pd.Series,
    split: pd.Series,
    compared: dict[str, pd.Series],
) -> bool:
    """Draw the figure if matplotlib is installed; return whether it is."""
    try:
        from hpastack.pictures.figures import figure_png
        from hpastack.plot import DomainsDisplay
    except InputError as error:
        note(f"no figure of the domains: {error}")
        return False
    image = figure_png(DomainsDisplay(components, domains, split, compared).plot().figure_)
    with atomic_write(path) as draft:
        draft.write_bytes(image)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
