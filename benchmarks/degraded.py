"""The stack compared with its own consensus on degraded input.

    python -m benchmarks.degraded [--data DIR] [--jobs N] [--only WORD ...]

Forty variants of the three real sets, with fixed seeds: a single CNN, CNNs and
features of noise, few fields, few positives, wrong labels, a CNN that is
miscalibrated, duplicated or shuffled; and samples of 300 to 3,000 fields. The
stack should never be below its consensus, nor below the best of its members,
beyond the sampling variation of the clusters. The best member is the one that is
best on the fields of the variant, so its score is slightly optimistic.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks.scores import SCORES, paired_scores, table_row
from benchmarks.stack_data import N_LABELS, SETS, RealSet
from benchmarks.stack_fits import command_line, fit_stack
from hpastack.metrics import macro_average_precision

# Number of labels with reduced positives, and positives kept of each.
_COMMONEST = 10
_POSITIVES_LEFT = 5

#: Sizes of samples; the holdout has 1,472 fields.
SIZES = (300, 500, 1000, 2000, 3000)
SMALL_SIZES = (300, 400, 600, 800, 1200)


def one_cnn(real: RealSet, best: bool) -> RealSet:
    """Keep the CNN with the best, or the worst, macro average precision, and the features."""
    ranked = _ranked(real)
    return _with_cnns(real, [ranked[0] if best else ranked[-1]])


def noise_cnns(real: RealSet, n_cnns: int, seed: int) -> RealSet:
    """Add CNNs of noise: random probabilities around the prevalence of each label."""
    rng = np.random.default_rng(seed)
    share = (real.y.to_numpy().sum(axis=0) + 0.5) / (len(real.y) + 1)
    added = {
        f"noise{number}": expit(logit(share) + rng.normal(size=real.y.shape))
        for number in range(n_cnns)
    }
    return _with_added_cnns(real, added)


def drawn_fields(real: RealSet, n_fields: int, seed: int) -> RealSet:
    """Sample whole clusters until there are at least `n_fields` fields."""
    rng = np.random.default_rng(seed)
    clusters = real.clusters.to_numpy()
    order = rng.permutation(np.unique(clusters))
    sizes = pd.Series(clusters).value_counts().loc[order].to_numpy()
    taken = order[: np.searchsorted(np.cumsum(sizes), n_fields) + 1]
    return real.rows(real.name, np.isin(clusters, taken))


def few_positives(real: RealSet, seed: int) -> RealSet:
    """Drop fields until the ten most frequent labels have at most five positives each."""
    rng = np.random.default_rng(seed)
    y = real.y.to_numpy()
    common = y[:, np.argsort(-y.sum(axis=0), kind="stable")[:_COMMONEST]]
    left, kept = np.full(_COMMONEST, _POSITIVES_LEFT), np.zeros(len(y), dtype=bool)
    for row in rng.permutation(len(y)):
        if (common[row] <= left).all():
            left -= common[row]
            kept[row] = True
    return real.rows(real.name, kept)


def noise_features(real: RealSet, keep: bool, seed: int) -> RealSet:
    """Replace the features by 50 columns of normal noise, or add these."""
    rng = np.random.default_rng(seed)
    names = [f"noise_feature_{number}" for number in range(50)]
    noise = pd.DataFrame(rng.normal(size=(len(real.X), 50)).astype(np.float32), real.X.index, names)
    X = real.X if keep else real.X.drop(columns=real.features)
    return replace(
        real, X=pd.concat([X, noise], axis=1), features=[*(real.features if keep else []), *names]
    )


def wrong_labels(real: RealSet, seed: int) -> RealSet:
    """Permute the labels of a tenth of the fields; scores are on these labels too."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(real.y), len(real.y) // 10, replace=False)
    y = real.y.copy()
    y.iloc[chosen] = real.y.to_numpy()[np.roll(chosen, 1)]
    return replace(real, y=y)


def miscalibrated_cnn(real: RealSet) -> RealSet:
    """Make the best CNN overconfident: five times its log-odds plus three."""
    cnn = _ranked(real)[0]
    log_odds = logit(np.clip(real.probabilities(cnn), 1e-6, 1 - 1e-6))
    return _with_changed_cnn(real, cnn, expit(5 * log_odds + 3))


def duplicated_cnn(real: RealSet) -> RealSet:
    """Add a copy of the worst CNN."""
    return _with_added_cnns(real, {"copy": real.probabilities(_ranked(real)[-1])})


def shuffled_cnn(real: RealSet, seed: int) -> RealSet:
    """Permute the columns of the best CNN over the labels."""
    cnn = _ranked(real)[0]
    order = np.random.default_rng(seed).permutation(N_LABELS)
    return _with_changed_cnn(real, cnn, real.probabilities(cnn)[:, order])


