"""Write docs/settings.md and the comments of all recipes: python docs/make_settings.py."""

import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hpastack.recipes import TYPES  # noqa: E402
from hpastack.settings import Key, keys  # noqa: E402

PAGE = Path(__file__).with_name("settings.md")
RECIPES = [*sorted(ROOT.glob("features/*.yaml")), *sorted(ROOT.glob("models/*.yaml"))]

HEAD = """# All settings

Written by `docs/make_settings.py` from the classes that check them. The keys are those of
[recipes](guide.md#recipes), and of `--set KEY=VALUE`. A key without a default is required.
"""

# The command that reads a recipe of each type, and where to read on.
ABOUT = {
    "handcrafted": "For `extract`. What is measured: [Features](features.md).",
    "embedding": "For `extract`. See [Weights](guide.md#weights), "
    "[Published networks](guide.md#published-networks) and "
    "[Brightness of the stains](guide.md#brightness-of-the-stains).",
    "cnn": "For `finetune`; from Python `hpastack.CnnSettings`. See [Weights](guide.md#weights).",
    "duplicates": "For `cluster`; from Python `hpastack.near_duplicates`.",
    "stack": "For `stack`; from Python `hpastack.StackClassifier`. See [Method](method.md).",
}

_LINE = re.compile(r"(?P<key>\w+): *(?P<value>(?:[^ #].*?)?)(?: +#.*)?")
_WIDTH = 100


def page() -> str:
    """Return the text of the page: a table for each type of recipe."""
    lines = [HEAD.rstrip()]
    for name, cls in TYPES.items():
        lines += ["", f"## type: {name}", "", ABOUT[name], ""]
        lines += ["| key | default | allowed | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{key.name}` | {_default(key.default)} | {_allowed(key)} | {key.meaning} |"
            for key in keys(cls)
        ]
    return "\n".join([*lines, ""])


def commented(text: str) -> str:
    """Return a recipe with the meaning of each key behind it; what stands above the keys stays."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    # A value may go on over indented lines, such as the items of a list.
    blocks: list[list[str]] = []
    for line in (line for line in lines[start:] if not line.startswith("#")):
        if line.startswith(" "):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    found = [_LINE.fullmatch(first) for first, *_ in blocks]
    entries = [(f"{line['key']}: {line['value']}".rstrip(), line["key"]) for line in found if line]
    assert len(entries) == len(found), "a key, its value and a comment on each line"
    known = {key.name: key for key in keys(TYPES[yaml.safe_load(text)["type"]])}
    column = 2 + max(len(entry) for entry, _ in entries if len(entry) <= _WIDTH // 2)
    body = [
        line
        for (entry, name), (_, *more) in zip(entries, blocks, strict=True)
        for line in [*_lines(entry, known.get(name), column), *more]
    ]
    return "\n".join([*lines[:start], *body, ""])


def _lines(entry: str, key: Key | None, column: int) -> Iterator[str]:
    if key is None:  # the type
        yield entry
        return
    comment = _comment(key)
    choices = key.allowed.removeprefix("one of ")
    if choices != key.allowed and ";" not in comment:
        whole = f"{comment}: {choices}"
        comment = whole if column + len(f"# {whole}") <= _WIDTH else comment
    line = f"{entry:<{column}}# {comment}"
    if len(line) > _WIDTH:
        yield f"# {comment}"
        line = entry
    yield line


def _comment(key: Key) -> str:
    """Return the first sentence of what a key means, as a comment."""
    sentence = key.meaning.partition(". ")[0].removesuffix(".").replace("`", "")
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def _allowed(key: Key) -> str:
    return key.allowed.replace("None (null in a recipe)", "`null`")


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return f"`{text.removesuffix(chr(10)).removesuffix('...').strip()}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    for path in RECIPES:
        path.write_text(commented(path.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE} and the comments of {len(RECIPES)} recipes")
