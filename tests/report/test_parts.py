"""Building blocks of the sections: descriptions, charts, example fields, the verdict."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from report_cases import hostile_names, without_cnns

from hpastack.errors import InputError
from hpastack.metrics import reliability_bins
from hpastack.pictures import OTHER_STYLE, SYMBOLS
from hpastack.report.charts import precision_recall_chart, reliability_chart
from hpastack.report.column_words import column_words
from hpastack.report.embedded import Pictures
from hpastack.report.facts import gather_facts
from hpastack.report.seconds import read_seconds, write_seconds
from hpastack.report.sections.cards import groups_of_fields
from hpastack.report.sections.labels import label_calibration_errors
from hpastack.report.sections.verdict import verdict_sentence
from hpastack.report.svg import Chart, interval_strip, mark, ticks

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    folder, y, clusters = without_cnns(tmp_path_factory.mktemp("models") / "plain")
    return gather_facts(folder, y, clusters)


def test_columns_are_said_in_words():
    labels, stores = ["Nucleoplasm", "Nuclear membrane"], {"cells": {}, "dino": {}}
    for column, words in [
        ("net__1", "net for Nuclear membrane"),
        ("net__7", "net__7"),
        ("consensus of Nucleoplasm", "consensus of the CNNs for Nucleoplasm"),
        ("cells__blue_mean", "blue mean (cells)"),
        ("dino", "all components of the embedding dino"),
        ("labels expected", "labels expected"),
        ("texture_contrast_d2__green",
         "GLCM contrast of green at distance 2 px (32 grey levels)"),
    ]:  # fmt: skip
        assert column_words(column, labels, stores) == words
    assert "NaN" not in column_words("spots_blob_size_s1__green", labels, stores)


def comparison(**f1):
    return pd.DataFrame(
        {"macro_f1": f1, "macro_ap": dict.fromkeys(f1, 0.5), "ece": dict.fromkeys(f1, 0.01),
         "brier": dict.fromkeys(f1, 0.1), "log_loss": dict.fromkeys(f1, 0.2)}
    )  # fmt: skip


def test_the_verdict_names_the_best_and_says_why_where_it_is_not_the_stack():
    table = comparison(consensus=0.5, xgboost=0.583, stack=0.567)
    table.loc["stack", "macro_ap"] = 0.6
    intervals = pd.DataFrame(
        {"macro_f1_gain_low": [-0.03], "macro_f1_gain_high": [0.01]}, ["xgboost"]
    )
    text = verdict_sentence(table, ["xgboost"], {}, intervals)
    assert text.startswith("The best predictor is xgboost alone, with macro F1 0.583 against 0.567")
    assert "(+0.016, 95 % interval −0.010 to +0.030)" in text
    assert "better on 1 of 5 scores, the stack on macro average precision." in text
    assert "within sampling variation" in text and "log loss" in text
    intervals["macro_f1_gain_high"] = -0.001
    assert "within" not in verdict_sentence(table, ["xgboost"], {}, intervals)

    best = verdict_sentence(
        comparison(consensus=0.5, stack=0.6), [], {"macro_f1_interval": (0.55, 0.65)}
    )
    assert best == (
        "The stack is the best predictor, with macro F1 0.600 (95 % interval 0.550 to 0.650)."
    )
    assert verdict_sentence(comparison(consensus=np.nan, stack=np.nan), [], {}).startswith("No ")


def test_fields_of_a_card_are_right_and_wrong_in_order_and_of_different_clusters(facts):
    for label in range(3):
        y, predicted = facts.y[:, label], facts.labels[:, label]
        groups = groups_of_fields(facts, label, 5)
        expected = {"right": (1, 1), "extra": (0, 1), "missed": (1, 0)}
        for name, rows in groups.items():
            truth, said = expected[name]
            assert set(y[rows]) <= {truth} and set(predicted[rows]) <= {said}
            assert len(set(facts.clusters[rows])) == len(rows) <= 5
            values = facts.probabilities[rows, label]
            assert list(values) == sorted(values, reverse=name != "missed")
        available = set(facts.clusters[(y == 0) & (predicted == 1)])
        assert len(groups["extra"]) == min(5, len(available))


def test_calibration_errors_of_labels_square_to_that_of_the_stack(facts):
    errors = label_calibration_errors(facts)
    # No bin of the rare label contains two clusters.
    assert [np.isnan(error) for error in errors] == [False, False, True]
    # Negative squared errors are clipped at 0, so the mean can only be larger.
    assert np.mean(np.square(errors[:2])) >= facts.stack.cv_results_["ece"] ** 2 - 1e-12


def test_only_stacks_of_the_same_fields_are_compared(facts):
    backwards = facts.system(facts.image_ids[::-1])
    np.testing.assert_array_equal(backwards.labels, facts.labels[::-1])
    with pytest.raises(InputError, match="fitted on other fields"):
        facts.system(facts.image_ids[1:])


def test_no_pictures_without_images():
    for pictures in (Pictures(), Pictures(None, 10)):
        pictures.measure(["a"])
        assert pictures.allowed("cards") == 0 and pictures.uri("a") is None


def parsed(markup):
    return ElementTree.fromstring(str(markup))


def test_charts_are_well_formed_name_themselves_and_escape():
    name = "<b>\"'&"
    y, probability = np.array([0, 1, 1, 0, 1]), np.array([0.1, 0.9, 0.4, 0.4, 0.8])
    root = parsed(reliability_chart(reliability_bins(y, probability), name))
    assert root.get("aria-label").startswith(f"{name}: largest gap")
    dots = root.findall(".//circle")
    assert [dot.find("title").text[:14] for dot in dots] == [
        "predicted 0.10", "predicted 0.40", "predicted 0.80", "predicted 0.90"
    ]  # fmt: skip
    counts = [dot.find("title").text.split(" among ")[1] for dot in dots]
    assert counts == ["1 field", "2 fields", "1 field", "1 field"]
    root = parsed(precision_recall_chart(y, probability, np.array([0, 1, 1, 1, 1]), name))
    assert root.get("aria-label") == f"{name}: recall 1.00, precision 0.75 at the threshold"
    assert len(root.findall(".//path[@class='chosen']")) == 1
    root = parsed(precision_recall_chart(y, probability, np.zeros(5, int), name))
    assert not root.findall(".//path[@class='chosen']")
    chart = Chart("c", x_title=name, y=(0.01, 10), log_y=True)
    chart.point(0.5, 1, title=name, marker="diamond")
    chart.text(0.1, 1, name)
    texts = ["".join(part.itertext()) for part in parsed(chart.markup()).iter()]
    assert texts.count(name) == 4, "axis, tooltip in its mark, text"


def test_marks_differ_in_shape_as_well_as_colour():
    names = [symbol.name for symbol in (*SYMBOLS, OTHER_STYLE.symbol)]
    marks = {mark(5, 5, 4, shape=name) for name in names}
    assert len(marks) == len(names)
    for drawn in marks:
        parsed(drawn)


def test_strips_stay_within_their_ends():
    root = parsed(interval_strip(2.0, -1.0, 3.0, ends=(0, 1), width=100))
    assert root.find("circle").get("cx") == "94"
    assert root.findall("path[@class='interval']")[0].get("d") == "M6 8H94"
    assert not parsed(interval_strip(float("nan"))).findall("circle")


def test_ticks_are_round_and_within():
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(-3, 12) == pytest.approx([0, 5, 10])
    assert ticks(2, 2) == [2]
    assert ticks(0.5, 2000, log=True) == [1, 10, 100, 1000]


def test_ids_of_hostile_fields_are_kept_whole(tmp_path):
    from hpastack.report.tiles import field_tiles

    facts = gather_facts(*hostile_names(tmp_path / "hostile"))
    tile = field_tiles(facts, [3], label=0)[0]
    assert tile["image_id"] == "<i>field3</i>" and tile["src"] is None
    assert tile["annotated"] == [facts.names[k] for k in np.flatnonzero(facts.y[3])]
    assert tile["probability"] == facts.probabilities[3, 0]


def test_seconds_are_read_as_written_and_nothing_else_is(tmp_path):
    taken = {"lightgbm": {"fit": 1.25}, "stack": {"fit": 1.25, "predict": 0.5}}
    path = write_seconds(tmp_path, "stack", taken)
    assert path.name == "stack_seconds.json" and read_seconds(tmp_path, "stack") == taken
    for damaged in ("", "[1]", '{"stack": 3}', '{"stack": {"fit": "<b>"}}'):
        path.write_text(damaged)
        assert read_seconds(tmp_path, "stack") == {}
    assert read_seconds(tmp_path, "other") == {}
