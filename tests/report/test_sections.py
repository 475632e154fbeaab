"""Contents of the sections confusions, label check, data, training and provenance."""

import re
import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from report_cases import hostile_names, without_cnns

from hpastack.errors import InputError
from hpastack.pictures import group_styles
from hpastack.report.facts import gather_facts
from hpastack.report.page import page_text
from hpastack.report.sections import confusions, data, label_check, provenance, training
from hpastack.report.sections.balance import fold_balance, prevalence
from hpastack.report.sections.domain_map import domain_map
from hpastack.report.symbols import legend, symbol
from hpastack.stack import StackClassifier, StackRecipe

pytestmark = pytest.mark.core


def with_a_workspace(root, folder, y, clusters, **others):
    """Return the facts of a stack, with a catalogue of two test fields beside its own."""
    for name in ("data", "models", "reports", "submissions"):
        (root / name).mkdir(exist_ok=True)
    catalogue = pd.DataFrame({"split": "train", "source": "hpa2018", "cell_line": "HeLa"}, y.index)
    catalogue["target"] = [" ".join(map(str, np.flatnonzero(row))) for row in y.to_numpy()]
    catalogue.loc[y.index[::2], "cell_line"] = "U-2 OS"
    test = pd.DataFrame(
        {"split": "test", "source": "", "cell_line": "", "target": ""}, ["t0", "t1"]
    )
    catalogue = pd.concat([catalogue, test])
    places = {name: root / name for name in ("models", "reports", "submissions")}
    for name in ("leaks", "disagreements", "domains", "domain_map"):
        path = root / "data" / f"{name}.csv"
        if path.is_file():
            places[name] = path
    return gather_facts(folder, y, clusters, catalogue=catalogue, places=places, **others)


@pytest.fixture
def made(tmp_path):
    return without_cnns(tmp_path / "plain")


@pytest.fixture
def facts(made, tmp_path):
    return with_a_workspace(tmp_path, *made)


def test_symbols_differ_without_colours_and_without_shapes():
    assert len({symbol(k) for k in range(88)}) == 88
    assert len({name for _, name in map(symbol, range(8))}) == 8
    # A fold has the symbol that it has in figures.
    styles = group_styles([f"fold_{k}" for k in range(10)], "fold").values()
    assert [symbol(k)[1] for k in range(10)] == [style.symbol.name for style in styles]
    assert len({css for css, _ in map(symbol, range(8))}) == 8
    assert "<b>" not in legend(["<b>"]) and "&lt;b&gt;" in legend(["<b>"])


def test_cells_list_the_fields_behind_them(facts):
    context = confusions.context(facts)
    places = context["fields"]
    n_cells = 0
    for row in context["missed"]:
        k = row["number"]
        assert row["n_missed"] == int(((facts.y[:, k] == 1) & (facts.labels[:, k] == 0)).sum())
        assert row["is_few"] == (row["n_missed"] < 10)
        for cell in row["cells"]:
            listed = [places[int(place)] for place in cell["fields"].split()]
            assert len(listed) == min(cell["count"], 4)
            assert (cell["shade"] > 0) == (cell["count"] > 0)
            for field in listed:
                at = facts.image_ids.get_loc(field["image_id"])
                assert facts.y[at, k] and not facts.labels[at, k]
                assert facts.labels[at, cell["instead"]] and not facts.y[at, cell["instead"]]
                assert field["annotated"] == " ".join(map(str, np.flatnonzero(facts.y[at])))
                n_cells += 1
    assert n_cells, "some label is predicted instead of another"


def test_annotated_pairs_are_above_the_diagonal_and_predicted_ones_below(facts):
    rows = confusions.context(facts)["together"]
    for row in rows:
        k = row["number"]
        for j, cell in enumerate(row["cells"]):
            if j == k:
                assert cell is None
                continue
            said = facts.y if j > k else facts.labels
            assert cell["kind"] == ("annotated" if j > k else "predicted")
            assert cell["observed"] == (said[:, k] * said[:, j]).sum()
            expected = said[:, k].mean() * said[:, j].mean() * len(said)
            assert cell["expected"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("observed", "expected", "shade"),
    [(4, 4.9, "few"), (0, 0, "few"), (50, 50, "even"), (100, 50, "more2"), (400, 10, "more4"),
     (10, 20, "less2"), (0, 50, "less4")],
)  # fmt: skip
def test_shades_tell_more_from_less(observed, expected, shade):
    assert confusions._ratio_shade(observed, expected) == shade


def test_pairs_that_differ_most_come_first():
    y = np.zeros((100, 3), int)
    labels = y.copy()
    y[:50, :2] = 1
    labels[:45, :2] = 1
    labels[50:60, 1:] = 1
    pairs = confusions.differing_pairs(y, labels, ["a", "b", "c"])
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("b", "c"), ("a", "b")]
    assert pairs[0]["annotated"] == 0 and pairs[0]["predicted"] == 10
    assert np.isnan(pairs[0]["annotated_ratio"]), "c is never annotated"
    assert pairs[1]["annotated_ratio"] == 2


