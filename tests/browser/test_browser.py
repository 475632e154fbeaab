"""The watch itself: what it must see in a page that does everything wrong."""

import pytest

BAD = """<!doctype html><title>bad</title>
<div style="width: 3000px">wide</div><img src="data:image/png;base64,AAAA">
<script>console.error("said"); fetch("http://localhost:9/nothing").catch(() => 0)</script>
<script>throw new Error("thrown")</script>
"""
GOOD = """<!doctype html><html lang="en"><title>good</title><main><h1>Good</h1></main></html>"""


def test_faults_of_a_page_are_seen(tmp_path, open_page):
    (tmp_path / "bad.html").write_text(BAD)
    opened = open_page(tmp_path / "bad.html")
    opened.page.wait_for_timeout(200)
    assert opened.overflow() > 1000
    assert any("said" in text for text in opened.console)
    assert any("thrown" in text for text in opened.console)
    assert opened.requests == ["http://localhost:9/nothing"]
    assert len(opened.broken_images()) == 2, "it neither decodes nor has a text"
    rules = {rule for rule, _ in opened.violations()}
    assert {"html-has-lang", "image-alt"} <= rules


@pytest.mark.parametrize("name", ["good.html", "name with blanks & ü.html"])
def test_a_good_page_has_no_fault(tmp_path, open_page, width, scheme, name):
    (tmp_path / name).write_text(GOOD)
    opened = open_page(tmp_path / name, width, scheme)
    assert opened.overflow() == 0
    assert not opened.console
    assert not opened.requests
    assert not opened.broken_images()
    assert not opened.violations()
