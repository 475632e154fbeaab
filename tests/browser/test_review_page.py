"""The review page as a reader uses it: pictures, keys, reload, export, and back into `prepare`."""

import csv
import io
import time
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from hpastack.pictures import Thumbnails
from hpastack.review import review_fields, write_review
from pipelines.prepare import main as prepare

HOSTILE = ["</script><img src=x onerror=\"document.title='run'\">", 'a,"b"', "<!--<script>"]
LABELS = ["Nucleoplasm", "Cytosol", *HOSTILE]


def _tables(ids, n_labels=5):
    rng = np.random.default_rng(0)
    names = LABELS if n_labels == 5 else [f"label {k}" for k in range(n_labels)]
    y = (rng.random((len(ids), len(names))) < 0.3).astype(int)
    y[y.sum(axis=1) == 0, 0] = 1
    p = np.clip(
        np.where(rng.random(y.shape) < 0.9, y, 1 - y) * 0.8 + rng.random(y.shape) * 0.2, 0, 1
    )
    tables = [pd.DataFrame(values, ids, names) for values in (y, p, (p > 0.5).astype(int))]
    return names, tables


def _write(path, catalogue=None, n_fields=12, ids=None, **options):
    ids = list(catalogue.index) if ids is None else ids
    names, tables = _tables(ids, options.pop("n_labels", 5))
    clusters = pd.Series([f"c{k // 2}" for k in range(len(ids))], ids)
    near = {image_id: [(ids[0], 0.9), (ids[1], 0.8)] for image_id in ids}
    fields = review_fields(
        *tables, n_fields=n_fields, clusters=clusters, neighbours=lambda asked: near
    )
    if catalogue is not None:
        options |= {"thumbnails": Thumbnails(catalogue), "small": Thumbnails(catalogue, size=16)}
    write_review(path, fields, names, name="stack", **options)
    return fields


@pytest.fixture
def catalogue(noise_fields):
    return noise_fields(12).assign(split="train", target="0", source="drawn", pixel_size=0.5)


@pytest.fixture
def page_file(tmp_path, catalogue):
    path = tmp_path / "review.html"
    _write(path, catalogue)
    return path


def _pixels(page):
    page.wait_for_function("document.getElementById('canvas').dataset.ready")
    values = page.evaluate(
        "Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
    )
    return np.array(values).reshape(-1, 4)[:, :3]


def _current(page):
    return page.text_content("#image-id")


def _saved(page, button):
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_text(encoding="utf-8")


def test_it_fits_at_every_width_and_in_both_schemes(open_page, page_file, width, scheme):
    opened = open_page(page_file, width=width, scheme=scheme)
    _pixels(opened.page)
    opened.page.keyboard.press("e")  # with the editor open too
    assert opened.overflow() == 0
    assert opened.violations() == []
    assert opened.console == [] and opened.requests == []
    assert opened.broken_images() == []
    assert opened.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (
        scheme == "dark"
    )


