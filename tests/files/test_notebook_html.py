"""What a notebook shows in place of a repr: escaped, without colours, in small tables."""

import pytest

from hpastack.files.notebook_html import html_details, html_facts, html_table

pytestmark = pytest.mark.core

HOSTILE = "</td><script>alert(1)</script>"


def test_everything_is_escaped():
    html = html_facts(HOSTILE, {HOSTILE: HOSTILE}, note=HOSTILE)
    html += html_table([HOSTILE], [[HOSTILE]]) + html_details(HOSTILE, "")
    assert "<script" not in html and html.count("&lt;script&gt;") == 7


def test_empty_facts_are_ignored_and_numbers_are_written_for_people():
    assert "recipe" not in html_facts("Store", {"kind": "x", "recipe": ""})
    cells = html_table(["n"], [[1234567], [0.12345], [0.00012], [float("nan")], [0.0], ["text"]])
    for written in ("1,234,567", "0.123", "0.0001", "–", "0.000", "text"):
        assert f">{written}<" in cells


def test_the_colours_are_those_of_the_notebook():
    html = html_facts("a", {"b": "c"}) + html_table(["d"], [[1]])
    assert "color" not in html and "background" not in html
