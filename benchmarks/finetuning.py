"""Scores of a small CNN trained on 600 fields on a CPU, with negative controls.

Synthetic fields of 128 px with wells and near-duplicates, fine-tuned with the command a user
would type. Out-of-fold average precision is compared with that on test fields of other wells,
with the prevalence, and with hand-crafted features. Negative controls: permuted
labels, and the labels of near-duplicates planted among the training fields.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml

from benchmarks.feature_patterns import out_of_fold
from benchmarks.leakage import run_pipeline
from hpastack.catalogue import read_catalogue
from hpastack.fields import STAINS
from hpastack.folds import read_fold_plan
from hpastack.labels import HPA_2018
from hpastack.metrics import (
    average_precisions,
    cluster_draws,
    macro_average_precision,
    score_interval,
)
from hpastack.store import open_store

SIZE = 128
N_SPLITS = 4
COMMONEST = 6
RECIPE = {
    "type": "cnn", "backbone": "test_resnet", "weights": "random", "pool": "gem", "size": SIZE,
    "epochs": 40, "batch_size": 16, "learning_rate": 0.004, "ema_decay": 0.99, "zoom": 0.2,
    "brightness": 0.4, "offset": 0.03, "cutout": 0.2, "mixup": 0.1, "views": 8,
    "repeat_threshold": 0.1,
}  # fmt: skip
# Enough to memorise copies, for the runs with shuffled labels.
SHUFFLED = {
    "epochs": 25, "turns": False, "zoom": 0.0, "brightness": 0.1, "cutout": 0.0, "mixup": 0.0,
    "views": 1,
}  # fmt: skip


def main(n_train: int = 600, n_test: int = 400, recipe: dict | None = None) -> None:
    recipe = {**RECIPE, **(recipe or {})}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plain = _workspace(root / "plain", n_train, n_test)
        _compare(plain, recipe)
        _negative_controls(root, plain, recipe)


def _workspace(root: Path, n_train: int, n_test: int) -> Path:
    fields = root / "synthetic"
    run_pipeline(
        "synthesize", root, fields, "--train", n_train, "--test", n_test, "--size", SIZE,
        "--tail", 0.35, "--min-train-wells", 6, "--min-test-wells", 2,
    )  # fmt: skip
    run_pipeline("prepare", root, fields, "--groups", fields / "groups.csv")
    run_pipeline("cluster", root, "--n-splits", N_SPLITS)
    return root


def _compare(root: Path, recipe: dict) -> None:
    """Show out-of-fold, test and hand-crafted scores."""
    train, y, clusters, folds = _training(root)
    seconds = _finetune(root, recipe)
    run_pipeline("extract", root, "handcrafted", "--set", f"size={SIZE}")
    network = _rows(root, "net", train.index)
    with open_store(root / "features" / "handcrafted.h5") as store:
        features = store.to_frame(train.index).to_numpy()
    trees = out_of_fold(features, y, folds)
    truth = pd.read_csv(root / "synthetic" / "test_truth.csv", dtype=str).set_index("Id")["Target"]
    copies = pd.read_csv(root / "synthetic" / "planted_duplicates.csv")["Id"]
    truth = truth.drop(copies, errors="ignore")
    wells = pd.read_csv(root / "synthetic" / "groups.csv", dtype=str).set_index("Id")["well"]
    y_test = HPA_2018.indicator(truth)
    print(
        f"finetuning: {len(train)} training fields of {SIZE} px, {N_SPLITS} folds, "
        f"{recipe['epochs']} epochs, in {seconds / 60:.1f} min; {len(truth)} test fields of other "
        f"wells; prevalence {y.mean():.3f}"
    )
    print("macro average precision | 95 % interval")
    for name, of, scores, groups in (
        ("CNN, out of fold", y, network, clusters),
        ("CNN, test fields", y_test, _rows(root, "net", truth.index), wells.loc[truth.index]),
        ("hand-crafted features, out of fold", y, trees, clusters),
    ):
        print(f"{name} | {_with_interval(of, scores, groups)}")
    _alone(root, y, folds, clusters, network, y_test, wells.loc[truth.index], truth.index)
    commonest = np.argsort(-y.sum(axis=0))[:COMMONEST]
    print("the most frequent labels | positives | CNN | hand-crafted features")
    by_network, by_trees = average_precisions(y, network), average_precisions(y, trees)
    for label in commonest:
        print(
            f"{HPA_2018.names[label]} | {y[:, label].sum()} | {by_network[label]:.3f} | "
            f"{by_trees[label]:.3f}"
        )
    print(
        f"their mean | | {by_network[commonest].mean():.3f} | {by_trees[commonest].mean():.3f}",
        flush=True,
    )


def _alone(
    root: Path, y: np.ndarray, folds: np.ndarray, clusters: pd.Series, network: np.ndarray,
    y_test: np.ndarray, wells: pd.Series, tested: pd.Index,
) -> None:  # fmt: skip
    """Show the score of each fold's CNN alone, a fair comparison without a mean over CNNs."""
    with open_store(root / "features" / "net.h5") as store:
        rows = pd.Index(np.array(store.image_ids)[store.fold == -1]).get_indexer(tested)
        members = store.members()[:, rows]
    held_out = [folds == fold for fold in range(N_SPLITS)]
    of_folds = np.array([macro_average_precision(y[of], network[of]) for of in held_out])
    of_models = np.array([macro_average_precision(y_test, own) for own in members])
    fold_draws = [
        macro_average_precision(y[of], network[of], cluster_draws(clusters[of])) for of in held_out
    ]
    test_draws = cluster_draws(wells)
    model_draws = [macro_average_precision(y_test, own, test_draws) for own in members]
    for name, scores, draws in (
        ("held-out fields", of_folds, fold_draws), ("test fields", of_models, model_draws)
    ):  # fmt: skip
        low, high = score_interval(scores.mean(), np.mean(draws, axis=0))
        each = ", ".join(f"{score:.3f}" for score in scores)
        print(f"each CNN alone, {name}: mean of {each} | {scores.mean():.3f} | "
              f"{low:.3f} to {high:.3f}")  # fmt: skip
    difference = of_models.mean() - of_folds.mean()
    low, high = score_interval(
        difference, np.mean(model_draws, axis=0) - np.mean(fold_draws, axis=0)
    )
    print(f"test minus held-out | {difference:.3f} | {low:.3f} to {high:.3f}")


