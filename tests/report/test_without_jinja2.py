"""The report in a base install."""

import runpy
import sys

import pytest

from hpastack.errors import InputError

pytestmark = pytest.mark.core


def test_what_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "hpastack.report._extra", raising=False)
    with pytest.raises(
        InputError, match=r"report needs jinja2, .* pip install 'hpastack\[report\]'"
    ):
        runpy.run_module("hpastack.report._extra")
