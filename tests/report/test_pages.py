"""Reports of whole workspaces: with and without images and CNNs, and with unusual names."""

import html
import json
import re
import shutil
import time

import pandas as pd
import pytest
from report_cases import HOSTILE, hostile_names, real_predictions, without_cnns

from hpastack.errors import InputError
from hpastack.report.stack_report import write_report
from hpastack.stack import load_stack
from hpastack.store import StoreHeader, open_store, write_store
from pipelines import report, stack

SECTIONS = (
    "verdict", "leaderboard", "labels", "cards", "confusions", "label_check", "data", "provenance",
)  # fmt: skip


def text_of(path):
    return path.read_text(encoding="utf-8")


def pictures_of(text):
    return re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]*)"', text)


@pytest.mark.slow
def test_fields_are_shown_as_pictures_with_names_and_probabilities(reported):
    text = text_of(reported / "reports" / "stack.html")
    for section in SECTIONS:
        assert f'<section id="{section}"' in text
    alts = pictures_of(text)
    assert 20 < len(alts) <= 400 and len(text) < 6_000_000
    cards = text.split('<section id="cards"')[1].split("</section>")[0]
    on_cards = pictures_of(cards)
    assert all(re.match(r"Field \S+, .*Annotated: .*Predicted: ", alt) for alt in on_cards)
    assert cards.count('<figure class="tile"') == len(on_cards)
    assert all(alt.startswith("Field ") for alt in alts)
    assert "Most important columns" in text
    seconds = json.loads(text_of(reported / "reports" / "stack_seconds.json"))
    assert set(seconds) == {"lightgbm", "stack"} and seconds["stack"]["predict"] > 0
    assert f'data-v="{seconds["lightgbm"]["fit"]:.6g}"' in text


@pytest.mark.slow
def test_the_same_workspace_gives_the_same_bytes(reported, tmp_path):
    path = reported / "reports" / "stack.html"
    before = path.read_bytes()
    again = ["models/stack", "--overwrite", "--workspace", str(reported)]
    assert report.main([*again, "--jobs", "1"]) == 0
    assert path.read_bytes() == before


@pytest.mark.slow
def test_the_number_of_pictures_is_kept(reported, capsys):
    page = reported / "reports" / "stack.html"
    before = page.read_bytes()
    asked = ["models/stack", "--overwrite", "--workspace", str(reported), "--pictures"]
    try:
        assert report.main([*asked, "0"]) == 0
        assert not pictures_of(text_of(page)) and '<table class="ids">' in text_of(page)
        assert report.main([*asked, "100"]) == 0
        assert 0 < len(pictures_of(text_of(page))) <= 100
        assert report.main([*asked, "-1"]) == 2
        assert "--pictures is -1" in capsys.readouterr().err
    finally:
        page.write_bytes(before)


@pytest.mark.slow
def test_other_stacks_stand_beside_it(reported, tmp_path):
    shared = ["--workspace", str(reported)]
    plain = ["--name", "plain", "--set", "boosters=[]", "--set", "n_bootstrap=0"]
    assert stack.main([*plain, "--no-submission", *shared]) == 0
    y = _labels(reported)
    path = tmp_path / "both.html"
    folders = [reported / "models" / name for name in ("stack", "plain")]
    write_report(folders[0], y, path, compare=[folders[1]], n_pictures=0, progress=False)
    board = text_of(path).split('<section id="leaderboard"')[1].split("</section>")[0]
    assert "plain<small>other stack</small>" in board
    # Two stacks of the same name in different folders are kept apart.
    namesake = tmp_path / "plain"
    shutil.copytree(folders[1], namesake)
    write_report(folders[0], y, tmp_path / "three.html", compare=[folders[1], namesake],
                 n_pictures=0, progress=False)  # fmt: skip
    three = text_of(tmp_path / "three.html")
    assert three.count("<small>other stack</small>") == 2 and f"{namesake}<small>" in three
    score = load_stack(folders[1]).cv_results_["macro_f1"]
    assert f'data-v="{score:.6g}"' in board
    with pytest.raises(InputError, match="plain: the labels of this workspace lack 160 fields"):
        _, other, _ = without_cnns(tmp_path / "other")
        write_report(tmp_path / "other", other, path, compare=[folders[1]], overwrite=True)


def _labels(root):
    from hpastack.catalogue import training_fields
    from hpastack.workspace import Workspace

    workspace = Workspace(root)
    train, names = training_fields(workspace.read_catalogue()), workspace.vocabulary()
    return pd.DataFrame(names.indicator(train["target"]), train.index, list(names))


def test_hostile_names_are_text(tmp_path):
    folder, y, clusters = hostile_names(tmp_path / "hostile")
    path = write_report(folder, y, tmp_path / "hostile.html", clusters=clusters)
    text = text_of(path)
    assert text.count("<script>") == text.count("</script>") == 1
    assert "<img src=x" not in text and "<i>field" not in text
    for name in HOSTILE:
        assert html.escape(name).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in text
    assert "49" not in re.findall(r"\{\{ 7 \* 7 \}\}|49(?=<)", text)
    assert len(re.findall(r'<details class="card"', text)) == 2


def test_a_stack_without_cnns_starts_from_the_prior(tmp_path):
    folder, y, clusters = without_cnns(tmp_path / "plain")
    text = text_of(write_report(folder, y, tmp_path / "plain.html", clusters=clusters))
    assert "F1<br>prior" in text and "CNNs: 0" in text
    assert not pictures_of(text) and '<table class="ids">' in text
    assert "<code>field" in text
    intervals = load_stack(folder).comparison_intervals_
    low, high = intervals.loc["lightgbm", ["macro_f1_low", "macro_f1_high"]]
    assert f"{low:.3f}–{high:.3f}" in text


def test_important_columns_are_named_while_the_stores_are_unchanged(tmp_path):
    folder, y, clusters = without_cnns(tmp_path / "plain")
    features = tmp_path / "features"
    path = tmp_path / "plain.html"

    def reasons():
        write_report(
            folder, y, path, clusters=clusters, places={"features": features}, jobs=1,
            overwrite=True, progress=False,
        )  # fmt: skip
        text = text_of(path)
        cards = text.split('<details class="card"')[1:]
        return [
            re.findall(r"<li>(\w+)", card.split("Most important columns")[1]) for card in cards[:2]
        ]

    of_a, of_b = reasons()
    assert (of_a[0], of_b[0]) == ("area", "texture")
    with open_store(features / "cells.h5") as store:
        header = StoreHeader("target_free", "features", store.columns, recipe={"type": "other"})
        write_store(
            features / "cells.h5", header, store.image_ids, 0 * store.values(), overwrite=True
        )
    write_report(folder, y, path, clusters=clusters, places={"features": features}, overwrite=True)
    assert "Most important columns" not in text_of(path)


@pytest.mark.slow
def test_real_predictions_without_images_take_no_longer_than_half_a_minute(tmp_path, real_data):
    folder, y = real_predictions(tmp_path / "real", real_data)
    clusters = pd.Series(y.index, y.index)
    started = time.process_time()
    path = write_report(folder, y, tmp_path / "real.html", clusters=clusters)
    assert time.process_time() - started < 60, "on two processors it is half"
    text = text_of(path)
    assert "31,072 training fields" in text and '<table class="ids">' in text
    assert len(text) < 3_000_000
