"""The report is complete, self-contained and escaped, and belongs to its stack."""

import base64
import hashlib
import html
import json
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.report.stack_report import write_report
from hpastack.stack import StackClassifier

# Names that HTML and matplotlib would parse as markup; a label that never occurs.
NAMES = ["<b>&", "a $\\frac$ b", "none", *(f"a rather long name of label {k}" for k in range(12))]


def fitted(folder, names, n=200, record=None, **parameters):
    rng = np.random.default_rng(0)
    ids = [f"field{i}" for i in range(n)]
    share = np.linspace(0.5, 0.1, len(names))
    y = pd.DataFrame((rng.random((n, len(names))) < share).astype(int), ids, names)
    if "none" in names:
        y["none"] = 0
    values = 0.45 * y.to_numpy() + 0.55 * rng.random(y.shape)
    X = pd.DataFrame(values, ids, [f"net__{k}" for k in range(len(names))])
    clusters = pd.Series([f"cluster{i // 2}" for i in range(n)], ids)
    settings = {"boosters": ["lightgbm"], "rounds": 5, "n_bootstrap": 5, "n_jobs": 1, **parameters}
    stack = StackClassifier(cnns=["net"], **settings).fit(X, y, groups=clusters)
    stack.save(folder, record=record)
    return folder, y, clusters


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    record = {
        "notes": ["net: its fold plan splits 3 clusters <i>"],
        "stores": {
            "net": {
                "kind": "out_of_fold",
                "content": "label_sets",
                "recipe": {"type": "ingest", "epochs": [1, 2]},
                "made_from": "0123456789abcdef",
                "fold_plan": "fedcba9876543210",
            }
        },
        "recipe": {"thresholds": "shrunk", "accept_fold_plans": ["net"]},
    }
    return fitted(tmp_path_factory.mktemp("models") / "tiny", NAMES, record=record)


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    folder, y, clusters = made
    path = tmp_path_factory.mktemp("reports") / "tiny.html"
    return write_report(folder, y, path, clusters=clusters).read_text(encoding="utf-8")


def test_it_needs_no_other_file_and_no_network(page):
    assert "://" not in page  # unlike "http", cannot come up in base64 by chance
    for word in ("<link", "@import", "url(", 'src="http', " style=", " onclick="):
        assert word not in page
    assert page.count("<script>") == page.count("<style>") == 1
    assert all(re.findall(r'<img src="data:image/[^>]*alt="([^"]*)"', page))
    assert len(re.findall("<img ", page)) == len(re.findall(r'<img src="data:image/', page))


