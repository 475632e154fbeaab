"""Score fields by the labels of their most similar training fields, or draw those."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.catalogue import catalogue_digest, training_fields
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import find_packed
from hpastack.files import refuse_existing
from hpastack.folds import FoldPlan
from hpastack.labels import Vocabulary
from hpastack.pictures import Section, picture_sheet, stain_legend, write_png
from hpastack.similarity import NeighbourScores, nearest_fields, neighbour_scores
from hpastack.store import StoreHeader, write_store
from hpastack.workspace import Workspace
from pipelines._command import check_name, command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options, positive
from pipelines._output import answer, report, warn, wrote
from pipelines._similar import captioned_tile, label_names, store_vectors
from pipelines._steps import accepted_splits


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "neighbours",
        "Score each label of a field by the most similar training fields: for a training field "
        "those of the other folds, for a test field all. Or, with --show, draw the fields most "
        "similar to some.",
        "compartments --name neighbours",
    )
    add = parser.add_argument
    add(
        "stores", nargs="*", metavar="STORE",
        help="target-free features or embeddings: names of stores in features/",
    )  # fmt: skip
    add(
        "--cnn", metavar="CNN",
        help="instead of stores, a fine-tuned CNN in models/: the model of each fold embeds the "
        "fields that it was not trained on",
    )  # fmt: skip
    add_options(parser, "--device")
    add(
        "--name", default="neighbours",
        help="name of the store of scores (default: %(default)s); that of similarities is "
        "NAME_similarity",
    )  # fmt: skip
    add(
        "--n-neighbours", type=positive, metavar="N",
        help="number of neighbours (default: 32; with --show 7)",
    )  # fmt: skip
    add(
        "--temperature", type=float, default=0.2, metavar="T",
        help="a neighbour whose cosine is T below that of the nearest has 1/e of its weight "
        "(default: 0.2)",
    )  # fmt: skip
    add(
        "--show", nargs="+", metavar="ID",
        help="fields whose neighbours to draw in reports/neighbours.png",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    if not args.show:
        check_name(args.name)
    workspace = Workspace(args.workspace)
    catalogue = workspace.read_catalogue()
    if bool(args.stores) == bool(args.cnn):
        raise InputError("name either stores to compare fields by, or a CNN with --cnn")
    if args.show:
        if args.cnn:
            raise InputError(
                "--show needs stores, not --cnn: the CNNs of the folds embed in different spaces"
            )
        _show(args, workspace, catalogue)
    else:
        _score(args, workspace, catalogue)


def _score(args: argparse.Namespace, workspace: Workspace, catalogue: pd.DataFrame) -> None:
    name = args.name
    outputs = [workspace.store(name), workspace.store(f"{name}_similarity")]
    for path in outputs:
        refuse_existing(path, args.overwrite)
    plan = workspace.read_folds(catalogue)
    vocabulary = workspace.vocabulary()
    train = training_fields(catalogue)
    y = pd.DataFrame(vocabulary.indicator(train["target"], allow_empty=True), train.index)
    if text := accepted_splits(plan, workspace.folds):
        warn(f"{text}: a near-duplicate in another fold reveals its labels")
    made_from = catalogue_digest(catalogue)
    recipe = {
        "type": "neighbours", "name": name, "n_neighbours": args.n_neighbours or 32,
        "temperature": args.temperature, "fold_plan": plan.digest,
    }  # fmt: skip
    parts = outputs[0].with_name(f"{name}.neighbours.parts")
    if args.cnn:
        found, seen_by = _by_cnn(args, workspace, catalogue, plan, recipe, parts)
    else:
        found = neighbour_scores(
            store_vectors(args.stores, workspace, catalogue), y, plan.frame["fold"],
            list(catalogue.index), n_neighbours=recipe["n_neighbours"],
            temperature=args.temperature,
        )  # fmt: skip
        seen_by = {"stores": args.stores}
    recipe |= seen_by
    _write(outputs, recipe, found, catalogue, plan, vocabulary, made_from, by_cnn=bool(args.cnn))
    shutil.rmtree(parts, ignore_errors=True)
    n_train = len(train)
    wrote(
        f"wrote {outputs[0]} ({counted(n_train, 'training field')} out of fold, "
        f"{len(catalogue) - n_train} others) and {outputs[1]}",
        *outputs,
    )
    report(n_train=n_train, n_others=len(catalogue) - n_train)


def _by_cnn(
    args: argparse.Namespace, workspace: Workspace, catalogue: pd.DataFrame, plan: FoldPlan,
    recipe: dict, parts: Path,
) -> tuple[NeighbourScores, dict]:  # fmt: skip
    # Imported here, as neighbours by stores need no torch.
    from hpastack.cnn import cnn_neighbour_scores, read_checkpoint

    folder = workspace.models / args.cnn
    checkpoint = read_checkpoint(folder)
    if checkpoint.plan.digest != plan.digest:
        raise InputError(f"{folder} was trained with a fold plan other than {workspace.folds}")
    found = cnn_neighbour_scores(
        folder, catalogue, workspace.vocabulary(), parts, n_neighbours=recipe["n_neighbours"],
        temperature=args.temperature, packed=find_packed(workspace.packed), device=args.device,
        jobs=args.jobs,
    )  # fmt: skip
    return found, {"cnn": args.cnn, "checkpoints": checkpoint.digests}


def _write(
    outputs: list[Path], recipe: dict, found: NeighbourScores, catalogue: pd.DataFrame,
    plan: FoldPlan, vocabulary: Vocabulary, made_from: str, *, by_cnn: bool,
) -> None:  # fmt: skip
    """Write the stores of scores and of similarities."""
    name, ids = recipe["name"], list(catalogue.index)
    fold = plan.frame["fold"].reindex(catalogue.index).fillna(-1).to_numpy(dtype=np.int64)
    scores = StoreHeader(
        "out_of_fold", "scores", [f"{name}__{label}" for label in range(len(vocabulary))],
        recipe=recipe, made_from=made_from, fold_plan=plan.digest, vocabulary=list(vocabulary),
    )  # fmt: skip
    # Similarities use no labels, except those of a CNN, which was trained on labels.
    similarity = StoreHeader(
        "out_of_fold" if by_cnn else "target_free", "features",
        [f"{name}_similarity__{column}" for column in found.similarity.columns],
        recipe=recipe, made_from=made_from, fold_plan=plan.digest if by_cnn else "",
    )  # fmt: skip
    write_store(outputs[0], scores, ids, found.scores, fold=fold, overwrite=True)
    write_store(
        outputs[1], similarity, ids, found.similarity, fold=fold if by_cnn else None,
        overwrite=True,
    )  # fmt: skip


def _show(args: argparse.Namespace, workspace: Workspace, catalogue: pd.DataFrame) -> None:
    path = workspace.reports / "neighbours.png"
    refuse_existing(path, args.overwrite)
    unknown = [image_id for image_id in args.show if image_id not in catalogue.index]
    if unknown:
        raise InputError(f"--show: the catalogue has no field {shorten(unknown)}")
    vectors = store_vectors(args.stores, workspace, catalogue)
    queries = catalogue.index.get_indexer(args.show)
    n_neighbours = args.n_neighbours or 7
    found, cosines = nearest_fields(vectors[queries], vectors, n_neighbours + 1)
    vocabulary = workspace.vocabulary()
    sections = []
    for own, others, of_others in zip(queries.tolist(), found.tolist(), cosines.tolist()):
        # The field itself is among them, unless copies of it displace it.
        kept = [(place, cosine) for place, cosine in zip(others, of_others) if place != own]
        kept = kept[:n_neighbours]
        pictures = [captioned_tile(catalogue.iloc[own], vocabulary)]
        answer(
            f"{catalogue.index[own]} ({label_names(catalogue.iloc[own], vocabulary)}) looks like"
        )
        for place, cosine in kept:
            row = catalogue.iloc[place]
            pictures.append(captioned_tile(row, vocabulary, cosine))
            answer(f"  {row.name} ({label_names(row, vocabulary)}), cosine {cosine:.3f}")
        heading = f"{catalogue.index[own]} and the fields most similar to it"
        sections.append(Section(heading, pictures))
    write_png(path, picture_sheet(sections, note=stain_legend()))
    wrote(f"wrote {path}", path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