def _negative_controls(root: Path, plain: Path, recipe: dict) -> None:
    """Show that neither shuffled labels nor planted copies are learned."""
    train, y, _, _ = _training(plain)
    with_duplicates = _plant_copies(plain, root / "with_duplicates", train)
    # The folds and the number of steps of the run without copies.
    n_epochs = round(recipe["epochs"] * len(train) / len(_training(with_duplicates)[0]))
    _finetune(with_duplicates, {**recipe, "epochs": n_epochs})
    without = _with_interval(y, _rows(plain, "net", train.index), _training(plain)[2])
    with_copies = _rows(with_duplicates, "net", train.index)
    print(f"the same fields out of fold, without copies | {without}")
    print(
        f"with a near-duplicate of every second one | "
        f"{_with_interval(y, with_copies, _training(plain)[2])}"
    )
    for name, split in (("clusters kept whole", False), ("folds that split them", True)):
        shuffled = _shuffled(with_duplicates, root / f"shuffled_{split}", split)
        fields, labels, clusters, _ = _training(shuffled)
        _finetune(shuffled, {**recipe, **SHUFFLED})
        scores = _rows(shuffled, "net", fields.index)
        print(
            f"shuffled labels, {name} (prevalence {labels.mean():.3f}) | "
            f"{_with_interval(labels, scores, clusters)}",
            flush=True,
        )


