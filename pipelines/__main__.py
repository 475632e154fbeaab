"""The command `hpastack`: every command of this package by its name, and the list of them."""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pipelines._command import run_command
from pipelines._help import CommandParser, nearest
from pipelines._output import error_before_start, printable


def commands() -> dict[str, str]:
    """Return the commands without importing them.

    Returns
    -------
    dict of str to str
        Name of each module of `pipelines` that is a command, to the first line
        of its docstring.
    """
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem] = text.partition("\n")[0]
    return found


def make_parser(prog: str = "hpastack") -> CommandParser:
    """Return the parser of the arguments before a command.

    Parameters
    ----------
    prog : str, default="hpastack"
        Name that the program was called by.

    Returns
    -------
    CommandParser
    """
    known = commands()
    width = max(map(len, known))
    lines = [f"  {name:<{width}}  {text}" for name, text in known.items()]
    parser = CommandParser(
        prog,
        "Name where a protein sits in a human cell: from fields and CNNs to calibrated labels.",
        usage="%(prog)s COMMAND [OPTION ...]\n       %(prog)s COMMAND --help",
        epilog="\n".join(
            ["commands:", *lines, "", "example:", "  $ %(prog)s demo --workspace demo"]
        ),
    )
    parser.add_version(parser)
    parser.add_argument(
        "--print-completion", choices=("bash", "zsh"), metavar="SHELL",
        help="print the completion script of hpastack for bash or zsh",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "hpastack") -> int:
    """Run a command by its name, or list the commands if none is named.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments. If omitted, those of the process.
    prog : str, default="hpastack"
        Name that the program was called by.

    Returns
    -------
    int
        Exit status of the command, or 2 if there is no such command.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0].startswith("-"):
        parser = make_parser(prog)
        return run_command(parser, partial(_list_or_complete, parser), argv)
    name, *rest = argv
    known = commands()
    if name not in known:
        hint = nearest(name, list(known)) or f"; there are {', '.join(known)}"
        message = f"unknown command {name}{hint}"
        print(f"{prog}: error: {printable(message)}", file=sys.stderr)
        return error_before_start(name, message, rest)
    command = importlib.import_module(f"pipelines.{name}")
    parser = command.make_parser()
    parser.prog = f"{prog} {name}"
    return run_command(parser, command.run, rest)


def _list_or_complete(parser: CommandParser, args: argparse.Namespace) -> None:
    if args.print_completion is None:
        parser.print_help()
        return
    # Imported here, as it imports every command.
    from pipelines._completion import completion_script

    print(completion_script(args.print_completion, parser, commands()))


if __name__ == "__main__":
    raise SystemExit(main(prog="python -m pipelines"))
