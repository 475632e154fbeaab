"""The contract of libraries of boosters, over `LIBRARIES`: a new one is held to it too."""

import configparser
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from reference.staged import staged
from scipy.special import expit

from hpastack.boosting import LIBRARIES, SharedBins, TreeSettings, library
from hpastack.errors import InputError

ROOT = Path(__file__).parents[2]
#: Libraries of trees, the others being linear.
TREES = [name for name in LIBRARIES if "leaves" not in LIBRARIES[name].ignores]
N, COLUMNS, ROUNDS = 400, 4, 20
SETTINGS = TreeSettings(rounds=ROUNDS, min_leaf=5, l2=5.0)

# Loads mutated files of a library and uses those that pass its check. A child process, which may
# die, says which file it has come to.
MUTATIONS = """
import sys
import numpy as np
from hpastack.boosting import library
from hpastack.errors import InputError

name, path, columns = sys.argv[1], sys.argv[2], int(sys.argv[3])
content, x = open(path, "rb").read(), np.zeros((20, columns), dtype=np.float32)
for use in (library(name).predict, library(name).contributions):
    use(content, x)
passed = 0
for seed in range(400):
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    place, kind = int(rng.integers(len(content))), seed % 4
    if kind == 0:
        changed[place] = int(rng.integers(256))
    elif kind == 1:
        changed[place : place + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1])).to_bytes(4)
    elif kind == 2:
        source = int(rng.integers(len(content)))
        changed[place : place + 16] = content[source : source + 16]
    else:
        del changed[place:]
    print(seed, flush=True)
    try:
        library(name).check(bytes(changed))
    except InputError:
        continue
    passed += 1
    for use in (library(name).predict, library(name).contributions):
        try:
            use(bytes(changed), x)
        except Exception:  # an error of the library's own, such as one of impossible weights
            pass
print("passed", passed)
"""


@pytest.fixture(params=LIBRARIES)
def name(request):
    pytest.importorskip(LIBRARIES[request.param].package)
    return request.param


def draw(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, COLUMNS)).astype(np.float32)
    x[::23, 2] = np.nan
    margin = rng.normal(-0.5, 1, size=N).astype(np.float32)
    y = (rng.random(N) < expit(margin + 2 * x[:, 0] - x[:, 1])).astype(np.float32)
    return x, y, margin


def fit(
    name, x, y, margin, settings=SETTINGS, *, seed=0, stages=(ROUNDS,), at_stage=None, n_monotone=0
):
    return library(name).fit(
        x,
        y,
        margin,
        settings,
        seed=seed,
        stages=stages,
        at_stage=at_stage,
        n_monotone=n_monotone,
        bins=library(name).bins(x, settings),
    )


def test_names_and_endings_tell_libraries_apart(name):
    assert name.isidentifier() and library(name).suffix.startswith(".")
    assert [of.suffix for of in LIBRARIES.values()].count(library(name).suffix) == 1


def test_a_library_is_required_or_an_extra_of_its_name(name):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    required, package = setup["options"]["install_requires"], f"{library(name).package} >="
    if package not in required:
        assert package in extras[name]
        assert package in extras["test"]


