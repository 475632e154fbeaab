"""Write the tables of docs/features.md: python docs/make_features.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hpastack as hs  # noqa: E402
from hpastack.features import FAMILIES  # noqa: E402

PAGE = Path(__file__).with_name("features.md")
BEGIN = "<!-- begin: written by docs/make_features.py -->"
END = "<!-- end: written by docs/make_features.py -->"


def tables() -> str:
    """Return a table for each family: a row a column, with its meaning."""
    lines: list[str] = []
    for family in FAMILIES:
        meanings = hs.describe_columns(hs.feature_columns([family]))
        lines += ["", f"### {family}: {len(meanings)} columns", ""]
        lines += ["| column | meaning |", "| --- | --- |"]
        lines += [f"| `{column}` | {meaning} |" for column, meaning in meanings.items()]
    return "\n".join([*lines, ""])


def renewed(page: str) -> str:
    """Return the text of the page with its tables made anew."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
