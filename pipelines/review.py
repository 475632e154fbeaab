"""Write a page for reviewing the labels that a fitted stack doubts."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from hpastack.catalogue import corrected_fields, training_fields
from hpastack.errors import InputError, counted
from hpastack.fields import find_packed
from hpastack.files import refuse_existing
from hpastack.pictures import Thumbnails
from hpastack.review import ORDERS, review_fields, write_review
from hpastack.similarity import nearest_fields
from hpastack.stack import StackClassifier, check_labels, load_stack
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options, positive
from pipelines._output import show, wrote
from pipelines._similar import store_vectors

#: Pixels of a neighbour's picture.
_SMALL = 64
_N_NEIGHBOURS = 3


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "review",
        "Write reports/review.html, a page that shows the training fields whose labels disagree "
        "most with the out-of-fold predictions of a stack, to accept, edit or keep them. It saves "
        "corrections.csv for prepare --corrections, and a log. It needs no server.",
        "models/stack",
    )
    add_options(parser, "model")
    parser.add_argument("--fields", type=positive, default=120, metavar="N",
                        help="number of fields (default: %(default)s)")  # fmt: skip
    parser.add_argument("--order", choices=ORDERS, default=ORDERS[0],
                        help="order of the fields: by the difference between annotation and "
                        "probability, plain or weighted by how well the label is predicted "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--size", type=positive, default=256, metavar="PIXELS",
                        help="longer side of the pictures (default: %(default)s)")  # fmt: skip
    parser.add_argument("--sidecar", action="store_true",
                        help="write the pictures to reports/review_pictures/, for hundreds of "
                        "fields")  # fmt: skip
    parser.add_argument("--no-pictures", action="store_true", help="show text only")
    parser.add_argument("--neighbours", metavar="STORE", nargs="*",
                        help="stores by which similar fields are found (default: handcrafted, if "
                        "it exists)")  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    model = args.model if args.model.is_dir() else workspace.root / args.model
    path = workspace.reports / "review.html"
    refuse_existing(path, args.overwrite)
    catalogue = workspace.read_catalogue()
    corrected = corrected_fields(workspace.changes, catalogue)
    train, vocabulary = training_fields(catalogue), workspace.vocabulary()
    stack = load_stack(model)
    y = pd.DataFrame(vocabulary.indicator(train["target"]), train.index, list(vocabulary))
    _require_same(stack, y, model)
    clusters = workspace.read_clusters(train.index) if workspace.clusters.is_file() else None
    fields = review_fields(
        y, stack.oof_probabilities_, stack.oof_labels_, order=args.order, n_fields=args.fields,
        clusters=clusters, neighbours=partial(_neighbours, args, workspace, catalogue),
    )  # fmt: skip
    large = small = None
    if not args.no_pictures:
        packed = find_packed(workspace.packed)
        large = Thumbnails(catalogue, packed=packed, size=args.size)
        small = Thumbnails(catalogue, packed=packed, size=_SMALL)
        if not large.has_images:
            large = small = None
    write_review(
        path, fields, list(vocabulary), name=model.resolve().name, order=args.order,
        thumbnails=large, small=small, sidecar=args.sidecar,
        earlier=dict(zip(corrected.index, corrected["after"])), overwrite=args.overwrite,
    )  # fmt: skip
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    wrote(f"wrote {path}: {counted(len(fields), 'field')}, {size}", path)
    show("these are suspicions, not errors: check each field before changing its labels")
    show(
        "then: hpastack prepare IMAGES --corrections corrections.csv --overwrite "
        f"--workspace {shlex.quote(str(workspace.root))}"
    )
    for image_id, fault in sorted({} if large is None else large.faults.items()):
        show(f"no picture of {image_id}: {fault}")


def _require_same(stack: StackClassifier, y: pd.DataFrame, model: object) -> None:
    check_labels(stack.labels_, y.columns, str(model))
    ids = stack.oof_probabilities_.index
    same = len(ids.difference(y.index)) == 0 and (
        y.loc[ids].sum().to_numpy() == stack.label_table_["positives"].to_numpy()
    )
    if not np.all(same):
        raise InputError(
            f"{model} was fitted on other fields or labels than this workspace has; fit it again"
        )


def _neighbours(
    args: argparse.Namespace, workspace: Workspace, catalogue: pd.DataFrame, image_ids: list[str]
) -> dict[str, list[tuple[str, float]]]:
    """Return the training fields most similar to some fields, by their ids."""
    names = args.neighbours
    if names is None:
        names = ["handcrafted"] if workspace.store("handcrafted").is_file() else []
    if not names:
        return {}
    train = training_fields(catalogue)
    vectors = store_vectors(names, workspace, catalogue, list(train.index))
    queries = train.index.get_indexer(pd.Index(image_ids))
    rows, cosines = nearest_fields(vectors[queries], vectors, _N_NEIGHBOURS + 1, progress=False)
    found = {}
    for image_id, own, others, of_others in zip(image_ids, queries, rows, cosines):
        kept = [(str(train.index[p]), float(c)) for p, c in zip(others, of_others) if p != own]
        found[image_id] = kept[:_N_NEIGHBOURS]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
