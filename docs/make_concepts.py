"""Draw the pictures of docs/concepts.md from small computations: python docs/make_concepts.py.

Needs the extra `report`; takes about two minutes on one core.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hpastack as hs  # noqa: E402
from hpastack.metrics import reliability_bins  # noqa: E402
from hpastack.pictures import group_styles  # noqa: E402
from hpastack.pictures.figures import FAINT, INK, figure_png, new_figure, style  # noqa: E402

FOLDER = Path(__file__).with_name("pictures")

# Of Okabe and Ito's colours, which are also distinct under colour blindness.
BLUE, ORANGE, VERMILION, GREEN = "#0072B2", "#E69F00", "#D55E00", "#009E73"
DOTS_PER_INCH = 100


def logit(probability: Any) -> Any:
    """Return log-odds."""
    return np.log(probability / (1 - probability))


def sigmoid(logits: Any) -> Any:
    """Return the probability of log-odds."""
    return 1 / (1 + np.exp(-logits))


def leakage() -> Figure:
    """Draw the score that folds promise beside the score on new wells."""
    rows = []
    for seed in range(3):
        dataset = hs.synthetic_dataset(240, 160, size=64, seed=seed, tail=0.5)
        design = dataset.design
        y = hs.HPA_2018.indicator(design["target"])
        features = np.array(
            [
                list(hs.field_features(field, families=["intensity", "compartments"]).values())
                for _, field in dataset.fields()
            ]
        )
        features = np.nan_to_num(features)
        train = (design["split"] == "train").to_numpy()
        # Test fields that copy a training field are not new.
        new = ~train & (design["duplicate_of"] == "").to_numpy()
        copies = design[design["duplicate_of"] != ""]
        pairs = pd.DataFrame({"image_id": copies.index, "twin": copies["duplicate_of"].to_numpy()})
        clusters = hs.clusters_from_keys(design.index, pairs, design[["well"]])[train]
        folds = {
            "random folds": KFold(4, shuffle=True, random_state=seed),
            "folds by cluster": hs.MultilabelStratifiedGroupKFold(4, random_state=seed),
        }
        for name, splitter in folds.items():
            of_train = np.zeros_like(y[train], dtype=float)
            of_new = np.zeros_like(y[new], dtype=float)
            plan = splitter.split(features[train], y[train], None if "random" in name else clusters)
            for learn, held_out in plan:
                forest = RandomForestClassifier(60, random_state=seed, n_jobs=1)
                forest.fit(features[train][learn], y[train][learn])
                of_train[held_out] = _positive(forest, features[train][held_out])
                of_new += _positive(forest, features[new]) / 4
            promised = hs.macro_average_precision(y[train], of_train)
            true = hs.macro_average_precision(y[new], of_new)
            rows.append((name, promised, true))
    table = pd.DataFrame(rows, columns=["folds", "promised", "true"])
    figure = new_figure(6.4, 2.6)
    axes = figure.subplots()
    for place, name in enumerate(["folds by cluster", "random folds"]):
        of_folds = table[table["folds"] == name]
        for column, colour, marker, shift in (
            ("promised", ORANGE, "s", 0.14), ("true", BLUE, "o", -0.14),
        ):  # fmt: skip
            values = of_folds[column]
            axes.barh(place + shift, values.mean(), 0.26, color=colour, alpha=0.35)
            caption = _CAPTIONS[column] if place else None
            axes.scatter(values, np.full(len(values), place + shift), c=colour, marker=marker,
                         s=26, zorder=3, label=caption)  # fmt: skip
            axes.text(values.max() + 0.02, place + shift, f"{values.mean():.2f}", va="center")
    axes.set_yticks([0, 1], ["folds by cluster", "random folds"])
    axes.set(xlabel="macro average precision", xlim=(0, 1), ylim=(-0.5, 1.5))
    axes.legend(loc="lower right")
    return figure


_CAPTIONS = {"promised": "in cross-validation", "true": "on new wells"}


def _positive(forest: RandomForestClassifier, features: np.ndarray) -> np.ndarray:
    """Return the probability of each label, 0 where the training rows had no positive."""
    columns = [
        p[:, list(classes).index(1)] if 1 in classes else np.zeros(len(features))
        for p, classes in zip(forest.predict_proba(features), forest.classes_)
    ]
    return np.array(columns).T


def folds() -> Figure:
    """Draw the fold of each field, cluster by cluster, and of each label how many are in a fold."""
    dataset = hs.synthetic_dataset(96, 0, size=64, seed=2, tail=0.3)
    design = dataset.design
    y = hs.HPA_2018.indicator(design["target"])
    wells = design["well"].to_numpy()
    plans = {
        "random folds": np.zeros(len(y), int),
        "folds by cluster": hs.MultilabelStratifiedGroupKFold(4, random_state=0).fold_numbers(
            y, wells
        ),
    }
    for number, (_, rows) in enumerate(KFold(4, shuffle=True, random_state=0).split(y)):
        plans["random folds"][rows] = number
    styles = group_styles([str(number) for number in range(4)], "domain")
    figure = new_figure(7.2, 2.9)
    panels = figure.subplots(2, 1, sharex=True)
    order = list(dict.fromkeys(wells))
    for axes, (title, plan) in zip(panels, plans.items()):
        for place, well in enumerate(order):
            for height, fold in enumerate(plan[wells == well]):
                mark = styles[str(fold)]
                axes.scatter(place, height, s=34, c=mark.colour, marker=mark.symbol.marker)
        n_split = sum(len(set(plan[wells == well])) > 1 for well in order)
        axes.set_title(f"{title}: {n_split} of {len(order)} wells are split", loc="left")
        axes.set(ylim=(-0.7, 5.7), xlim=(-0.7, len(order) - 0.3), yticks=[], xticks=[])
    panels[1].set_xlabel("wells, with one symbol per field")
    marks = [
        panels[0].scatter([], [], c=mark.colour, marker=mark.symbol.marker, label=f"fold {name}")
        for name, mark in styles.items()
    ]
    figure.legend(handles=marks, loc="outside right upper")
    return figure


def simulated(n: int, n_labels: int = 6, seed: int = 0) -> tuple[Any, ...]:
    """Return predictions of two CNNs, features, labels and wells of simulated fields.

    The features hold evidence that the CNNs have missed.
    """
    rng = np.random.default_rng(seed)
    wells = np.arange(n) // 3
    prevalence = np.array([0.4, 0.3, 0.2, 0.12, 0.08, 0.02])[:n_labels]
    seen, hidden, unseen = rng.normal(size=(3, n, n_labels))
    truth = 1.5 * seen + hidden + unseen + np.sqrt(4.25) * norm.ppf(prevalence) > 0
    y = pd.DataFrame(truth.astype(int), columns=[f"label {k}" for k in range(n_labels)])
    y.index = [f"field_{i}" for i in range(n)]
    columns = {}
    for name in ("net_a", "net_b"):
        noise = rng.normal(size=(n, n_labels))
        for k in range(n_labels):
            columns[f"{name}__{k}"] = sigmoid(
                2 * seen[:, k] + 0.7 * noise[:, k] + logit(prevalence[k])
            )
    for k in range(n_labels):
        columns[f"texture_{k}"] = hidden[:, k] + 0.3 * rng.normal(size=n)
    return pd.DataFrame(columns, index=y.index), y, pd.Series(wells, y.index)


def boosters() -> Figure:
    """Draw the log-odds of the stack against those of the consensus, for two labels."""
    X, y, wells = simulated(600)
    stack = hs.StackClassifier(cnns=["net_a", "net_b"], n_bootstrap=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack.fit(X, y, groups=wells)
    figure = new_figure(7.2, 3.3)
    titles = {
        "label 1": "common label: features add evidence",
        "label 5": "rare label: the consensus is kept",
    }
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items()):
        consensus = logit(stack.oof_consensus_[name])
        stacked = logit(stack.oof_probabilities_[name])
        axes.axline((0, 0), slope=1, color=FAINT, linewidth=1, linestyle="--")
        for value, colour, marker, caption in (
            (0, BLUE, "o", "without the label"), (1, VERMILION, "^", "annotated with it"),
        ):  # fmt: skip
            chosen = (y[name] == value).to_numpy()
            axes.scatter(consensus[chosen], stacked[chosen], c=colour, marker=marker, s=12,
                         alpha=0.6, linewidth=0, label=caption)  # fmt: skip
        axes.set_title(f"{title}\n({int(y[name].sum())} of {len(y)} fields)")
        axes.set(xlabel="log-odds of the consensus", ylabel="log-odds of the stack")
        axes.grid()
    figure.axes[0].legend(loc="upper left", handletextpad=0.1, borderpad=0)
    return figure


def nested() -> Figure:
    """Draw F1 at thresholds chosen on the same fields, on other folds, and on new fields."""
    rng = np.random.default_rng(0)
    slopes, offset, n_labels = 1.6, -4.2, 8

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        signal = rng.normal(size=(n, n_labels))
        probability = sigmoid(slopes * signal + offset)
        return (rng.random((n, n_labels)) < probability).astype(int), probability

    new_y, new_probability = draw(20_000)
    scores = {"same fields": [], "other folds (nested)": [], "new fields": []}
    for _ in range(40):
        y, probability = draw(400)
        fold = np.arange(400) % 5
        options = {"policy": "per-label", "max_ratio": 1e9}
        thresholds = hs.best_thresholds(y, probability, **options)
        by_fold = np.array(
            [hs.best_thresholds(y[fold != k], probability[fold != k], **options) for k in range(5)]
        )
        chosen = {
            "same fields": (y, hs.apply_thresholds(probability, thresholds)),
            "other folds (nested)": (y, hs.apply_thresholds(probability, by_fold[fold])),
            "new fields": (new_y, hs.apply_thresholds(new_probability, thresholds)),
        }
        for name, (annotated, labels) in chosen.items():
            scores[name].append(hs.macro_f1(annotated, labels))
    figure = new_figure(6.4, 2.5)
    axes = figure.subplots()
    colours = (ORANGE, BLUE, GREEN)
    for place, (name, colour, marker) in enumerate(zip(scores, colours, "so^")):
        height = 2 - place + rng.uniform(-0.22, 0.22, 40)
        axes.scatter(scores[name], height, c=colour, marker=marker, s=16, alpha=0.7, linewidth=0)
        mean = float(np.mean(scores[name]))
        axes.vlines(mean, 1.65 - place, 2.35 - place, color=INK, linewidth=2)
        axes.text(mean + 0.003, 2.4 - place, f"{mean:.2f}", va="center")
    axes.set_yticks([2, 1, 0], list(scores))
    axes.set(xlabel="macro F1 at thresholds chosen on 400 fields", ylim=(-0.5, 2.6))
    axes.grid(axis="x")
    return figure


def calibration() -> Figure:
    """Draw reliability before and after calibration, on fields that it was not fitted on."""
    rng = np.random.default_rng(0)
    truth = rng.normal(-1.2, 1.6, size=6000)
    y = (rng.random(6000) < sigmoid(truth)).astype(int)
    overconfident = 2.2 * truth + 1.0 + rng.normal(0, 0.5, 6000)
    fitted, other = np.arange(6000) < 1000, np.arange(6000) >= 1000
    maps = hs.fit_calibration(overconfident[fitted], y[fitted], np.arange(1000))
    panels = {
        "before": sigmoid(overconfident[other]),
        "after Platt scaling": sigmoid(maps(overconfident[other])),
    }
    figure = new_figure(6.4, 3.4)
    for axes, (title, probability), colour, marker in zip(
        figure.subplots(1, 2, sharey=True), panels.items(), (ORANGE, BLUE), "so"
    ):
        bins = reliability_bins(y[other], probability)
        error = hs.expected_calibration_error(y[other][:, None], probability[:, None])
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        axes.vlines(bins.predicted, bins.low, bins.high, color=colour, alpha=0.5, linewidth=2)
        axes.plot(bins.predicted, bins.observed, marker, color=colour)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set_title(f"{title}\ncalibration error {float(np.mean(error)):.3f}")
        axes.set_xlabel("predicted probability")
        axes.grid()
    figure.axes[0].set_ylabel("share with the label")
    return figure


def thresholds() -> Figure:
    """Draw F1 on new fields at thresholds chosen on few, for a common and a rare label."""
    rng = np.random.default_rng(0)
    offsets = np.array([-0.6, -4.6])

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        probability = sigmoid(1.6 * rng.normal(size=(n, 2)) + offsets)
        return (rng.random((n, 2)) < probability).astype(int), probability

    new_y, new_probability = draw(40_000)
    samples = [draw(400) for _ in range(40)]
    chosen = {
        policy: np.array([hs.best_thresholds(y, p, policy=policy) for y, p in samples])
        for policy in ("per-label", "combined")
    }
    figure = new_figure(7.2, 3.3)
    for k, axes in enumerate(figure.subplots(1, 2)):

        def f1(values: np.ndarray, k: int = k) -> list[float]:
            return [f1_score(new_y[:, k], new_probability[:, k] >= t) for t in values]

        grid = sigmoid(np.linspace(-4, 2, 60))
        axes.plot(grid, f1(grid), color=FAINT, linewidth=1.5)
        for policy, colour, marker, caption in (
            ("per-label", ORANGE, "s", "best on 400 fields"),
            ("combined", BLUE, "o", "shrunk, as in a stack"),
        ):
            values = chosen[policy][:, k]
            axes.scatter(values, f1(values), c=colour, marker=marker, s=22, alpha=0.7,
                         linewidth=0, zorder=3, label=caption)  # fmt: skip
        positives = int(np.mean([y[:, k].sum() for y, _ in samples]))
        axes.set_title(f"{('common', 'rare')[k]} label (about {positives} positives)")
        axes.set(xlabel="threshold", xlim=(0, 0.8), ylim=((0.4, 0.75), (0, 0.35))[k])
        axes.grid()
    figure.axes[0].set_ylabel("F1 on new fields")
    figure.axes[0].legend(loc="lower left", title="thresholds", alignment="left")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "leakage": leakage,
    "folds": folds,
    "boosters": boosters,
    "nested": nested,
    "calibration": calibration,
    "thresholds": thresholds,
}


def draw(name: str) -> bytes:
    """Return a picture as PNG."""
    with style(), warnings.catch_warnings():
        # Labels in few clusters are part of the picture.
        warnings.simplefilter("ignore", hs.RareLabelWarning)
        return figure_png(PICTURES[name](), DOTS_PER_INCH)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        png = draw(name)
        (FOLDER / f"{name}.png").write_bytes(png)
        print(f"wrote pictures/{name}.png, {len(png):,} bytes")
