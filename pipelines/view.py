"""Draw everything about one field: stains, cells, features, probabilities, neighbours."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.catalogue import COLUMNS, catalogue_digest, training_fields
from hpastack.errors import InputError, counted
from hpastack.features import describe_columns
from hpastack.fields import field_pixel_size
from hpastack.files import refuse_existing
from hpastack.pictures import (
    DEFAULT_PALETTE,
    STAIN_COLOURS,
    Section,
    picture_sheet,
    stain_legend,
    write_png,
)
from hpastack.pictures.field_panels import field_panels
from hpastack.pictures.tiles import has_files
from hpastack.similarity import nearest_fields, unusual_features
from hpastack.stack import (
    StackClassifier,
    check_labels,
    gather_stores,
    gather_target_free,
    label_fields,
    load_stack,
    read_manifest,
)
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._output import answer, wrote
from pipelines._similar import captioned_tile, label_names, store_vectors

# Longer side of a stain on the sheet, in pixels; the tiles of neighbours are as wide.
_SIZE = 400
_COLUMNS = 4
_N_UNUSUAL = 10
_N_REASONS = 4
# Labels that are neither annotated nor predicted are shown if they are at least so probable.
_LEAST = 0.1
_N_LABELS = 8


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "view",
        "Draw one field on a sheet, reports/view_ID.png: its stains, merged and single; its "
        "segmented cells; the ten features that differ most from those of the training fields "
        "(of all other fields, if none has labels); the probabilities of the stack with their "
        "reasons; and the most similar fields. What does not exist yet is named. The text is also "
        "printed.",
        "57_F11_1 --workspace work",
    )
    add = parser.add_argument
    add("image_id", metavar="ID", help="id of the field in the catalogue")
    add(
        "--model", type=Path, metavar="MODEL",
        help="folder of a stack, relative to here or to the workspace (default: models/stack, if "
        "it exists)",
    )  # fmt: skip
    add(
        "--stores", nargs="+", default=[], metavar="STORE",
        help="target-free stores by which similar fields are found (default: all embeddings, or "
        "all hand-crafted features)",
    )  # fmt: skip
    add(
        "--colours", choices=tuple(STAIN_COLOURS), default=DEFAULT_PALETTE,
        help="colours of the merged stains: safe, for all kinds of colour vision, or those of the "
        "Human Protein Atlas (default: %(default)s)",
    )  # fmt: skip
    parser.parameter_options = {"palette": "--colours"}
    add("--output", type=Path, metavar="PNG", help="file to write (default: reports/view_ID.png)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    catalogue = workspace.read_catalogue()
    image_id = args.image_id
    if image_id not in catalogue.index:
        near = difflib.get_close_matches(image_id, list(catalogue.index), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"the catalogue has no field {image_id}{hint}")
    name = re.sub(r"[^\w.-]", "_", image_id)
    path = args.output or workspace.reports / f"view_{name}.png"
    refuse_existing(path, args.overwrite)
    neighbours = _neighbours(image_id, workspace, catalogue, args.stores)
    sections = [
        _field(image_id, workspace, catalogue, args.colours),
        _probabilities(image_id, workspace, catalogue, args.model),
        _unusual(image_id, workspace, catalogue),
        neighbours,
    ]
    for section in sections:
        answer(section.heading)
        for line in section.lines:
            answer(f"  {line}")
    for tile in neighbours.pictures:
        answer(f"  {', '.join(tile.lines)}")
    write_png(path, picture_sheet(sections, _COLUMNS, stain_legend(args.colours)))
    wrote(f"wrote {path}", path)


def _field(image_id: str, workspace: Workspace, catalogue: pd.DataFrame, palette: str) -> Section:
    row = _row(image_id, catalogue)
    what = "test field"
    if row["split"] == "train":
        what = f"training field, annotated {label_names(row, workspace.vocabulary())}"
    groups = [f"{name.replace('_', ' ')} {row[name]}" for name in catalogue.columns
              if name not in (*COLUMNS, "bits", "stains", "pixel_size") and row[name]]  # fmt: skip
    lines = [what, ", ".join([f"source {row['source']}", *groups])]
    if not has_files(row):
        return Section(image_id, (), (*lines, "no image files in the catalogue"))
    size = field_pixel_size(row)
    scale = "pixel size unknown" if size is None else f"{size:g} µm per pixel"
    lines.append(f"{row['width']} x {row['height']} pixels, {scale}")
    return Section(image_id, field_panels(row, _SIZE, palette), tuple(lines))


def _unusual(image_id: str, workspace: Workspace, catalogue: pd.DataFrame) -> Section:
    stores = _stores_of(workspace, "handcrafted")
    training = training_fields(catalogue).index
    compared = training if len(training) else catalogue.index
    others = [name for name in compared if name != image_id]
    other = "other " if image_id in compared else ""
    kind = "training field" if len(training) else "field"
    heading = f"Features that differ most from those of {counted(len(others), other + kind)}"
    if not stores:
        return Section(heading, (), ("no hand-crafted features: hpastack extract",))
    try:
        table = gather_target_free(
            [workspace.store(name) for name in stores], [image_id, *others],
            workspace.vocabulary(), made_from=catalogue_digest(catalogue),
        ).table  # fmt: skip
        found = unusual_features(table.iloc[0], table.iloc[1:], _N_UNUSUAL)
    except InputError as error:
        return Section(heading, (), (f"not shown: {error}",))
    lines = []
    for column, feature in found.iterrows():
        side = "above" if feature["deviations"] > 0 else "below"
        lines.append(
            f"{_in_words(str(column))}: {feature['value']:.3g}, {abs(feature['deviations']):.1f} "
            f"robust standard deviations {side} the median of {feature['median']:.3g}, higher than "
            f"in {feature['share_below']:.1%} of them ({column})"
        )
    return Section(heading, (), tuple(lines or ["none differs"]))


def _probabilities(
    image_id: str, workspace: Workspace, catalogue: pd.DataFrame, chosen: Path | None
) -> Section:
    model = chosen or workspace.models / "stack"
    if not model.is_dir():
        model = workspace.root / model
    heading = f"Probabilities of {model.name}"
    if chosen is None and not (model / "stack.json").is_file():
        return Section(heading, (), ("no stack in models/stack: hpastack stack",))
    stack, vocabulary = load_stack(model), workspace.vocabulary()
    check_labels(stack.labels_, vocabulary.names, model)
    stack.n_jobs = 1  # one field is too little work for several
    record = read_manifest(model)["record"]
    row = _row(image_id, catalogue)
    is_train = image_id in stack.oof_probabilities_.index
    try:
        inputs = gather_stores(
            [workspace.store(name) for name in record.get("stores", {})], [image_id], vocabulary,
            made_from=catalogue_digest(catalogue),
        )  # fmt: skip
    except InputError as error:
        inputs, fault = None, str(error)
    if is_train:
        heading += ", out of fold"
        probabilities = stack.oof_probabilities_.loc[image_id]
        predicted = stack.oof_labels_.loc[image_id].to_numpy() == 1
    elif inputs is not None:
        new = label_fields(stack, inputs, [image_id])
        probabilities = new.probabilities.iloc[0]
        predicted = new.labels.iloc[0].to_numpy() == 1
    else:
        return Section(heading, (), (f"not shown: {fault}",))
    annotated = np.zeros(len(stack.labels_), bool)
    if row["split"] == "train":
        annotated[[int(label) for label in row["target"].split()]] = True
    shown = [
        number
        for rank, number in enumerate(np.argsort(-probabilities.to_numpy(), kind="stable"))
        if predicted[number]
        or annotated[number]
        or (rank < _N_LABELS and probabilities.iloc[number] >= _LEAST)
    ]
    reasons = {} if inputs is None else _reasons(stack, inputs.table, shown)
    lines = []
    for number in shown:
        label = stack.labels_[number]
        states = ["predicted" if predicted[number] else "not predicted"]
        if row["split"] == "train":
            states.append("annotated" if annotated[number] else "not annotated")
        lines.append(
            f"{label} {probabilities.iloc[number]:.2f} (threshold "
            f"{stack.thresholds_[number]:.2f}): {', '.join(states)}"
        )
        if label in reasons:
            lines.append(f"    log-odds: {reasons[label]}")
    if not shown:
        lines.append(f"no label is predicted, and none has a probability of {_LEAST} or more")
    shift = record.get("recipe", {}).get("prior_shift", "none")
    if not is_train and shift != "none":
        lines.append(f"Without the prior shift of the submission (prior_shift: {shift}).")
    if inputs is None:
        lines.append(f"no reasons: {fault}")
    elif is_train:
        lines.append(
            "Reasons are from the models of all folds, most of which were trained on this field."
        )
    return Section(heading, (), tuple(lines))


def _reasons(stack: StackClassifier, table: pd.DataFrame, labels: Sequence[int]) -> dict[str, str]:
    """Return the largest contributions to the log-odds of each label, in words."""
    if not len(labels):
        return {}
    texts = {}
    for label, parts in stack.explain(table, [int(number) for number in labels]).items():
        of_field = parts.drop(columns="trees").iloc[0]
        order = np.argsort(-of_field.abs().to_numpy(), kind="stable")[:_N_REASONS]
        texts[label] = "; ".join(
            f"{of_field.iloc[place]:+.2f} {_in_words(of_field.index[place], stack)}"
            for place in order
            if abs(of_field.iloc[place]) >= 0.005
        )
    return texts


def _neighbours(
    image_id: str, workspace: Workspace, catalogue: pd.DataFrame, chosen: list[str]
) -> Section:
    stores = chosen or _stores_of(workspace, "embedding") or _stores_of(workspace, "handcrafted")
    heading = f"Most similar fields, by {', '.join(stores)}"
    if not stores:
        return Section(
            "Most similar fields", (),
            ("no embeddings and no hand-crafted features: hpastack extract",),
        )  # fmt: skip
    try:
        vectors = store_vectors(stores, workspace, catalogue)
    except InputError as error:
        if chosen:
            raise
        return Section(heading, (), (f"not shown: {error}",))
    own = list(catalogue.index).index(image_id)
    found, cosines = nearest_fields(vectors[[own]], vectors, _COLUMNS + 1, progress=False)
    nearest = [(int(place), float(cosine)) for place, cosine in zip(found[0], cosines[0])
               if place != own][:_COLUMNS]  # fmt: skip
    vocabulary = workspace.vocabulary()
    rows = [(catalogue.iloc[place], cosine) for place, cosine in nearest]
    if not all(has_files(row) for row, _ in rows):
        lines = [f"{row.name}: {label_names(row, vocabulary)}, cosine {c:.3f}" for row, c in rows]
        return Section(heading, (), tuple(lines))
    return Section(heading, [captioned_tile(row, vocabulary, cosine) for row, cosine in rows])


def _row(image_id: str, catalogue: pd.DataFrame) -> pd.Series:
    row = catalogue.loc[image_id]
    assert isinstance(row, pd.Series)  # ids are unique
    return row


def _stores_of(workspace: Workspace, kind: str) -> list[str]:
    """Return the names of the target-free stores made by recipes of a type."""
    names = []
    for path in workspace.stores():
        with open_store(path) as store:
            if store.recipe.get("type") == kind and store.kind == "target_free":
                names.append(path.stem)
    return names


def _in_words(column: str, stack: StackClassifier | None = None) -> str:
    """Return the description of a column, or its name if there is none."""
    if stack is not None and column == "consensus":
        return "consensus of the CNNs" if stack.cnns else "prevalence"
    source, _, label = column.rpartition("__")
    if stack is not None and source in (*stack.cnns, *stack.scores) and label.isdecimal():
        return f"{source} on {stack.labels_[int(label)]}"
    try:
        return describe_columns([column])[column].replace(" (NaN if none)", "")
    except InputError:
        return column


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
