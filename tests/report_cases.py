"""Workspaces and stacks for tests of reports."""

import numpy as np
import pandas as pd

from hpastack.labels import HPA_2018
from hpastack.stack import StackClassifier
from hpastack.store import StoreHeader, open_store, write_store
from hpastack.workspace import Workspace
from pipelines import cluster, extract, ingest, prepare, stack, synthesize

#: Names that HTML, a figure or a script could interpret as markup.
HOSTILE = ["</script><img src=x onerror=alert(1)>", "\"'><b>&amp; $\\frac{1}{2}$ {{ 7 * 7 }}"]


def few_fields(root):
    """Make a workspace of a few synthetic fields with images and a fitted stack."""
    shared = ["--workspace", str(root)]
    drawn = root / "synthetic"
    size = ["--train", "160", "--test", "40", "--size", "48"]
    wells = ["--min-train-wells", "2", "--min-test-wells", "0"]
    assert synthesize.main([str(drawn), *size, *wells, "--tail", "0.35", *shared]) == 0
    assert prepare.main([str(drawn), "--groups", str(drawn / "groups.csv"), *shared]) == 0
    assert cluster.main(["--n-splits", "4", *shared]) == 0
    _predict(root)
    settings = ["--set", "size=48", "--set", "families=[intensity]"]
    assert extract.main(["handcrafted", *settings, *shared]) == 0
    settings = ["--set", "boosters=[lightgbm]", "--set", "rounds=8", "--set", "n_bootstrap=20"]
    settings += ["--set", "min_positives=5", "--set", "min_clusters=2"]
    assert stack.main([*settings, *shared]) == 0
    return root


def _predict(root):
    """Import simulated predictions of a CNN of moderate accuracy."""
    workspace, rng = Workspace(root), np.random.default_rng(0)
    catalogue = workspace.read_catalogue()
    train = catalogue[catalogue["split"] == "train"]
    truth = np.zeros((len(catalogue), len(HPA_2018)))
    truth[: len(train)] = HPA_2018.indicator(train["target"])
    values = 1 / (1 + np.exp(-(3 * truth - 2.5 + rng.normal(size=truth.shape))))
    table = pd.DataFrame(values, [*train.index, *catalogue.index.difference(train.index)])
    (root / "outside").mkdir()
    table.rename_axis("Id").to_csv(root / "outside" / "net.csv")
    plan = workspace.read_folds(catalogue).frame["fold"].rename_axis("Id").reset_index()
    plan.to_csv(root / "outside" / "folds.csv", index=False)
    made = [str(root / "outside" / "net.csv"), "--name", "net", "--kind", "out_of_fold"]
    folds = ["--folds", str(root / "outside" / "folds.csv")]
    assert ingest.main([*made, *folds, "--workspace", str(root)]) == 0


def hostile_names(folder):
    """Fit a stack of two labels whose names are markup; return it, labels and clusters."""
    rng = np.random.default_rng(1)
    ids = [f"<i>field{i}</i>" for i in range(90)]
    y = pd.DataFrame(rng.integers(0, 2, (90, 2)), ids, HOSTILE)
    X = pd.DataFrame(0.45 * y.to_numpy() + 0.55 * rng.random((90, 2)), ids, ["net__0", "net__1"])
    clusters = pd.Series([f"well{i // 2}" for i in range(90)], ids)
    settings = {"boosters": ["lightgbm"], "rounds": 5, "n_bootstrap": 10, "n_jobs": 1}
    fitted = StackClassifier(cnns=["net"], **settings).fit(X, y, groups=clusters)
    fitted.save(folder, record={"notes": [f"net: {HOSTILE[0]}"], "stores": {}})
    return folder, y, clusters


def without_cnns(folder):
    """Fit a stack on a store of features; return it, labels and clusters.

    The store is ``features/cells.h5`` beside the stack.
    """
    rng = np.random.default_rng(2)
    ids = [f"field{i}" for i in range(120)]
    y = pd.DataFrame((rng.random((120, 3)) < [0.5, 0.3, 0.1]).astype(int), ids, ["a", "b", "c"])
    X = pd.DataFrame(rng.normal(size=(120, 4)), ids, ["area", "texture", "edges", "noise"])
    X[["area", "texture"]] += 1.5 * y[["a", "b"]].to_numpy()
    clusters = pd.Series([f"well{i // 2}" for i in range(120)], ids)
    settings = {"boosters": ["lightgbm", "linear"], "rounds": 5, "n_bootstrap": 10, "n_jobs": 1}
    fitted = StackClassifier(**settings).fit(X, y, groups=clusters)
    store = folder.parent / "features" / "cells.h5"
    write_store(store, StoreHeader("target_free", "features", list(X)), ids, X)
    with open_store(store) as opened:
        made = {"made_from": opened.made_from, "recipe": opened.recipe, "kind": opened.kind}
    fitted.save(folder, record={"notes": [], "stores": {"cells": made}})
    return folder, y, clusters


def real_predictions(folder, data):
    """Fit the consensus of three CNNs on all real training fields; return it and the labels."""
    train = pd.read_csv(data / "labels" / "train.csv", index_col="Id")["Target"]
    y = pd.DataFrame(HPA_2018.indicator(train), train.index, list(HPA_2018))
    columns = {}
    for name in ("DenseNet121", "InceptionV3", "ResNet50"):
        table = pd.read_csv(data / "cnn_oof" / f"{name}.csv", index_col="Id", keep_default_na=False)
        predicted = table["Predicted"].astype(str).loc[train.index]
        values = HPA_2018.indicator(predicted, allow_empty=True)
        columns |= {f"{name}__{k}": values[:, k].astype(float) for k in range(len(HPA_2018))}
    X = pd.DataFrame(columns, train.index)
    cnns = ["DenseNet121", "InceptionV3", "ResNet50"]
    StackClassifier(cnns=cnns, boosters=[], n_bootstrap=20, n_jobs=2).fit(X, y).save(folder)
    return folder, y
