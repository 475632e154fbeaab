"""Error messages that no test reaches: ``pytest -p tests.message_coverage``, then the same module.

A message is a call that creates an exception in `hpastack` or `pipelines`, or a call of
``parser.error``. The plugin compiles both packages with a note at each of them, so that also the
`ValueError` that another module turns into an `InputError` is seen. Processes of the tests append
to one file; those that they start do so too if they inherit the environment.

    python -m pytest -p tests.message_coverage --messages DIR tests/folds hpastack/folds
    python -m tests.message_coverage DIR hpastack/folds

The second command prints the messages that were never reached, and the counts of each folder.
"""

from __future__ import annotations

import ast
import builtins
import importlib.machinery
import os
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hpastack", "pipelines")
#: What ends a process, stands for a method of a subclass or reports a bug.
NO_MESSAGES = {"SystemExit", "KeyboardInterrupt", "NotImplementedError", "RuntimeError", "Stopped"}
#: Exceptions that functions return to be raised elsewhere.
RETURNED = {"InputError", "FileFault", "UnknownName", "ArgumentTypeError"}
#: Methods that print a message and end the process.
PARSERS = {"parser.error", "self.error"}
REACHED = "reached.txt"

_SITECUSTOMIZE = """\
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("message_coverage", {module!r})
module = module_from_spec(spec)
spec.loader.exec_module(module)
module.record({folder!r})
"""


def messages(tree: ast.AST) -> list[ast.Call]:
    """Calls that create a message."""
    calls = []
    raised = {id(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            wanted = id(node) in raised and name not in NO_MESSAGES
            if wanted or name in RETURNED or ast.unparse(node.func) in PARSERS:
                calls.append(node)
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def record(folder: str) -> None:
    """Append each message reached from now on to a file in the folder, once per process."""
    path = os.path.join(folder, REACHED)
    seen = set()

    def reached(place, function):
        if place not in seen:
            seen.add(place)
            # A line as short as this is appended whole, whatever other processes write.
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{place}\n")
        return function

    def get_code(loader, fullname):
        source = Path(loader.get_filename(fullname)).resolve()
        if not any(source.is_relative_to(ROOT / package) for package in PACKAGES):
            return plain(loader, fullname)
        tree = ast.parse(source.read_bytes())
        for call in messages(tree):
            place = f"{source.relative_to(ROOT)}:{call.lineno}:{call.col_offset}"
            note = ast.parse(f"_message_reached({place!r})", mode="eval").body
            assert isinstance(note, ast.Call)
            for node in ast.walk(note):
                ast.copy_location(node, call.func)
            note.args.append(call.func)
            call.func = note
        return compile(tree, str(source), "exec", dont_inherit=True)

    builtins._message_reached = reached
    plain = importlib.machinery.SourceFileLoader.get_code
    importlib.machinery.SourceFileLoader.get_code = get_code


def pytest_addoption(parser):
    parser.addoption("--messages", metavar="DIR", help="folder of the messages that were reached")


def pytest_load_initial_conftests(early_config):
    """Begin before a conftest imports the packages; processes of xdist begin on their own."""
    folder = early_config.known_args_namespace.messages
    if not folder or hasattr(builtins, "_message_reached"):
        return
    early = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    assert not early, f"imported before the plugin: {early}"
    folder = os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    text = _SITECUSTOMIZE.format(module=__file__, folder=folder)
    Path(folder, "sitecustomize.py").write_text(text, encoding="utf-8")
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    record(folder)


def main(arguments):
    """Print the messages that were never reached, and the counts by folder."""
    folder, *parts = arguments
    reached = set(Path(folder, REACHED).read_text(encoding="utf-8").split())
    number, missing = Counter(), Counter()
    for package in PACKAGES:
        for source in sorted((ROOT / package).rglob("*.py")):
            name = str(source.relative_to(ROOT))
            if parts and not any(name.startswith(part) for part in parts):
                continue
            station = "/".join(name.split("/")[:2])
            for call in messages(ast.parse(source.read_bytes())):
                number[station] += 1
                if f"{name}:{call.lineno}:{call.col_offset}" not in reached:
                    missing[station] += 1
                    print(f"{name}:{call.lineno}: {ast.unparse(call)}")
    for station, n_messages in number.items():
        print(f"{station}: {n_messages} messages, {missing[station]} never reached")
    print(f"{number.total()} messages, {missing.total()} never reached")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