def _plant_copies(plain: Path, root: Path, train: pd.DataFrame) -> Path:
    """Make a workspace with a shifted, brighter, noisier copy of every second training field."""
    rng = np.random.default_rng(0)
    labels = pd.read_csv(plain / "synthetic" / "train.csv", dtype=str).set_index("Id")["Target"]
    images = root / "synthetic" / "train"
    images.mkdir(parents=True)
    copied = {}
    for image_id, row in train.iterrows():
        for stain in STAINS:
            pixels = cv2.imread(row[stain], cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(images / f"{image_id}_{stain}.png"), pixels)
            if len(copied) % 2 == 0:
                moved = 1.05 * np.roll(pixels, (4, 3), axis=(0, 1)) + rng.normal(0, 2, pixels.shape)
                moved = np.clip(np.rint(moved), 0, 255).astype(np.uint8)
                cv2.imwrite(str(images / f"copy-{image_id}_{stain}.png"), moved)
        copied[image_id] = labels[image_id]
    copies = {f"copy-{image_id}": target for image_id, target in list(copied.items())[::2]}
    table = pd.Series({**copied, **copies}, name="Target").rename_axis("Id")
    table.to_csv(root / "synthetic" / "train.csv")
    wells = pd.read_csv(plain / "synthetic" / "groups.csv", dtype=str).set_index("Id")
    wells_of_copies = wells.loc[[name.removeprefix("copy-") for name in copies]]
    wells = pd.concat([wells.loc[list(copied)], wells_of_copies.set_axis(list(copies))])
    wells.rename_axis("Id").to_csv(root / "synthetic" / "groups.csv")
    run_pipeline("prepare", root, root / "synthetic", "--groups", root / "synthetic" / "groups.csv")
    folds = pd.Series(_training(plain)[3], train.index, name="fold")
    folds_of_copies = folds.loc[[name.removeprefix("copy-") for name in copies]].set_axis(
        list(copies)
    )
    pd.concat([folds, folds_of_copies]).rename_axis("image_id").to_csv(root / "theirs.csv")
    run_pipeline("cluster", root, "--folds", root / "theirs.csv")
    return root


def _shuffled(with_duplicates: Path, root: Path, split: bool) -> Path:
    """Make a workspace with labels permuted over fields; copies keep those of their field."""
    fields = with_duplicates / "synthetic"
    table = pd.read_csv(fields / "train.csv", dtype=str).set_index("Id")["Target"]
    own = table[~table.index.str.startswith("copy-")]
    mixed = pd.Series(np.random.default_rng(1).permutation(own.to_numpy()), own.index)
    table = pd.Series(
        mixed.loc[table.index.str.removeprefix("copy-")].to_numpy(), table.index, name="Target"
    )
    root.mkdir()
    table.to_csv(root / "shuffled.csv")
    run_pipeline("prepare", root, fields, "--labels", root / "shuffled.csv")
    if not split:
        run_pipeline("cluster", root, "--n-splits", N_SPLITS)
        return root
    order = np.random.default_rng(2).permutation(len(table)) % N_SPLITS
    pd.DataFrame({"fold": order}, table.index).to_csv(root / "theirs.csv")
    run_pipeline("cluster", root, "--folds", root / "theirs.csv", "--group-by", "--no-images")
    return root


def _finetune(root: Path, recipe: dict) -> float:
    (root / "models").mkdir(exist_ok=True)
    (root / "models" / "net.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    begun = time.monotonic()
    run_pipeline("finetune", root, "net")
    return time.monotonic() - begun


def _training(root: Path) -> tuple[pd.DataFrame, np.ndarray, pd.Series, np.ndarray]:
    """Return the training fields, their labels, clusters and folds."""
    catalogue = read_catalogue(root / "data" / "catalogue.csv")
    train = catalogue[catalogue["split"] == "train"]
    plan = read_fold_plan(root / "data" / "folds.csv").frame.loc[train.index]
    return train, HPA_2018.indicator(train["target"]), plan["cluster"], plan["fold"].to_numpy()


def _rows(root: Path, name: str, image_ids: pd.Index) -> np.ndarray:
    with open_store(root / "features" / f"{name}.h5") as store:
        return store.to_frame(image_ids).to_numpy()


def _with_interval(y: np.ndarray, scores: np.ndarray, clusters: pd.Series) -> str:
    score = macro_average_precision(y, scores)
    low, high = score_interval(score, macro_average_precision(y, scores, cluster_draws(clusters)))
    return f"{score:.3f} | {low:.3f} to {high:.3f}"


if __name__ == "__main__":
    main()