def test_a_single_label_has_no_confusions(tmp_path):
    ids = [f"field{i}" for i in range(40)]
    rng = np.random.default_rng(1)
    y = pd.DataFrame({"only": rng.integers(0, 2, 40)}, ids)
    X = pd.DataFrame({"size": rng.random(40)}, ids)
    StackClassifier(min_positives=100, n_bootstrap=0, n_jobs=1).fit(X, y).save(tmp_path / "small")
    assert confusions.context(gather_facts(tmp_path / "small", y)) is None


def test_each_doubted_field_comes_once_the_most_doubted_first(facts):
    issues = label_check.doubted_fields(facts, 7)
    assert len(issues) == issues["image_id"].nunique() == 7
    assert issues["score"].is_monotonic_decreasing
    tiles = label_check.context(facts)["tiles"]
    for tile, issue in zip(tiles, issues.itertuples()):
        assert tile["image_id"] == issue.image_id and tile["href"] is None
        label = facts.names.index(tile["label"])
        at = facts.image_ids.get_loc(tile["image_id"])
        assert tile["is_annotated"] == bool(facts.y[at, label])
        assert tile["doubted"] == facts.probabilities[at, label]


def test_the_review_page_is_linked_where_it_is(made, tmp_path):
    folder, y, clusters = hostile_names(tmp_path / "hostile")
    facts = with_a_workspace(tmp_path, folder, y, clusters)
    assert "hpastack review models/hostile" in page_text(facts, progress=False)
    (tmp_path / "reports" / "review.html").write_text("")
    assert re.fullmatch(
        r"review\.html#%3Ci%3Efield\d+%3C%2Fi%3E", label_check.context(facts)["tiles"][0]["href"]
    )
    assert 'href="review.html"' in page_text(facts, progress=False)