def test_the_policy_allows_what_the_page_holds_and_nothing_else(page):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for kind in ("style", "script"):
        text = re.search(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_ids_in_the_page_are_unique_and_links_lead_somewhere(page):
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


def test_names_and_notes_are_escaped(page):
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page
    assert "its fold plan splits 3 clusters &lt;i&gt;" in page


def test_it_says_what_was_fitted_and_what_it_is_worth(made, page):
    from hpastack.stack import load_stack

    scores = load_stack(made[0]).cv_results_
    for name in ("macro_f1", "naive_macro_f1", "macro_ap", "naive_macro_ap"):
        assert f"{scores[name]:.3f}" in page
    assert f"{scores['macro_f1_interval'][0]:.3f} to" in page.replace("\n", " ")
    assert "200 training fields in 100 clusters, 15 labels, 5 folds" in page
    assert page.index("Read before you trust") < page.index('class="scores"')
    assert scores["n_labels_scored"] == 14 and "14 of 15 labels had positives" in page
    assert "No field has none; if these count with F1 0" in page
    assert f"macro F1 is {scores['macro_f1_all_labels']:.3f}" in page
    assert "root mean squared gap" in page and "widened for labels in few clusters" in page
    assert "label sets" in page and "0123456789ab<" in page and "epochs: 1, 2" in page
    # The table keeps the order of the vocabulary.
    rows = [page.index(f'<tr data-name="a rather long name of label {k}"') for k in range(12)]
    assert rows == sorted(rows)


def test_an_earlier_stack_keeps_the_meaning_of_its_scores(made, tmp_path):
    folder, y, _ = made
    earlier = tmp_path / "earlier"
    shutil.copytree(folder, earlier)
    manifest = json.loads((earlier / "stack.json").read_text())
    for name in ("n_labels_scored", "macro_f1_all_labels"):
        del manifest["cv_results"][name]
    (earlier / "stack.json").write_text(json.dumps(manifest))
    text = write_report(earlier, y, tmp_path / "earlier.html").read_text("utf-8")
    assert "No field has none; macro F1 includes F1 0 for these" in text
    assert "mean F1 of all labels" in text and "mean gap between" in text
    assert "root mean squared gap" not in text and "widened" not in text


def test_the_same_stack_gives_the_same_bytes(made, page, tmp_path):
    folder, y, clusters = made
    path = write_report(folder, y, tmp_path / "tiny.html", clusters=clusters)
    assert path.read_text(encoding="utf-8") == page


def test_a_stack_of_one_label_without_cnns_clusters_boosters_or_draws(tmp_path):
    rng = np.random.default_rng(1)
    ids = [f"field{i}" for i in range(40)]
    y = pd.DataFrame({"only": rng.integers(0, 2, 40)}, ids)
    X = pd.DataFrame({"size": rng.random(40)}, ids)
    settings = {"boosters": ["lightgbm"], "min_positives": 100, "n_bootstrap": 0, "n_jobs": 1}
    StackClassifier(**settings).fit(X, y).save(tmp_path / "small")
    text = write_report(tmp_path / "small", y, tmp_path / "small.html").read_text("utf-8")
    assert "40 training fields, 1 label, 5 folds; CNNs: 0" in text
    assert "no interval (n_bootstrap is 0)" in text
    assert "saved without a record of its stores" in text
    assert "Change from the prior to the stack" in text and '<th scope="col">F1<br>prior' in text


def test_labels_that_never_occur_break_nothing(tmp_path):
    ids = [f"field{i}" for i in range(40)]
    y = pd.DataFrame(0, ids, ["a", "b"])
    X = pd.DataFrame({f"net__{k}": np.linspace(0, 0.4, 40) for k in range(2)}, ids)
    StackClassifier(cnns=["net"], n_bootstrap=0, n_jobs=1).fit(X, y).save(tmp_path / "empty")
    text = write_report(tmp_path / "empty", y, tmp_path / "empty.html").read_text("utf-8")
    assert "0 of 2 labels had positives" in text and "No field has a, b" in text
    shown = re.sub(r"base64,[^\"]*|<script>.*</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"\bnan\b", shown.lower())


def test_an_existing_file_is_kept_unless_asked(made, tmp_path):
    folder, y, _ = made
    path = tmp_path / "tiny.html"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"tiny\.html exists; pass overwrite=True"):
        write_report(folder, y, path)
    assert path.read_text() == "mine"


def test_what_does_not_belong_to_the_stack_is_an_error(made, tmp_path):
    folder, y, clusters = made
    path = tmp_path / "tiny.html"
    with pytest.raises(InputError, match="the labels of .* lack 1 field: field0; make the report"):
        write_report(folder, y.iloc[1:], path)
    with pytest.raises(InputError, match="only in the stack: none; only in the vocabulary: some"):
        write_report(folder, y.rename(columns={"none": "some"}), path)
    with pytest.raises(InputError, match="the labels of this workspace: duplicate ids: field3$"):
        write_report(folder, pd.concat([y, y.loc[["field3"]]]), path)
    swapped = y.set_axis(y.index[::-1])
    with pytest.raises(InputError, match="fitted on other labels .*fit the stack again"):
        write_report(folder, swapped, path)
    with pytest.raises(
        InputError, match="the clusters of .* lack 1 field: field0; make the report"
    ):
        write_report(folder, y, path, clusters=clusters.iloc[1:])
    alone = pd.Series(clusters.index, clusters.index)
    with pytest.raises(InputError, match="fitted on other clusters"):
        write_report(folder, y, path, clusters=alone)
    assert not path.exists()


def test_without_the_extra_the_remedy_is_named(made, tmp_path, monkeypatch):
    folder, y, _ = made
    for name in [*sys.modules]:
        if name.startswith(("hpastack.report.", "hpastack.plot", "hpastack.pictures.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match=r"needs jinja2, .* pip install 'hpastack\[report\]'$"):
        write_report(folder, y, tmp_path / "tiny.html")
