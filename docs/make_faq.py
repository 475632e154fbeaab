"""Write docs/faq.md, all error messages with their remedies: python docs/make_faq.py."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("faq.md")
REMEDIES = Path(__file__).with_name("faq_remedies.yaml")

HEAD = """---
tocdepth: 2
---

# FAQ by error message

Every error that hpastack raises for invalid input, by the part of the package that raises it.
Written by `docs/make_faq.py` from the code, and from `docs/faq_remedies.yaml` where a message needs
more explanation.

**How to find your message.** Search this page for words of the message that do not depend on your
data. Names in *italics* stand for what varies: a path, an id, a number; *…* is anything else. Words
in [square brackets] are not always there, and of *this / that* one is shown. Within a part,
messages are in alphabetical order of their fixed words.

A command prints the message on one line and exits with [status 2](guide.md#exit-statuses). In
Python it is an `InputError`. Where an entry names a parameter, a command adds the option that sets
it. An error with a traceback on the command line is a bug.
"""

#: What makes a message from its argument of this number: exceptions, and problems that are
#: collected and raised together.
ERRORS = {
    "InputError": 0,
    "FileFault": 1,
    "PermanentError": 0,
    "TemporaryError": 0,
    "ArgumentTypeError": 0,
    "Problem": 0,
    "Kind": 0,
}

#: Stations in the order of the work, not of the alphabet; others follow.
FIRST = ("workspace", "recipes", "settings", "files", "labels", "catalogue", "fields")

#: Calls in messages that only format their first argument.
_FORMATTING = {"str", "repr", "len", "shorten", "visible", "Path"}
#: Names of variables that say nothing without the code around them.
_VAGUE = {"found", "given", "line", "message", "one", "part", "rest", "text", "what", "where"}
_MARKUP = re.compile(r"([\\`*_\[\]<>|#{}$~])")


class Text(NamedTuple):
    """A message: as Markdown, and as plain text with … for what varies."""

    markdown: str
    plain: str

    def __add__(self, other: "Text") -> "Text":  # type: ignore[override]
        return Text(self.markdown + other.markdown, self.plain + other.plain)


@dataclass
class Entry:
    """A message with the modules that raise it and the parameters that it names."""

    text: Text
    modules: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)

    @property
    def order(self) -> tuple[str, str]:
        """Sort by the fixed words."""
        return " ".join(re.findall(r"\w+", self.text.plain)).lower(), self.text.markdown


def fixed(words: str) -> Text:
    """Return words that do not vary."""
    return Text(_MARKUP.sub(r"\\\1", " ".join(words.splitlines())), words)


def varying(name: str = "…") -> Text:
    """Return a part that varies, such as a path, under the name of its variable."""
    words = "…" if name in _VAGUE else name.strip("_").replace("_", " ")
    return Text(f"*{words}*", "…")


class Messages(ast.NodeVisitor):
    """The messages of the errors that a module makes."""

    def __init__(self, module: str, tree: ast.Module, constants: dict[str, list[ast.expr]]) -> None:
        self.module = module
        self.entries: list[Entry] = []
        self._scopes = [constants, _assigned(tree.body)]
        self._functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:  # noqa: N802
        """Look names up among the variables of the function, then among those around it."""
        self._scopes.append(_assigned(node.body))
        self.generic_visit(node)
        self._scopes.pop()

    def visit_Call(self, node: ast.Call) -> None:  # noqa: N802
        """Keep the message of a call that makes an error."""
        self.generic_visit(node)
        name = _name_of(node.func)
        place = ERRORS.get(name)
        if name == "append" and _name_of(node.func.value) == "problems":
            place = 0
        if place is None or len(node.args) <= place:
            return
        others = node.args[place + (2 if name == "Kind" else 1) :]
        others = [a for arg in others for a in (arg.elts if isinstance(arg, ast.Tuple) else [arg])]
        constants = [a.value for a in others if isinstance(a, ast.Constant)]
        parameters = [value for value in constants if isinstance(value, str)]
        for text in self._alternatives(node.args[place]):
            if name == "FileFault":
                text = varying("path") + fixed(": ") + text
            if name == "Kind" and len(node.args) > 1:
                text = varying("stores") + fixed(": ") + text
                text += fixed("; ") + self._text(node.args[1])
                text = Text(*(re.sub(r"\\?\{\w+\\?\}", "…", part) for part in text))
            # What another error says has no words of its own.
            if len(re.findall(r"[a-z]{2,}", text.plain)) >= 2:
                self.entries.append(Entry(text, [self.module], parameters))

    def _alternatives(self, node: ast.expr) -> list[Text]:
        """Return the message, or all that a variable or a function may stand for."""
        values: list[ast.expr] = []
        if isinstance(node, ast.Name):
            values = next((s[node.id] for s in reversed(self._scopes) if node.id in s), [])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            function = self._functions.get(_name_of(node.func))
            if function and self._text(node).plain == "…":
                self._scopes.append(_assigned(function.body))
                texts = [self._text(value) for value in _returns(function)]
                self._scopes.pop()
                return texts
        texts = [self._text(value) for value in values if _is_text(value, self._functions)]
        return texts or [self._text(node)]

    def _text(self, node: ast.expr, depth: int = 0) -> Text:
        if isinstance(node, ast.Constant):
            return fixed(str(node.value))
        if isinstance(node, ast.JoinedStr):
            return _joined(self._text(part, depth) for part in node.values)
        if isinstance(node, ast.FormattedValue):
            text = self._text(node.value, depth)
            quote = fixed("'") if node.conversion == ord("r") else fixed("")
            return quote + text + quote
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._text(node.left, depth) + self._text(node.right, depth)
        if isinstance(node, ast.IfExp):
            return self._choice(self._text(node.body, depth), self._text(node.orelse, depth))
        if isinstance(node, ast.Name):
            return self._name(node.id, depth)
        if isinstance(node, ast.Attribute):
            return varying(node.attr)
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        return varying()

    def _choice(self, first: Text, second: Text) -> Text:
        if first.plain and second.plain:
            return first + Text(" */* ", " … ") + second
        either = first if first.plain else second
        return Text("\\[", "") + either + Text("\\]", "")

    def _name(self, name: str, depth: int) -> Text:
        for scope in reversed(self._scopes):
            if name in scope:
                values = scope[name]
                if depth < 3 and len(values) == 1 and _is_text(values[0], self._functions):
                    return self._text(values[0], depth + 1)
                break
        return varying(name)

    def _call(self, node: ast.Call, depth: int) -> Text:
        name = _name_of(node.func)
        if name == "counted" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            plural = node.args[2] if len(node.args) > 2 else None
            noun = plural.value if isinstance(plural, ast.Constant) else f"{node.args[1].value}s"
            return varying("number") + fixed(f" {noun}")
        function = self._functions.get(name)
        if function and depth < 3 and (value := _returned(function)):
            self._scopes.append(_assigned(function.body))
            text = self._text(value, depth + 1)
            self._scopes.pop()
            return text
        if name in _FORMATTING and node.args and isinstance(node.args[0], ast.Name | ast.Attribute):
            return varying("number" if name == "len" else _name_of(node.args[0]))
        if name == "join" and node.args and isinstance(node.args[0], ast.Name):
            return varying(node.args[0].id)
        return varying()


def _name_of(node: ast.expr) -> str:
    """Return the name of a variable, or the last one of a dotted name."""
    return getattr(node, "id", getattr(node, "attr", ""))


def _joined(parts: Iterable[Text]) -> Text:
    text = Text("", "")
    for part in parts:
        # Two variables side by side would be read as bold.
        if text.markdown.endswith("*") and part.markdown.startswith("*"):
            text += Text("&#8203;", "")
        text += part
    return text


def _assigned(body: list[ast.stmt]) -> dict[str, list[ast.expr]]:
    """Return all values that are assigned to each name, not looking into functions."""
    values: dict[str, list[ast.expr]] = {}
    nodes: list[ast.AST] = list(body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        direct = node.value if target is name else ast.Constant(None)
                        values.setdefault(name.id, []).append(direct)
        if isinstance(node, ast.AugAssign | ast.For) and isinstance(node.target, ast.Name):
            # Changed after its assignment: unknown.
            values.setdefault(node.target.id, []).extend([ast.Constant(None)] * 2)
        nodes += ast.iter_child_nodes(node)
    return values


def _is_text(node: ast.expr, functions: dict[str, ast.FunctionDef]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | int) and node.value is not True
    if isinstance(node, ast.IfExp):
        return _is_text(node.body, functions) and _is_text(node.orelse, functions)
    if isinstance(node, ast.BinOp):
        return _is_text(node.left, functions) or _is_text(node.right, functions)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in functions and _returned(functions[node.func.id]) is not None
    return isinstance(node, ast.JoinedStr)


def _returned(function: ast.FunctionDef) -> ast.expr | None:
    """Return the text that a function returns, if it has a single `return` of a text."""
    returns = _returns(function)
    value = returns[0] if len(returns) == 1 else None
    return value if isinstance(value, ast.JoinedStr | ast.BinOp) and _is_text(value, {}) else None


def _returns(function: ast.FunctionDef) -> list[ast.expr]:
    return [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]


def sources() -> Iterator[tuple[str, str, Path]]:
    """Yield the group, the module and the path of each file that may raise an error."""
    for package in ("hpastack", "pipelines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            if package == "hpastack":
                group = parts[1]
            else:
                group = "commands" if parts[1].startswith("_") else f"command {parts[1]}"
            yield group, module, path


def groups() -> dict[str, list[Entry]]:
    """Return the entries of each group, sorted by their fixed words; each message occurs once."""
    modules = [
        (group, module, ast.parse(path.read_text(encoding="utf-8")))
        for group, module, path in sources()
    ]
    constants: dict[str, list[ast.expr]] = {}
    for _, _, tree in modules:
        for name, values in _assigned(tree.body).items():
            if name.isupper() and not name.startswith("_"):
                constants.setdefault(name, []).extend(values)
    merged: dict[str, tuple[str, Entry]] = {}
    for group, module, tree in modules:
        for entry in Messages(module, tree, constants).entries:
            _, known = merged.setdefault(entry.text.plain, (group, Entry(entry.text)))
            known.modules += [name for name in entry.modules if name not in known.modules]
            known.parameters += [name for name in entry.parameters if name not in known.parameters]
    by_group: dict[str, list[Entry]] = {}
    for group, entry in merged.values():
        by_group.setdefault(group, []).append(entry)
    ranks = {name: number for number, name in enumerate(FIRST)}
    names = sorted(by_group, key=lambda n: (n.startswith("command"), ranks.get(n, len(ranks)), n))
    return {name: sorted(by_group[name], key=lambda entry: entry.order) for name in names}


def remedies() -> dict[str, str]:
    """Return what to do about messages with certain words."""
    return yaml.safe_load(REMEDIES.read_text(encoding="utf-8"))


def page(advice: dict[str, str] | None = None) -> str:
    """Return the text of the page.

    Parameters
    ----------
    advice : dict of str to str, optional
        What to do about each message with certain words. Default: `remedies`.

    Raises
    ------
    ValueError
        If the words of a remedy are in no message.
    """
    advice = remedies() if advice is None else advice
    unused = set(advice)
    lines = [HEAD.rstrip()]
    for group, entries in groups().items():
        lines += ["", f"## {_title(group)}", "", _about(group)]
        for entry in entries:
            lines += ["", f"### {entry.text.markdown.strip()}", ""]
            for words, remedy in advice.items():
                if words in entry.text.plain:
                    unused.discard(words)
                    lines += [remedy.strip(), ""]
            lines += [_origin(entry)]
    if unused:
        raise ValueError(f"{REMEDIES.name}: in no message: {'; '.join(sorted(unused))}")
    return "\n".join([*lines, ""])


def _title(group: str) -> str:
    if group == "commands":
        return "All commands"
    kind, _, name = group.partition(" ")
    return f"hpastack {name}" if name else f"hpastack.{kind}"


def _about(group: str) -> str:
    """Return the first sentence of the documentation of a part, without its details."""
    if group == "commands":
        return "Checks that commands share, and those of the sets of files of `quickstack`."
    command = group.removeprefix("command ")
    if command != group:
        path = ROOT / "pipelines" / f"{command}.py"
    else:
        path = ROOT / "hpastack" / group / "__init__.py"
        path = path if path.exists() else path.parent.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].replace("``", "`")


def _origin(entry: Entry) -> str:
    """Return where a message comes from."""
    line = "Raised in " + ", ".join(f"`{name}`" for name in entry.modules)
    if entry.parameters:
        noun = "parameter" if len(entry.parameters) == 1 else "parameters"
        line += f"; {noun} " + ", ".join(f"`{name}`" for name in entry.parameters)
    return f"{line}."


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.name} with {text.count(chr(10) + '### ')} messages", file=sys.stderr)
