"""The files of the review page; what readers do with it is tested in a browser."""

import json
import re
import sys
from urllib.parse import unquote

import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.pictures import Thumbnails
from hpastack.review import review_fields, write_review


def test_pictures_beside_a_page_of_any_name_are_found(tmp_path, noise_fields):
    catalogue = noise_fields(2)
    y = pd.DataFrame([[1, 0], [0, 1]], catalogue.index, ["a", "b"])
    fields = review_fields(y, 0.8 * y + 0.1, y, n_fields=2)
    path = tmp_path / "50% of #1?.html"
    write_review(path, fields, ["a", "b"], thumbnails=Thumbnails(catalogue), sidecar=True)
    text = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"))[1]
    sources = [picture["src"] for picture in json.loads(text)["pictures"].values()]
    assert len(sources) == 2
    for source in sources:
        assert not set(source) & set("#? ")
        assert (tmp_path / unquote(source)).is_file()


def test_a_page_needs_a_field_and_its_library(tmp_path, monkeypatch):
    y = pd.DataFrame([[1, 0], [0, 1]], ["f", "g"], ["a", "b"])
    with pytest.raises(InputError, match="n_fields is 0; it must be at least 1"):
        review_fields(y, 0.8 * y + 0.1, y, n_fields=0)
    fields = review_fields(y, 0.8 * y + 0.1, y, n_fields=2)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match=r"needs jinja2, .* pip install 'hpastack\[report\]'"):
        write_review(tmp_path / "page.html", fields, ["a", "b"])
    assert not list(tmp_path.iterdir())
