"""The notebooks of the documentation: made from their pages, without outputs, and they run."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def maker():
    spec = importlib.util.spec_from_file_location(
        "make_notebooks", ROOT / "docs" / "make_notebooks.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_has_its_notebook_and_is_in_the_list():
    assert [page.stem for page in maker().PAGES] == NAMES
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"({name}.md)" in index and f"({name}.ipynb)" in index


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_those_of_their_pages(name):
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    notebook = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert maker().notebook(page) == notebook, "run python docs/make_notebooks.py"


def test_cells_are_text_and_code_in_turn():
    text = "# Title\n\nSee [Guide](../guide.md).\n\n```python\nx = 1\nx\n```\n\nThe end.\n"
    notebook = json.loads(maker().notebook(text))
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]] == [
        ("markdown", "# Title\n\nSee Guide."), ("code", "x = 1\nx"), ("markdown", "The end."),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebooks_run(name, tmp_path, monkeypatch):
    for needed in ("matplotlib", "xgboost", "ipykernel"):
        pytest.importorskip(needed)
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    # The kernel works in an empty folder: notebooks need no file of the checkout.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    for cell in notebook.cells:
        if cell["cell_type"] == "code":
            texts = [out["text"] for out in cell["outputs"] if out.get("name") == "stderr"]
            # tqdm's, where ipywidgets is not installed.
            warned = [text for text in texts if "IProgress not found" not in text]
            assert not warned, f"{name}: {warned}"
    assert any("image/png" in str(cell.get("outputs")) for cell in notebook.cells)
