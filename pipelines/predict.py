"""Apply a fitted stack to the stores of a workspace."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpastack.catalogue import catalogue_digest
from hpastack.errors import InputError, counted
from hpastack.files import atomic_write, differing_settings, refuse_existing
from hpastack.labels import Vocabulary, write_submission
from hpastack.stack import (
    gather_stores,
    label_fields,
    load_stack,
    notes_on_kinds,
    notes_on_labels,
    notes_on_means,
    read_manifest,
    read_prior_shift,
)
from hpastack.workspace import Workspace
from pipelines._command import check_name, command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options
from pipelines._output import note, report, warn, wrote
from pipelines._steps import kept_settings


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "predict",
        "Apply a fitted stack to the test fields of a workspace. Reads the stores that the stack "
        "was fitted on; writes submissions/NAME.csv and submissions/NAME_probabilities.csv.",
        "models/stack --workspace new_plates",
    )
    add_options(parser, "model")
    parser.add_argument("--split", choices=("test", "train", "all"), default="test",
                        help="fields to predict (default: test)")  # fmt: skip
    parser.add_argument("--prior-shift", metavar="none|em|CSV",
                        help="how the prevalences of the new fields are estimated "
                        "(default: as in the recipe of the stack)")  # fmt: skip
    parser.add_argument("--name", help="name of the output files (default: that of the stack)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    if args.name is not None:
        check_name(args.name)
    workspace = Workspace(args.workspace)
    model = args.model if args.model.is_dir() else workspace.root / args.model
    record = read_manifest(model)["record"]
    if "stores" not in record:
        raise InputError(f"{model} does not record which stores it needs; predict from Python")
    name = args.name or model.resolve().name
    submission = workspace.submissions / f"{name}.csv"
    table = workspace.submissions / f"{name}_probabilities.csv"
    for path in (submission, table):
        refuse_existing(path, args.overwrite)
    catalogue = workspace.read_catalogue()
    fields = catalogue if args.split == "all" else catalogue[catalogue["split"] == args.split]
    if fields.empty:
        raise InputError(f"the catalogue has no {args.split} fields")
    vocabulary = Vocabulary(record["vocabulary"])
    how = args.prior_shift or record.get("recipe", {}).get("prior_shift", "none")
    shift = read_prior_shift(how, vocabulary, workspace.root)
    stack = load_stack(model)
    inputs = gather_stores(
        [workspace.store(store) for store in record["stores"]],
        list(fields.index),
        vocabulary,
        made_from=catalogue_digest(catalogue),
    )
    for store, made in record["stores"].items():
        _check_settings(workspace, model, store, inputs.stores[store], made)
    for warning in notes_on_kinds(stack, inputs, list(fields.index)):
        warn(warning)
    outputs = label_fields(stack, inputs, list(fields.index), shift)
    write_submission(submission, list(fields.index), outputs.labels, vocabulary)
    with atomic_write(table) as temporary:
        table_of = outputs.probabilities.rename_axis("Id")
        table_of.to_csv(temporary, float_format="%.6g", lineterminator="\n")
    for text in [*notes_on_labels(stack), *notes_on_means(inputs), *outputs.notes]:
        note(text)
    n_fields = counted(len(outputs.labels), "field")
    wrote(f"wrote {submission} and {table} ({n_fields})", submission, table)
    counts = dict(zip(vocabulary.names, outputs.labels.to_numpy().sum(axis=0)))
    report(n_fields=len(outputs.labels), split=args.split, predicted=counts)


def _check_settings(
    workspace: Workspace, model: Path, store: str, now: dict[str, Any], made: dict[str, Any]
) -> None:
    """Check that a store was made like the one that the stack was fitted on."""
    of_stack, of_store = ({"content": facts["content"], **facts["recipe"]} for facts in (made, now))
    # A store keeps this only where fields are smaller than the size of its recipe.
    if ("enlarge" in of_stack) != ("enlarge" in of_store):
        smaller = "these" if "enlarge" in of_store else "those that the stack was fitted on"
        warn(
            f"{workspace.store(store)}: only {smaller} include fields smaller than "
            f"{of_store['size']} px, whose features may not be comparable"
        )
        del (of_store if "enlarge" in of_store else of_stack)["enlarge"]
    differing = differing_settings(of_store, of_stack, "this store", "that of the stack")
    if not differing:
        return
    place = shlex.join(["--workspace", str(workspace.root), "--overwrite"])
    kind, recipe = made["recipe"].get("type"), made["recipe"]
    if kind == "cnn" and recipe.get("checkpoints") != now["recipe"].get("checkpoints"):
        remedy = f"hpastack stack ... {place}, as this CNN is another one"
    elif kind not in ("handcrafted", "embedding", "cnn"):
        maker = "neighbours" if kind == "neighbours" else "ingest"
        remedy = f"hpastack {maker} ... --name {store} {place}"
    elif model.resolve().parent == workspace.models.resolve():
        remedy = f"hpastack run --route ordinary --stack {model.resolve().name} {place}"
    elif kind == "cnn":
        remedy = f"hpastack finetune {store} --predict-only {place}"
    else:
        settings = shlex.join(kept_settings(recipe))
        remedy = f"hpastack extract {store} {settings} {place}"
    raise InputError(
        f"{workspace.store(store)} was made with other settings than the store that the stack was "
        f"fitted on: {differing}; run: {remedy}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
