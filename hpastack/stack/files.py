"""A fitted stack on disk: a JSON manifest and boosters in their own formats.

Nothing is pickled, so loading someone else's stack cannot run their code. The
format is described in ``docs/formats.md``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack import __version__
from hpastack.errors import InputError, shorten
from hpastack.files import atomic_write, package_versions, refuse_existing
from hpastack.folds import fold_digest
from hpastack.labels import Vocabulary, write_submission
from hpastack.stack.fitted import Fitted
from hpastack.stack.labelling import Labelling
from hpastack.stack.members import ALL_LABELS, MEMBERS, OF_ALL_LABELS, maker_of
from hpastack.stack.older_formats import as_current
from hpastack.stack.set_records import fitted_of_record, set_record
from hpastack.store import StoreHeader, open_store, write_store

FORMAT = "hpastack-stack"
VERSION = 4

_MANIFEST = "stack.json"
_OUT_OF_FOLD = "out_of_fold.h5"
_OUT_OF_FOLD_LABELS = "out_of_fold.csv"
_REDUCTIONS = "reductions.npz"
_TABLES = (_OUT_OF_FOLD, _OUT_OF_FOLD_LABELS, _REDUCTIONS)
#: Attributes of a fitted stack that are saved besides the models.
LEARNED = (
    "labels_", "label_like_", "n_features_in_", "feature_names_in_", "seed_", "fold_",
    "oof_probabilities_", "oof_labels_", "cv_results_", "comparison_", "comparison_intervals_",
    "label_table_", "tuning_",
)  # fmt: skip
# Settings of the run, not of the model.
_NOT_KEPT = ("n_jobs", "verbose", "cache")


@dataclass(frozen=True)
class SavedStack:
    """A fitted stack as plain values, as it is written to a folder and read from one.

    Parameters
    ----------
    parameters : dict
        Of the estimator. Those that affect only the run (workers, cache, progress) are not saved.
    fitted : list of Fitted
        Fitted models, one entry per set of folds.
    learned : dict
        The other attributes of the estimator that `fit` sets, see `LEARNED`;
        ``feature_names_in_`` only if columns have names.
    """

    parameters: dict[str, Any]
    fitted: list[Fitted]
    learned: dict[str, Any]

    @classmethod
    def of(cls, stack: Any) -> SavedStack:
        """Return the saved part of a fitted `hpastack.StackClassifier`."""
        learned = {name: vars(stack)[name] for name in LEARNED if name in vars(stack)}
        # The seed rather than the generator it was drawn from, which another process does not
        # have; the members by name, as a later version may define "auto" differently.
        chosen = {"random_state": stack.seed_, "boosters": stack.members_}
        parameters = stack.get_params() | chosen
        return cls(parameters, stack.fitted_, learned)


def save_stack(
    stack: SavedStack,
    path: str | os.PathLike[str],
    *,
    record: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Save a fitted stack to a folder.

    Parameters
    ----------
    stack : SavedStack
    path : path-like
        Folder to write, atomically.
    record : dict, optional
        Origin of the columns (recipe, stores), saved as JSON.
    overwrite : bool, default=False
        Whether to replace an earlier stack.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If the folder exists and `overwrite` is false, or it is not a stack.
    """
    path = Path(path)
    check_replaceable(path, overwrite)
    learned, labels = stack.learned, stack.learned["labels_"]
    columns = list(learned.get("feature_names_in_", range(learned["n_features_in_"])))
    parameters = {k: _plain(v) for k, v in stack.parameters.items() if k not in _NOT_KEPT}
    with atomic_write(path) as folder:
        (folder / "boosters").mkdir(parents=True)
        files = {}
        for number, fitted in enumerate(stack.fitted):
            for (name, fold, label, bag), model in sorted(fitted.models.items()):
                of = "all" if label == ALL_LABELS else f"label{label}"
                own = f"{name}_set{number}_fold{fold}_{of}_bag{bag}{maker_of(name).suffix}"
                (folder / "boosters" / own).write_bytes(model)
                files[f"boosters/{own}"] = hashlib.sha256(model).hexdigest()
        tables = [_OUT_OF_FOLD, _OUT_OF_FOLD_LABELS]
        if parameters["embeddings"]:
            _write_reductions(folder / _REDUCTIONS, stack.fitted)
            tables.append(_REDUCTIONS)
        fold, probabilities = learned["fold_"], learned["oof_probabilities_"]
        image_ids = [str(image_id) for image_id in probabilities.index]
        plan = fold_digest(image_ids, fold)
        header = StoreHeader(
            kind="out_of_fold",
            content="probabilities",
            columns=[f"{path.name}__{label}" for label in range(len(labels))],
            recipe=dict(record or {}),
            # The mean over several sets of folds is not out of fold for any of them.
            fold_plan=plan if len(stack.fitted) == 1 else "",
            vocabulary=labels,
        )
        write_store(folder / _OUT_OF_FOLD, header, image_ids, probabilities, fold=fold)
        write_submission(
            folder / _OUT_OF_FOLD_LABELS, image_ids, learned["oof_labels_"], Vocabulary(labels)
        )
        for file in tables:
            files[file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "hpastack": __version__,
            "made_with": package_versions(
                maker_of(name).package for name in stack.parameters["boosters"]
            ),
            "parameters": parameters,
            "labels": labels,
            **({"label_like": named} if (named := learned.get("label_like_")) else {}),
            "columns": columns,
            "fold_plan": plan,
            "sets": [set_record(fitted) for fitted in stack.fitted],
            "thresholds": Labelling.mean(
                [fitted.meta_learner.labelling for fitted in stack.fitted]
            ).thresholds.tolist(),
            "cv_results": {k: _plain(v) for k, v in learned["cv_results_"].items()},
            "comparison": learned["comparison_"].to_dict(orient="index"),
            "comparison_intervals": _rows_of(learned.get("comparison_intervals_")),
            "tuning": None
            if learned["tuning_"] is None
            else learned["tuning_"].to_dict(orient="list"),
            "label_table": learned["label_table_"].reset_index().to_dict(orient="list"),
            "record": record or {},
            "files": files,
        }
        text = json.dumps(_without_nan(manifest), indent=1, allow_nan=False)
        (folder / _MANIFEST).write_text(text, encoding="utf-8")
    return path