def test_the_protein_is_green_alone_and_each_stain_has_its_key(open_page, page_file):
    page = open_page(page_file).page
    page.select_option("#palette", "hpa")
    before = _pixels(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("2")
    without = _pixels(page)
    assert (before[:, [0, 2]] == without[:, [0, 2]]).all()
    assert (before[:, 1] > without[:, 1]).mean() > 0.5
    for key in "134":
        page.keyboard.press(key)
    assert _pixels(page).max() == 0
    page.keyboard.press("2")
    assert _pixels(page)[:, 1].max() > 100
    assert _pixels(page)[:, [0, 2]].max() == 0


def test_contrast_zoom_and_scale_bar(open_page, page_file):
    page = open_page(page_file).page
    before = _pixels(page)
    page.evaluate("contrast.value = 0.5; contrast.dispatchEvent(new Event('input'))")
    assert _pixels(page).mean() == pytest.approx(before.mean() * 0.5, rel=0.25)
    # 24 pixels of 0.5 micrometres: 12; a bar of 2 is the longest of a quarter of it.
    assert page.text_content("#scale") == "2 \u00b5m"
    page.keyboard.press("+")
    assert page.text_content("#zoom") == "2\u00d7"
    assert page.text_content("#scale") == "1 \u00b5m"


def test_decisions_by_key_survive_a_reload_and_can_be_undone(open_page, page_file):
    page = open_page(page_file).page
    page.fill("#who", "Ada")
    page.evaluate("document.activeElement.blur()")
    first = _current(page)
    page.keyboard.press("r")
    second = _current(page)
    assert second != first
    page.keyboard.press("q")
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert _current(page) == first
    assert "Kept as annotated" in page.text_content("#decision")
    page.reload()
    assert page.text_content("#progress").startswith("2 of 12 reviewed, 0 changed")
    assert page.input_value("#who") == "Ada"
    page.keyboard.press("u")
    assert _current(page) == second
    assert page.text_content("#progress").startswith("1 of 12 reviewed")
    log = list(csv.DictReader(io.StringIO(_saved(page, "#save-log"))))
    assert [row["decision"] for row in log] == ["keep", "unsure", "undo"]
    assert log[0]["who"] == "Ada" and log[0]["image_id"] == first
    assert log[0]["old"] == log[0]["new"] != ""


def test_typing_is_no_decision_and_keys_can_be_switched_off(open_page, page_file):
    page = open_page(page_file).page
    page.fill("#why", "")
    page.type("#why", "a queer rim")
    assert page.input_value("#why") == "a queer rim"
    page.uncheck("#shortcuts")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("r")
    assert page.text_content("#progress").startswith("0 of 12")


def test_corrections_go_back_through_prepare(open_page, tmp_path, catalogue):
    ids = list(catalogue.index)
    fields = _write(tmp_path / "review.html", catalogue, earlier={ids[0]: "1"}, n_labels=28)
    page = open_page(tmp_path / "review.html").page
    accepted = next(f for f in fields if f["id"] != ids[0] and f["suggested"] != f["annotated"])
    page.click(f'#list button[data-id="{accepted["id"]}"]')
    page.fill("#why", "nuclei are empty")
    page.click("[data-do=accept]")
    expected = {ids[0]: "1", accepted["id"]: " ".join(map(str, accepted["suggested"]))}
    if page.is_visible("#cluster"):  # its cluster is offered
        page.click("#cluster button >> nth=0")
        near_duplicate = accepted["near_duplicates"][0][0]
        expected[near_duplicate] = expected[accepted["id"]]
    edited = next(f for f in fields if f["id"] not in expected)
    page.click(f'#list button[data-id="{edited["id"]}"]')
    page.click("[data-do=edit]")
    for box in page.query_selector_all("#boxes input"):
        box.set_checked(box.get_attribute("value") in ("3", "20"))
    page.click("#editor button[type=submit]")
    expected[edited["id"]] = "3 20"
    corrections = tmp_path / "corrections.csv"
    corrections.write_text(_saved(page, "#save"), encoding="utf-8")
    table = pd.read_csv(corrections, dtype=str).set_index("Id")["Target"]
    assert table.to_dict() == expected
    log = list(csv.DictReader(io.StringIO(_saved(page, "#save-log"))))
    assert log[0]["why"] == "nuclei are empty"

    y = _tables(ids, 28)[1][0].to_numpy()
    targets = [" ".join(map(str, np.flatnonzero(row))) for row in y]
    pd.DataFrame({"Id": ids, "Target": targets}).to_csv(tmp_path / "train.csv", index=False)
    arguments = ["--labels", str(tmp_path / "train.csv"), "--workspace", str(tmp_path / "work")]
    assert prepare([*arguments, "--corrections", str(corrections)]) == 0
    after = pd.read_csv(tmp_path / "work" / "data" / "catalogue.csv", dtype=str)
    after = after.set_index("image_id")["target"]
    assert after.loc[list(expected)].to_dict() == expected


def test_accepting_a_field_offers_its_cluster(open_page, tmp_path):
    names = ["one", "two"]
    y = pd.DataFrame([[1, 0], [1, 0], [1, 0]], list("abc"), names)
    p = pd.DataFrame([[0.01, 0.99], [0.4, 0.6], [0.9, 0.1]], list("abc"), names)
    clusters = pd.Series(["k", "k", "l"], list("abc"))
    fields = review_fields(y, p, (p > 0.5).astype(int), n_fields=1, clusters=clusters)
    write_review(tmp_path / "review.html", fields, names)
    page = open_page(tmp_path / "review.html").page
    page.keyboard.press("a")
    assert "b: one" in page.text_content("#cluster")
    page.keyboard.press("Enter")  # the offer has the focus
    assert _saved(page, "#save") == "Id,Target\na,1\nb,1\n"
    assert "1 more through their cluster" in page.text_content("#progress")
    page.keyboard.press("u")
    assert _saved(page, "#save") == "Id,Target\na,1\n"


def test_order_and_filter_choose_the_list(open_page, page_file):
    page = open_page(page_file).page
    scores = page.eval_on_selector_all("#list .score", "all => all.map(one => +one.textContent)")
    assert scores == sorted(scores, reverse=True) and len(scores) == 12
    page.select_option("#order", "plain")
    plain = page.eval_on_selector_all("#list .score", "all => all.map(one => +one.textContent)")
    assert plain == sorted(plain, reverse=True) and plain != scores
    label = page.eval_on_selector("#filter option:nth-child(2)", "one => one.textContent")
    page.select_option("#filter", index=1)
    questions = page.eval_on_selector_all(
        "#list span:first-child", "all => all.map(one => one.textContent)"
    )
    assert 0 < len(questions) < 12
    assert all(text.startswith(label.split(" (")[0]) for text in questions)


def test_a_link_leads_to_its_field_whatever_was_listed(open_page, page_file):
    page = open_page(page_file).page
    ids = page.eval_on_selector_all("#list button", "all => all.map(one => one.dataset.id)")
    page.locator("#show").select_option("done")
    for image_id in (ids[3], ids[5]):
        page.evaluate("id => { location.hash = encodeURIComponent(id) }", image_id)
        page.wait_for_function(
            "id => document.querySelector('#list [aria-current=true]')?.dataset.id === id",
            arg=image_id,
        )
    page.reload()
    current = page.locator("#list [aria-current=true]").get_attribute("data-id")
    assert current == ids[5]
    page.evaluate("location.hash = '%'")
    assert page.locator("#list [aria-current=true]").get_attribute("data-id") == ids[5]


def test_hostile_names_and_ids_are_shown_and_not_run(open_page, tmp_path):
    ids = ["</script><img src=x onerror=\"document.title='run'\">", "__proto__", 'a"b,c', "d", "e"]
    _write(tmp_path / "review.html", ids=ids, n_fields=5)
    opened = open_page(tmp_path / "review.html")
    page = opened.page
    for _ in ids:
        page.keyboard.press("r")
    assert page.text_content("#progress").startswith("5 of 5 reviewed")
    page.reload()
    assert page.text_content("#progress").startswith("5 of 5 reviewed")
    assert page.title() == "Review of labels: stack"
    assert page.query_selector("img") is None
    assert HOSTILE[0] in page.text_content("#probabilities")
    log = csv.DictReader(io.StringIO(_saved(page, "#save-log")))
    assert sorted(row["image_id"] for row in log) == sorted(ids)
    assert opened.console == [] and opened.requests == []


def test_a_link_of_the_report_opens_its_field(open_page, tmp_path):
    ids = ["a", "50% #1 <b>", "c"]
    _write(tmp_path / "review.html", ids=ids, n_fields=3)
    for image_id in ids:
        opened = open_page(tmp_path / "review.html", fragment=quote(image_id, safe=""))
        assert _current(opened.page) == image_id and opened.console == []
    opened.page.evaluate("location.hash = 'a'")
    opened.page.wait_for_function("document.getElementById('image-id').textContent === 'a'")
    for unknown in ("none", "%E0"):
        opened = open_page(tmp_path / "review.html", fragment=unknown)
        assert _current(opened.page) in ids and opened.console == []


def test_without_pictures_it_is_text(open_page, tmp_path, width):
    _write(tmp_path / "review.html", ids=[f"field {k}" for k in range(5)], n_fields=5)
    opened = open_page(tmp_path / "review.html", width=width)
    assert opened.page.is_visible("#no-picture") and not opened.page.is_visible("#canvas")
    assert opened.violations() == [] and opened.overflow() == 0


def test_the_bytes_are_the_same_twice(tmp_path, catalogue):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _write(tmp_path / name / "review.html", catalogue, sidecar=True)
        _write(tmp_path / name / "inline.html", catalogue)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) > 14
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_500_fields_with_a_folder_of_pictures_open_in_a_second(open_page, tmp_path, catalogue):
    rows = catalogue.iloc[np.arange(500) % len(catalogue)]
    rows.index = pd.Index([f"field_{k:03d}" for k in range(500)], name="image_id")
    _write(tmp_path / "review.html", rows, n_fields=500, n_labels=28, sidecar=True)
    assert (tmp_path / "review.html").stat().st_size < 1e6
    start = time.perf_counter()
    opened = open_page(tmp_path / "review.html")
    opened.page.wait_for_function("document.getElementById('canvas').dataset.ready")
    assert time.perf_counter() - start < 5  # a second on an idle machine
    timing = opened.page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert timing < 2000
    assert len(opened.page.query_selector_all("#list button")) == 500
    # Pictures are cut from a file, though the page must not read their pixels.
    assert opened.page.is_visible("#canvas") and not opened.page.is_visible("#no-picture")
    assert opened.console == [] and opened.requests == []
    assert opened.broken_images() == []
