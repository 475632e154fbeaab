"""Make the notebooks of docs/notebooks/ from their pages: python docs/make_notebooks.py.

Code blocks become code cells, the text between them Markdown cells. Links to other pages of the
documentation become plain text, as a notebook is read without them.
"""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("notebooks")
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem != "index")

_CODE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def notebook(text: str) -> str:
    """Return the notebook (format 4.5) of a page, without outputs."""
    cells: list[dict[str, Any]] = []
    # Text and code alternate.
    for number, part in enumerate(_CODE.split(text)):
        source = part.strip("\n")
        if not source:
            continue
        cell: dict[str, Any] = {"cell_type": "code" if number % 2 else "markdown"}
        cell |= {"id": f"cell-{len(cells)}", "metadata": {}}
        if number % 2:
            cell |= {"execution_count": None, "outputs": []}
        else:
            source = _LINK.sub(r"\1", source)
        cells.append(cell | {"source": source.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for page in PAGES:
        path = page.with_suffix(".ipynb")
        path.write_text(notebook(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {path.name}")