def test_what_the_workspace_does_not_have_is_not_shown(made):
    folder, y, clusters = made
    facts = gather_facts(folder, y, clusters)
    context = data.context(facts)
    assert context["leaks"] is context["disagreements"] is context["map"] is None
    assert training.context(facts) is None
    assert provenance.context(facts)["commands"] == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("Id,Target\nt0,0\n", "no column Predicted; a submission has the columns"),
        ("Id,Predicted\nt0,²\n", "field t0"),
        ("Id,Predicted\nt0,0\nt0,1\n", "t0"),
    ],
)
def test_a_file_that_is_no_submission_is_an_error(facts, text, words):
    (facts.places["submissions"] / "plain.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"plain.csv.*{words}"):
        page_text(facts, progress=False)


def test_leaks_and_duplicates_are_pairs(made, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "leaks.csv").write_text(
        "image_id,twin,twin_source,strength,evidence\n"
        "t0,field3,hpa2018,0.91,shift\nt0,field4,hpa2018,0.9,shift\nt1,field5,hpa2018,0.99,hash\n"
    )
    (tmp_path / "data" / "disagreements.csv").write_text(
        "cluster,image_id,target,source,n_same,n_fields\n"
        "c,field0,0 1,hpa2018,2,3\nc,field1,1 0,hpa2018,2,3\nc,field2,2,hpa2018,1,3\n"
    )
    facts = with_a_workspace(tmp_path, *made)
    (facts.places["submissions"] / "plain.csv").write_text("Id,Predicted\nt0,0 2\nt1,\n")
    leaks, disagreements = data._leaks(facts, 0), data._disagreements(facts, 0)
    assert leaks["n_fields"] == leaks["n_test"] == 2
    assert [pair["words"] for pair in leaks["pairs"]] == [
        "evidence: hash; strength: 0.99", "evidence: shift; strength: 0.91"
    ]  # fmt: skip
    test, training_field = leaks["pairs"][1]["fields"]
    assert (test["image_id"], test["verb"], test["names"]) == ("t0", "predicted", ["a", "c"])
    assert training_field["image_id"] == "field3"
    assert training_field["verb"] == "annotated"
    pair = disagreements["pairs"][0]
    assert pair["words"] == "cluster c, 3 training fields"
    assert [field["image_id"] for field in pair["fields"]] == ["field0", "field2"]
    assert pair["fields"][0]["names"] == ["a", "b"]
    text = page_text(facts, progress=False)
    assert "2 of 2 test fields show the same cells" in text and "strength: 0.99" in text
    assert "3 training fields in 1 cluster of duplicates" in text


def test_folds_are_compared_to_all_fields(facts):
    balance = fold_balance(facts)
    sizes = np.bincount(facts.stack.fold_)
    assert balance["sizes"] == sizes.tolist()
    for k, row in enumerate(balance["rows"]):
        assert sum(row["counts"]) == row["positives"] == facts.y[:, k].sum()
        ratios = np.array(row["counts"]) / sizes / facts.y[:, k].mean()
        assert row["largest"] in ratios and abs(row["largest"] - 1) == max(abs(ratios - 1))
        assert row["strip"].count("<title>") == len(sizes)


def test_prevalence_of_test_fields_is_that_of_the_submission(facts):
    assert prevalence(facts)["groups"] == ["training, annotated", "training, predicted"]
    (facts.places["submissions"] / "plain.csv").write_text("Id,Predicted\nt0,0 2\nt1,\n")
    shown = prevalence(replace(facts))
    assert shown["n_test"] == 2 and shown["groups"][2] == "test, predicted"
    by_name = {row["name"]: row for row in shown["rows"]}
    assert [by_name[name]["percents"][2] for name in "abc"] == [50, 0, 50]
    assert by_name["a"]["percents"][0] == pytest.approx(100 * facts.y[:, 0].mean())
    assert by_name["a"]["ratio"] == pytest.approx(0.5 / facts.labels[:, 0].mean())
    order = [row["percents"][0] for row in shown["rows"]]
    assert order == sorted(order, reverse=True)


def test_the_map_tells_fields_apart_by_what_is_known(made, tmp_path):
    (tmp_path / "data").mkdir()
    ids = [*made[1].index, "t0", "t1"]
    rng = np.random.default_rng(0)
    domains = pd.Series(np.arange(len(ids)) % 12, ids, name="domain").rename_axis("image_id")
    domains.to_csv(tmp_path / "data" / "domains.csv")
    points = pd.DataFrame(rng.normal(size=(len(ids), 2)), ids, ["component_1", "component_2"])
    points.rename_axis("image_id").to_csv(tmp_path / "data" / "domain_map.csv")
    facts = with_a_workspace(tmp_path, *made)
    shown = domain_map(facts, 0)
    assert shown["n_domains"] == 12 and shown["n_shown"] == shown["n_fields"] == 122
    names = [one["name"] for one in shown["maps"]]
    assert names == ["domain", "split", "cell line", "label"], "there is one source alone"
    for one in shown["maps"]:
        numbers = re.findall(r'data-i="(\d+)"', one["chart"])
        assert sorted(map(int, numbers)) == list(range(122))
    field = shown["fields"][0]
    assert field["image_id"] == "field0" and field["words"].startswith("domain 0; split train; ")
    names = [name for name, there in zip("abc", facts.y[0]) if there]
    assert field["words"].endswith(f"; annotated {', '.join(names) or 'nothing'}")
    assert shown["fields"][-1]["words"] == f"domain {121 % 12}; split test"
    assert 'class="map"' in page_text(facts, progress=False)
    points.iloc[1:].rename_axis("image_id").to_csv(tmp_path / "data" / "domain_map.csv")
    with pytest.raises(InputError, match=r"lack 1 field: field0; run: .*domains --overwrite"):
        domain_map(facts, 0)


HISTORY = (
    "fold,epoch,learning_rate,loss,macro_ap\n1,0,0.1,0.4,0.2\n0,0,0.1,0.5,\n0,1,0.1,0.25,0.5\n"
)


def test_learning_curves_have_a_line_for_each_fold(tmp_path):
    folder, y, clusters = hostile_names(tmp_path / "stack")
    facts = with_a_workspace(tmp_path, folder, y, clusters)
    assert training.context(facts) is None
    (tmp_path / "models" / "net").mkdir()
    path = tmp_path / "models" / "net" / "history.csv"
    path.write_text(HISTORY)
    (cnn,) = training.context(facts)["cnns"]
    assert [chart["title"] for chart in cnn["charts"]] == [
        "Training loss", "Score of held-out fields"
    ]  # fmt: skip
    assert cnn["charts"][0]["chart"].count('<path class="l') == 2
    assert [row["epochs"] for row in cnn["rows"]] == [2, 1]
    assert cnn["rows"][0]["values"] == [0.25, 0.5]
    section = page_text(facts, progress=False).split('<section id="training"')[1]
    assert "nan" not in section.split("</section>")[0].lower()
    for text, message in [("a,b\n1,2\n", "no column fold"), ("fold,epoch\n1,x\n", "could not")]:
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            training.read_history(path)


def test_commands_hold_every_setting_of_the_record(tmp_path):
    folder, y, clusters = hostile_names(tmp_path / "first")
    recipe = {"type": "stack", **StackRecipe(bags=2, prior_shift="null").record()}
    stores = {
        "net": {"kind": "out_of_fold", "recipe": {"type": "ingest"}},
        "own cells": {"recipe": {"type": "handcrafted", "size": 64, "families": ["spots"]}},
    }
    facts = gather_facts(folder, y, clusters)
    facts.manifest["record"].update(recipe=recipe, stores=stores)
    extract, stack = (shlex.split(command) for command in provenance.commands(facts))
    assert extract[:3] == ["hpastack", "extract", "own cells"]
    assert stack[:4] == ["hpastack", "stack", "--name", "first"]
    chosen = dict(word.split("=", 1) for word in stack if "=" in word)
    chosen = {key: yaml.safe_load(value) for key, value in chosen.items()}
    wanted = {**StackRecipe(bags=2, prior_shift="null", cnns=["net"]).record()}
    assert chosen == {**wanted, "features": ["own cells"]}
    rows = provenance.context(facts)["settings"]
    assert {row["key"] for row in rows[:2]} == {"bags", "prior_shift"}
    assert [row["differs"] for row in rows[:3]] == [True, True, False]
