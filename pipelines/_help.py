"""Parsers whose help fits the terminal and whose errors take one line."""

from __future__ import annotations

import argparse
import difflib
import textwrap
from collections.abc import Sequence
from typing import NoReturn

import hpastack

USER_ERROR = 2
# Below this width, each option gets a line of its own, with its help below.
_NARROW = 60


class HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, options and examples to the terminal (or ``COLUMNS``).

    Line breaks of a description are kept, and an indented line stays indented where it is
    wrapped. Examples are continued with a backslash, so that they can be copied at any
    width. Words are never broken.
    """

    def __init__(self, prog: str, **options):
        super().__init__(prog, **options)
        if self._width < _NARROW:
            self._max_help_position = 8

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrap(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = []
        for line in text.splitlines():
            if line.startswith("  $ "):
                lines += _continued(line.replace("  $ ", "  ", 1), width)
                continue
            # A second column begins after two spaces: `fast      stored predictions`.
            first = len(line) - len(line.lstrip())
            gap = line.rfind("  ", first)
            hanging = gap + 2 if first and gap > 0 and gap < width / 2 else first
            lines += _wrap(line, width, indent + " " * hanging) or [""]
        return "\n".join(indent + line for line in lines)


class CommandParser(argparse.ArgumentParser):
    """A parser with ``--version`` whose errors take one line and name the nearest option."""

    def __init__(self, prog: str, description: str, **options):
        #: Name of the command, as programs know it.
        self.command = prog
        #: Error in the arguments that ended the process.
        self.failure = ""
        self.recipe_types: tuple[str, ...] = ()
        #: Options for parameters of the library whose names differ, for messages.
        self.parameter_options: dict[str, str] = {}
        super().__init__(
            prog=prog, description=description, formatter_class=HelpFormatter,
            allow_abbrev=False, **options,
        )  # fmt: skip

    def add_version(self, group) -> None:
        """Add ``--version`` to a group of options."""
        group.add_argument(
            "--version", action="version", version=f"hpastack {hpastack.__version__}",
            help="show the version and exit",
        )  # fmt: skip

    def parse_args(self, args=None, namespace=None):
        """Parse the arguments; end the process with status 2 if one is unknown."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            self.error(f"unknown argument {unknown[0]}{nearest(unknown[0], options)}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr and end the process with status 2."""
        self.failure = message
        self.exit(USER_ERROR, f"{self.prog}: error: {message} (options: {self.prog} --help)\n")


def options_of(parameters: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Return the options by which a command sets parameters of the library.

    Parameters
    ----------
    parameters : sequence of str
        Those without an option are omitted.
    parser : argparse.ArgumentParser

    Returns
    -------
    list of str
    """
    option_of = {
        action.dest: action.option_strings[-1]
        for action in parser._actions
        if action.option_strings
    }
    option_of |= getattr(parser, "parameter_options", {})
    return [option_of[name] for name in parameters if name in option_of]


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ``; did you mean ...?`` if a name resembles a known one, else an empty string."""
    found = difflib.get_close_matches(name.partition("=")[0], known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _wrap(text: str, width: int, hanging: str = "") -> list[str]:
    return textwrap.wrap(
        text, max(width, 11), subsequent_indent=hanging,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _continued(command: str, width: int) -> list[str]:
    lines = _wrap(command, width - 2, "    ")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
