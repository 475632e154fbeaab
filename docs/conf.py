"""Settings of the documentation site: sphinx-build -W -b html docs docs/_build/html."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hpastack  # noqa: E402

project = "hpastack"
author = "the hpastack authors"
version = release = hpastack.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.extlinks",
]
exclude_patterns = ["_build", "_generated"]

myst_heading_anchors = 3
# Options and messages appear as they are typed and printed.
smartquotes = False
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False
extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"hpastack {release}"


def setup(app):
    """Connect the two hooks below."""
    app.connect("autodoc-process-docstring", plain_references)
    app.connect("autodoc-skip-member", skip_routing)


def plain_references(app, what, name, obj, options, lines):
    """Turn the references of a docstring into a list: its footnotes would meet those of others."""
    text = re.sub(r"(\[\d+\])_", r"\1", "\n".join(lines))
    lines[:] = re.sub(r"^\.\. (\[\d+\].*(?:\n   .*)*)", _as_item, text, flags=re.MULTILINE).split(
        "\n"
    )


def _as_item(footnote):
    return "- " + footnote[1].replace("\n   ", "\n  ")


def skip_routing(app, what, name, obj, skip, options):
    """Skip the methods that scikit-learn adds to every estimator for metadata routing."""
    return True if re.fullmatch(r"set_\w+_request", name) else None