def read_stack(path: str | os.PathLike[str]) -> SavedStack:
    """Read a stack that `save_stack` wrote.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    SavedStack

    Raises
    ------
    InputError
        If the folder is not a stack, has a newer format, a file is missing or
        was changed, or its contents are inconsistent.
    """
    path = Path(path)
    manifest = read_manifest(path)
    try:
        # A file must not set where this machine writes, nor how it runs.
        parameters = {k: v for k, v in manifest["parameters"].items() if k not in _NOT_KEPT}
        labels = list(manifest["labels"])
        models, reductions = _read_files(path, manifest)
        fitted = [
            fitted_of_record(record, models[number], parameters, len(labels), reductions, number)
            for number, record in enumerate(manifest["sets"])
        ]
        _check_shapes(path, fitted, parameters, len(manifest["columns"]), len(labels))
        return SavedStack(parameters, fitted, _learned(path, manifest, labels))
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path / _MANIFEST} is not a valid manifest of a stack ({type(error).__name__}: "
            f"{error}); fit the stack again"
        ) from error


def _read_files(
    path: Path, manifest: dict[str, Any]
) -> tuple[list[dict[tuple[str, int, int, int], bytes]], dict[str, np.ndarray]]:
    """Return the boosters of each set of folds and the arrays of reductions, after checks."""
    models: list[dict[tuple[str, int, int, int], bytes]] = [{} for _ in manifest["sets"]]
    reductions: dict[str, np.ndarray] = {}
    booster_file = _booster_file()
    matches = {file: booster_file.fullmatch(file) for file in manifest["files"]}
    unknown = [file for file, match in matches.items() if match is None and file not in _TABLES]
    if unknown:
        raise InputError(
            f"{path}: the manifest names files that are not part of a stack: {shorten(unknown)}; "
            "fit the stack again"
        )
    contents = {
        file: (path / file).read_bytes() if (path / file).is_file() else b""
        for file in manifest["files"]
    }
    changed = [
        file
        for file, digest in manifest["files"].items()
        if hashlib.sha256(contents[file]).hexdigest() != digest
    ]
    if changed:
        raise InputError(f"{path}: missing or changed: {shorten(changed)}; fit the stack again")
    for file, match in matches.items():
        content = contents.pop(file)
        if match:
            number, fold, bag = (int(match[k] or 0) for k in (2, 3, 5))
            label = int(match[4] or ALL_LABELS)
            try:
                maker_of(match[1]).check(content)
            except InputError as error:
                raise InputError(f"{path / file}: {error}") from None
            models[number][match[1], fold, label, bag] = content
        elif file == _REDUCTIONS:
            with np.load(BytesIO(content), allow_pickle=False) as arrays:
                reductions = dict(arrays)
    return models, reductions