def test_the_documentation_names_it(name):
    formats, method = (
        (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("formats.md", "method.md")
    )
    assert f"{library(name).suffix}`" in formats.partition("\n## Stack\n")[2]
    assert name in method.partition("**3. Members.**")[2].lower()


def test_the_same_seed_grows_the_same_trees(name):
    x, y, margin = draw()
    settings = TreeSettings(column_share=0.5)
    first, again, other = (
        library(name).added(fit(name, x, y, margin, settings, seed=seed), x, 0, ROUNDS)
        for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    # A linear model draws nothing.
    assert np.array_equal(first, other) == (name not in TREES)


@pytest.mark.parametrize("shift", [0.0, 1.5])
@pytest.mark.parametrize("name", TREES, indirect=True)
def test_trees_add_to_the_margin_and_nothing_else(name, shift):
    x, y, margin = draw()
    margin = margin + np.float32(shift)
    added = library(name).added(fit(name, x, y, margin, stages=[1]), x, 0, 1)
    leaves, leaf = np.unique(added.round(6), return_inverse=True)
    assert len(leaves) > 3
    # A leaf adds one regularised Newton step from the margin, wherever that starts.
    p = expit(margin.astype(float))
    step = np.bincount(leaf, y - p) / (np.bincount(leaf, p * (1 - p)) + SETTINGS.l2)
    assert leaves == pytest.approx(SETTINGS.learning_rate * step, abs=1e-5)


def test_a_margin_that_knows_everything_leaves_little_to_add(name):
    x, _, margin = draw()
    y = (x[:, 0] > 0).astype(np.float32)
    added = library(name).added(fit(name, x, y, margin), x, 0, ROUNDS)
    assert added[y == 1].mean() > 0.5 and added[y == 0].mean() < -0.5
    sure = np.where(y == 1, 10.0, -10.0).astype(np.float32)
    assert abs(library(name).added(fit(name, x, y, sure), x, 0, ROUNDS)).max() < 0.1


def test_trees_add_up(name):
    x, y, margin = draw()
    model = fit(name, x, y, margin)
    stages = staged(library(name), model, x, [5, ROUNDS])
    whole = library(name).added(model, x, 0, ROUNDS)
    np.testing.assert_allclose(stages[1], whole, atol=1e-5)  # sums of floats in two orders
    assert np.array_equal(stages[0], library(name).added(model, x, 0, 5).astype(np.float32))
    assert 0 < np.abs(stages[0]).mean() < np.abs(stages[1]).mean()


def test_sizes_of_models_ascend_to_the_largest(name):
    for rounds, least in ((60, 10), (3, 10), (10, 10), (1, 1), (2, 1)):
        stages = library(name).stages(rounds, least)
        assert stages == sorted(set(stages)) and stages[0] >= 1
        if name in TREES:
            assert (stages[0], stages[-1]) == (min(rounds, least), rounds)


def test_a_model_is_shown_after_each_stage_and_stops_when_told_to(name):
    x, y, margin = draw()
    stages = [1, 2, 4, 6]
    seen = []

    def stop_after(last):
        def at_stage(model, number):
            start = stages[number - 1] if number else 0
            seen.append((number, library(name).added(model, x, start, stages[number])))
            return number == last

        return at_stage

    whole = fit(name, x, y, margin, stages=stages, at_stage=stop_after(None))
    if not seen:
        return  # the library does not stop under way
    assert [number for number, _ in seen] == [0, 1, 2, 3]
    shown, parts = list(seen), np.stack([values for _, values in seen])
    # What was shown under way is what the finished model says of these trees.
    every = staged(library(name), whole, x, stages)
    np.testing.assert_allclose(parts.cumsum(axis=0), every, atol=1e-5)
    seen.clear()
    stopped = fit(name, x, y, margin, stages=stages, at_stage=stop_after(1))
    assert [number for number, _ in seen] == [0, 1]
    for (_, first), (_, second) in zip(shown, seen):
        assert np.array_equal(first, second)
    # It has no trees beyond, and those it has are those of the whole model.
    assert not library(name).added(stopped, x, 2, 6).any()
    np.testing.assert_allclose(library(name).added(stopped, x, 0, 6), every[1], atol=1e-5)


def test_a_kept_booster_predicts_as_the_fitted_one(name):
    x, y, margin = draw()
    model = fit(name, x, y, margin)
    content = library(name).to_bytes(model)
    assert isinstance(content, bytes)
    library(name).check(content)
    fresh = draw(1)[0]
    expected = library(name).added(model, fresh, 0, ROUNDS)
    np.testing.assert_allclose(library(name).predict(content, fresh), expected, atol=1e-6)
    assert library(name).predict(content, fresh[:0]).shape == (0,)


def test_contributions_add_up_to_what_is_added(name):
    x, y, margin = draw()
    content = library(name).to_bytes(fit(name, x, y, margin))
    contributions = library(name).contributions(content, x)
    assert contributions.shape == (N, COLUMNS + 1)
    np.testing.assert_allclose(
        contributions.sum(axis=1), library(name).predict(content, x), atol=1e-4
    )
    # The columns that count are found.
    assert np.abs(contributions[:, :COLUMNS]).mean(axis=0).argmax() == 0


def test_a_monotone_column_never_lowers_the_log_odds(name):
    x, y, margin = draw()
    y = 1 - y  # so that without the constraint it would
    steps = np.repeat(x[:1], 50, axis=0)
    steps[:, 0] = np.linspace(-3, 3, 50)
    free, bound = (
        library(name).added(fit(name, x, y, margin, n_monotone=k), steps, 0, ROUNDS) for k in (0, 1)
    )
    assert np.diff(free).min() < 0
    assert np.diff(bound).min() >= -1e-6  # float32


def test_missing_values_are_values(name):
    x, y, margin = draw()
    holes = x.copy()
    holes[:, 0] = np.nan  # of a column that had none when the trees grew
    content = library(name).to_bytes(fit(name, x, y, margin))
    assert np.isfinite(library(name).predict(content, holes)).all()
    assert np.isfinite(library(name).contributions(content, holes)).all()


@pytest.mark.parametrize("constant", [0.0, 1.0, np.nan], ids=str)
def test_nothing_to_learn_is_no_error(name, constant):
    x, y, margin = draw()
    blank = np.full_like(x, constant)
    for columns, labels in ((blank, y), (x, np.zeros_like(y)), (x, np.ones_like(y))):
        content = library(name).to_bytes(fit(name, columns, labels, margin))
        library(name).check(content)
        assert np.isfinite(library(name).predict(content, columns)).all()


def test_one_thread_does_the_work(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 30)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    fit(name, x[:100], y[:100], np.zeros(100, dtype=np.float32), stages=[1])  # imports, pools
    process, thread = time.process_time(), time.thread_time()
    library(name).added(fit(name, x, y, np.zeros_like(y)), x, 0, ROUNDS)
    own = time.thread_time() - thread
    assert time.process_time() - process - own < 0.2 * own


def test_nothing_is_printed_and_no_file_written(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    x, y, margin = draw()
    content = library(name).to_bytes(fit(name, x, y, margin, n_monotone=1))
    library(name).contributions(content, x)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_what_is_no_booster_is_an_input_error(name):
    x, y, margin = draw()
    content = library(name).to_bytes(fit(name, x, y, margin))
    for share in np.linspace(0, 0.999, 30):
        with pytest.raises(InputError, match="booster"):
            library(name).check(content[: int(share * len(content))])
    for other in LIBRARIES:
        if other != name:
            with pytest.raises(InputError, match="booster"):
                LIBRARIES[other].check(content)


@pytest.mark.slow
def test_no_mutated_file_reads_memory_of_others(name, tmp_path):
    x, y, margin = draw()
    path = tmp_path / "booster"
    path.write_bytes(library(name).to_bytes(fit(name, x, y, margin, stages=[3])))
    ran = subprocess.run(
        [sys.executable, "-c", MUTATIONS, name, str(path), str(COLUMNS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, (ran.stdout.splitlines()[-1:], ran.stderr[-500:])
    # A quarter were cut. Other values in leaves are a booster, unless the format has a checksum.
    assert int(ran.stdout.split()[-1]) < 300


def test_bins_are_shared_by_labels(name):
    x, y, margin = draw()
    bins = SharedBins(x, 0, 1.0, np.empty((0, N, 1), dtype=np.float32))
    columns = np.arange(COLUMNS)
    models = [
        bins.fit(name, x, labels, margin, columns, SETTINGS, seed=0, stages=[ROUNDS])
        for labels in (y, 1 - y, y)
    ]
    first, other, again = (library(name).added(model, x, 0, ROUNDS) for model in models)
    assert np.array_equal(first, again)
    assert np.corrcoef(first, other)[0, 1] < 0


def test_a_library_that_is_unknown_or_missing_is_named(monkeypatch):
    with pytest.raises(InputError, match="unknown booster 'forest'; choose from lightgbm"):
        library("forest")

    class Forest:
        package = "forests-of-elsewhere"

    monkeypatch.setitem(LIBRARIES, "forest", Forest)
    with pytest.raises(InputError, match=r"elsewhere; run: pip install 'hpastack\[forest\]'"):
        library("forest")