def variants(data: Path) -> Iterator[tuple[str, Callable[[], RealSet]]]:
    """Yield the names of the forty variants, and functions that make them."""

    @cache
    def real(name):
        return SETS[name](data)

    for name in ("oof", "silver"):
        yield f"{name}, best CNN only", lambda name=name: one_cnn(real(name), True)
        yield f"{name}, worst CNN only", lambda name=name: one_cnn(real(name), False)
    yield "holdout, best CNN only", lambda: one_cnn(real("holdout"), True)
    for name in ("oof", "silver"):
        for n_cnns in (2, 8):
            yield (
                f"{name}, {n_cnns} CNNs of noise added",
                lambda name=name, n_cnns=n_cnns: noise_cnns(real(name), n_cnns, 0),
            )
    for name, seed in (("oof", 0), ("oof", 1), ("silver", 2)):
        yield (
            f"{name}, 500 fields, draw {seed}",
            lambda name=name, seed=seed: drawn_fields(real(name), 500, seed),
        )
    yield "oof, 5 positives of the 10 most frequent labels", lambda: few_positives(real("oof"), 0)
    yield "silver, 50 features of noise only", lambda: noise_features(real("silver"), False, 0)
    yield "silver, 50 features of noise added", lambda: noise_features(real("silver"), True, 0)
    for name in ("oof", "silver"):
        yield f"{name}, a tenth of labels wrong", lambda name=name: wrong_labels(real(name), 0)
    yield "silver, best CNN miscalibrated", lambda: miscalibrated_cnn(real("silver"))
    yield "silver, worst CNN twice", lambda: duplicated_cnn(real("silver"))
    yield "oof, best CNN's columns shuffled", lambda: shuffled_cnn(real("oof"), 0)
    for name, seed, sizes in (
        ("oof", 3, SIZES), ("oof", 4, SIZES), ("silver", 5, SIZES), ("holdout", 6, SMALL_SIZES),
    ):  # fmt: skip
        for size in sizes:
            yield (
                f"{name}, {size:,} fields, draw {seed}",
                lambda name=name, size=size, seed=seed: drawn_fields(real(name), size, seed),
            )


def _ranked(real: RealSet) -> list[str]:
    y = real.y.to_numpy()
    return sorted(real.cnns, key=lambda c: -macro_average_precision(y, real.probabilities(c)))


def _columns(cnn: str) -> list[str]:
    return [f"{cnn}__{label}" for label in range(N_LABELS)]


def _with_cnns(real: RealSet, cnns) -> RealSet:
    columns = [column for cnn in cnns for column in _columns(cnn)]
    return replace(real, X=real.X[columns + real.features], cnns=list(cnns))


def _with_added_cnns(real: RealSet, added: dict) -> RealSet:
    frames = [
        pd.DataFrame(values.astype(np.float32), real.X.index, _columns(cnn))
        for cnn, values in added.items()
    ]
    return replace(real, X=pd.concat([real.X, *frames], axis=1), cnns=[*real.cnns, *added])


def _with_changed_cnn(real: RealSet, cnn: str, values) -> RealSet:
    X = real.X.copy()
    X[_columns(cnn)] = values.astype(np.float32)
    return replace(real, X=X)


def main(data: Path, jobs: int = 2, only=()) -> None:
    head = ["variant", "fields", *(f"consensus, {title}" for title, _ in SCORES.values())]
    for other in ("consensus", "best member"):
        head += [f"stack − {other}, {title}" for title, _ in SCORES.values()]
    print(table_row(head))
    print(table_row(["---"] * len(head)), flush=True)
    below: dict[tuple[str, str], list[str]] = {}
    n_variants = 0
    for name, make in variants(data):
        if only and not any(word in name for word in only):
            continue
        real = make()
        results, _ = fit_stack(real, real.folds(), jobs)
        scores, differences = paired_scores(real.y.to_numpy(), results, real.clusters.to_numpy())
        members = [system for system in results if system.startswith("member:")]
        cells = [name, f"{len(real.X):,}"]
        cells += [f"{scores['consensus'][key][0]:.4f}" for key in SCORES]
        for other in ("consensus", "best member"):
            for key, (_, sign) in SCORES.items():
                best = max(members, key=lambda system: sign * scores[system][key][0])
                compared = best if other == "best member" else other
                value, low, high = differences["stack", compared][key]
                cells.append(f"{value:+.4f} ({low:+.4f} to {high:+.4f})")
                if max(sign * low, sign * high) < 0:
                    below.setdefault((other, key), []).append(name)
        n_variants += 1
        print(table_row(cells), flush=True)
    print(f"\nWorse with an interval that excludes zero, of {n_variants} variants:")
    for other in ("consensus", "best member"):
        for key, (title, _) in SCORES.items():
            names = below.get((other, key), [])
            print(f"- than the {other}, by {title}: {len(names)}{_named(names)}")


def _named(names) -> str:
    return f" ({'; '.join(names)})" if names else ""


if __name__ == "__main__":
    parser = command_line(__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=(), help="variants with a word in the name")
    options = parser.parse_args()
    # With 500 fields some labels have fewer positives than folds.
    warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
    main(options.data, options.jobs, options.only)