def _learned(path: Path, manifest: dict[str, Any], labels: list[str]) -> dict[str, Any]:
    tuning = manifest.get("tuning")
    learned: dict[str, Any] = {
        "labels_": labels,
        "label_like_": [str(name) for name in manifest.get("label_like", [])],
        "n_features_in_": len(manifest["columns"]),
        "seed_": int(manifest["parameters"]["random_state"]),
        "cv_results_": {
            k: tuple(v) if isinstance(v, list) else v for k, v in manifest["cv_results"].items()
        },
        "comparison_": pd.DataFrame(manifest["comparison"]).T.astype(float),
        "comparison_intervals_": None,
        "label_table_": pd.DataFrame(manifest["label_table"]).set_index("label"),
        "tuning_": None if tuning is None else pd.DataFrame(tuning),
    }
    # Stacks of earlier versions have none.
    if manifest.get("comparison_intervals"):
        learned["comparison_intervals_"] = pd.DataFrame(manifest["comparison_intervals"]).T.astype(
            float
        )
    if all(isinstance(name, str) for name in manifest["columns"]):
        learned["feature_names_in_"] = np.array(manifest["columns"], dtype=object)
    with open_store(path / _OUT_OF_FOLD) as store:
        probabilities = store.to_frame()
        if store.fold is None:
            raise InputError(f"{store.path} has no folds; fit the stack again")
        learned["fold_"] = store.fold
    learned["oof_probabilities_"] = probabilities.set_axis(labels, axis=1)
    targets = pd.read_csv(path / _OUT_OF_FOLD_LABELS, dtype=str, keep_default_na=False)
    indicated = Vocabulary(labels).indicator(targets["Predicted"], allow_empty=True)
    learned["oof_labels_"] = pd.DataFrame(indicated, probabilities.index, labels)
    return learned


def _booster_file() -> re.Pattern[str]:
    """Return the pattern of file names of models: member, set, fold, label and bag."""
    names = "|".join(map(re.escape, MEMBERS))
    return re.compile(
        rf"boosters/({names})(?:_set(\d+))?_fold(\d+)_(?:label(\d+)|all)(?:_bag(\d+))?\.\w+"
    )


