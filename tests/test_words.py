"""Prose in plain scientific English: words that readers stumbled over stay out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What readers stumbled over, each with what they expect instead.
WORDS = {
    r"\brefus\w+": "an error, is rejected",
    r"\b(stands?|stood|standing) (there )?(twice|under two)": "duplicate",
    r"\bdoubled\b": "duplicate",
    r"\basked (for|about)\b": "requested, queried",
    r"\bleft out\b|\bleaves? out\b|\bleaving out\b": "omitted; if omitted; excluded",
    r"\ba (row|column|figure|file|line|number|value|model|fit) an? \w+": "one row per field",
    r"\blabel.free\b": "target_free",
    r"\bblanks?\b": "whitespace, spaces; a blank image is an empty or constant one",
    r"\bparted (by|at)\b|\bparts them\b": "delimited by",
    r"\bdrawn (to|in|towards?)\b|\bpulled? towards?\b": "shrunk towards, clipped at",
    r"\bhang together\b": "connected components",
    r"\bless holes\b": "Euler number",
    r"\bby a hair\b": "slightly",
    r"\blaid over each other\b": "registered, superimposed",
    r"\btwins?\b": "duplicate",
    r"\bturned by\b|\bquarter turns?\b": "rotated by",
    r"\bwatched\b": "validation fields (for early stopping)",
    r"\b(CNNs?|networks?) (say|says|said|sees?|are told|is told)\b": "outputs, predictions, input",
    r"\bthe luck of\b": "sampling variation",
    r"\bdealt( out)?\b|\bdeals? out\b": "assigned",
    r"\b(is|are) no (number|label|id|name|list|store|vocabulary|shard|path|folder)s?\b": "is not a",
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\bstrangers?'?s?\b": "untrusted input, someone else's",
    r"\bpassed over\b": "ignored",
    r"\bdrawn fields?\b|\beveryday pictures\b": "synthetic images, natural images",
    r"\blevel one\b": "base models, meta-learner",
    r"\bpuncta and dots\b|\bdots\b": "puncta",
    r"\bgrains\b": "morphological openings of increasing size",
}
PATTERNS = {re.compile(word, re.IGNORECASE): better for word, better in WORDS.items()}

# Each is right in its place: {path: [phrases]}.
# The column of tables of pairs: in code, in docstrings and as pandas prints it.
_COLUMN_TWIN = ['"twin"', "``twin``", "image_id twin"]
ALLOWED: dict[str, list[str]] = {
    "hpastack/clusters/embedded.py": _COLUMN_TWIN,
    "hpastack/clusters/leaks.py": [*_COLUMN_TWIN, "twins : DataFrame"],
    "hpastack/clusters/links.py": _COLUMN_TWIN,
    "hpastack/clusters/pairs.py": [*_COLUMN_TWIN, "image_id, twin"],
    "hpastack/clusters/search.py": _COLUMN_TWIN,
    "hpastack/clusters/shifted.py": _COLUMN_TWIN,
    "hpastack/clusters/unshifted.py": _COLUMN_TWIN,
    "pipelines/cluster.py": ["image_id, twin"],
    "hpastack/report/sections/data.py": _COLUMN_TWIN,
    "hpastack/store/header.py": ["label_free"],
    "benchmarks/duplicates.py": _COLUMN_TWIN,
    "docs/formats.md": ["label_free", "`twin`"],
    "docs/guide.md": ["`twin`"],
    "docs/make_concepts.py": _COLUMN_TWIN,
    "docs/notebooks/first_look.ipynb": [r"pairs[\"twin\"]"],
    "docs/notebooks/first_look.md": ['pairs["twin"]'],
    "CHANGELOG.md": ["label_free"],
    "hpastack/files/__init__.py": ["refuse_existing"],
}

FIRST_WORDS = re.compile(r"^(Say|Give|Put|Tell|Bring|Hold|Look|Ask)\b", re.IGNORECASE)


def prose_of_python(text: str) -> list[tuple[int, str]]:
    """Return comments, docstrings and other texts of a module, each with its line.

    A text that is a single name, such as that of a column, is in double quotes.
    """
    pieces = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            value = f'"{node.value}"' if node.value.isidentifier() else node.value
            # Lines of a docstring one by one; a message continued over lines as one.
            pieces += [(node.lineno + n, line) for n, line in enumerate(value.splitlines())]
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(r"(^|\s)#:? (.*)", line):
            pieces.append((number, match[2]))
    return pieces


def problems(path: Path) -> list[str]:
    """Return the lines of a file that hold such words, with what to write instead."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    if path.suffix in (".py", ".pyi"):
        pieces = prose_of_python(text)
    else:
        pieces = list(enumerate(text.splitlines(), 1))
    found = []
    for number, line in pieces:
        for phrase in ALLOWED.get(name, []):
            line = line.replace(phrase, "")
        found += [
            f"{name}:{number}: {match[0]!r}; better: {better}"
            for pattern, better in PATTERNS.items()
            for match in pattern.finditer(line)
        ]
    return found


def documents() -> list[Path]:
    """Return all files with prose that a user or a developer of the package reads."""
    found = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    for folder, kinds in {
        "docs": ("md", "py", "ipynb"), "features": ("yaml",), "models": ("yaml",),
        "hpastack": ("py", "html", "js"), "pipelines": ("py",), "benchmarks": ("py",),
    }.items():  # fmt: skip
        for kind in kinds:
            found += sorted((ROOT / folder).rglob(f"*.{kind}"))
    # The messages on faq.md are checked in the code that they are read from.
    found = [path for path in found if path.name != "faq.md"]
    return [path for path in found if "_build" not in path.parts and path.is_file()]


PLACES = sorted({path.relative_to(ROOT).parent.as_posix() for path in documents()})


@pytest.mark.parametrize("place", PLACES)
def test_words_that_readers_stumbled_over_stay_out(place):
    files = [path for path in documents() if path.relative_to(ROOT).parent.as_posix() == place]
    found = [problem for path in files for problem in problems(path)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("place", [place for place in PLACES if place.startswith("hpastack")])
def test_first_lines_of_docstrings_of_functions_name_the_result(place):
    found = []
    for path in (ROOT / place).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                if FIRST_WORDS.match(first):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {first}")
    assert not found, "\n" + "\n".join(found)


def test_a_word_in_a_docstring_a_message_and_a_comment_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "m.py"
    path.write_text('"""It is refused."""\n# A twin.\nraise ValueError(f"{x} stands twice")\n')
    assert [line.partition(";")[0] for line in problems(path)] == [
        "m.py:1: 'refused'", "m.py:3: 'stands twice'", "m.py:2: 'twin'",
    ]  # fmt: skip