def _check_shapes(
    path: Path, sets: list[Fitted], parameters: dict[str, Any], n_columns: int, n_labels: int
) -> None:
    """Raise `InputError` if parts do not match the columns, labels, members and folds."""
    boosters = list(parameters["boosters"])
    # Format 1 has no scores.
    n_cnns, n_scores = len(parameters["cnns"]), len(parameters.get("scores", ()))
    for number, fitted in enumerate(sets):
        meta_learner, n_folds = fitted.meta_learner, len(fitted.columns)
        shapes = {
            "weights": (meta_learner.weights.shape, (len(boosters), n_labels)),
            "calibration": (len(meta_learner.calibration), n_labels),
            "thresholds": (meta_learner.labelling.of_stack.shape, (n_labels,)),
            "consensus_thresholds": (meta_learner.labelling.of_consensus.shape, (n_labels,)),
            "learned": ([k for k in fitted.learned if not 0 <= k < n_labels], []),
        }
        for fold, columns in enumerate(fitted.columns):
            shapes[f"consensus of fold {fold}"] = (len(columns.consensus.coefficients), n_labels)
            shapes[f"chosen of fold {fold}"] = (len(columns.chosen), n_labels)
        for name, (shape, expected) in shapes.items():
            if shape != expected:
                raise InputError(
                    f"{path / _MANIFEST}: {name} of set {number} has {shape}, expected {expected}"
                )
        for fold, columns in enumerate(fitted.columns):
            problem = columns.problem(n_columns, n_labels, n_cnns, n_scores)
            if problem:
                raise InputError(f"{path / _MANIFEST}: fold {fold} of set {number}: {problem}")
        for name, fold, label, _ in fitted.models:
            of_all = label == ALL_LABELS
            if name not in boosters or fold >= n_folds or label >= n_labels:
                raise InputError(
                    f"{path}: unexpected model of {name} for fold {fold} and label {label}; the "
                    f"stack has members {boosters}, {n_folds} folds and {n_labels} labels"
                )
            if of_all != (name in OF_ALL_LABELS):
                raise InputError(
                    f"{path}: {name} has a model of {'all labels' if of_all else 'one label'}, "
                    f"expected {'one model per label' if of_all else 'one model of all labels'}"
                )


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the manifest of a stack on disk, without its boosters.

    Parameters
    ----------
    path : path-like
        The folder of the stack.

    Returns
    -------
    dict
        The manifest, see ``docs/formats.md``.

    Raises
    ------
    InputError
        If the folder is not a stack, or has a newer format.
    """
    file = Path(path) / _MANIFEST
    if not file.is_file():
        raise InputError(f"{path} is not a stack: it has no {_MANIFEST}")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{file} is corrupt; fit the stack again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{file} is not the manifest of a stack")
    version = manifest.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise InputError(
            f"{file} has format {version}; this hpastack reads 1 to {VERSION}: update hpastack, "
            "or fit the stack again"
        )
    try:
        return as_current(manifest)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{file} is not a valid manifest of a stack ({error!r}); fit the stack again"
        ) from None


def check_replaceable(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Check that a stack can be written to a folder without loss of other data.

    Parameters
    ----------
    path : path-like
        Folder to write a stack to.
    overwrite : bool
        Whether an earlier stack may be replaced.

    Raises
    ------
    InputError
        If the path exists and is not a stack, or is a stack and `overwrite` is
        false.
    """
    path = Path(path)
    if not path.exists():
        return
    if path.is_dir() and not (path / _MANIFEST).is_file() and any(path.iterdir()):
        names = shorten(sorted(p.name for p in path.iterdir()), 3)
        raise InputError(f"{path} is not a stack (it contains {names}); choose another name")
    refuse_existing(path, overwrite)


def _write_reductions(path: Path, fitted: list[Fitted]) -> None:
    arrays = {}
    for number, of_set in enumerate(fitted):
        for fold, columns in enumerate(of_set.columns):
            for name, reduction in columns.reductions.items():
                arrays[f"set{number}_fold{fold}_{name}_mean"] = reduction.mean
                arrays[f"set{number}_fold{fold}_{name}_components"] = reduction.components
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _rows_of(table: pd.DataFrame | None) -> dict[Any, Any] | None:
    return None if table is None else table.to_dict(orient="index")


def _without_nan(value: Any) -> Any:
    # JSON has no NaN, the average precision of a label without positives.
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _plain(value: Any) -> Any:
    # Sequences, arrays and NumPy scalars as JSON values.
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
