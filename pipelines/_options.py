"""Options shared by several commands, each declared once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines._help import CommandParser

SKIPPED = 3

# A stack is scored on one fold, makes its choices on another and learns from the rest.
LEAST_FOLDS = 3


def positive(text: str) -> int:
    """Return a whole number of at least 1.

    Parameters
    ----------
    text : str
        Value on the command line.

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is not a whole number of at least 1.
    """
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


# Every command has these, in a group of their own.
_EVERYWHERE: dict[str, dict[str, Any]] = {
    "--workspace": {
        "type": Path, "default": Path(), "metavar": "DIR",
        "help": "folder of all input and output: data/, features/, models/, submissions/, reports/ "
        "(default: the current folder)",
    },
    "--overwrite": {
        "action": "store_true", "help": "replace existing output (default: an error)"
    },
    "--jobs": {"type": positive, "metavar": "N"},
    "--quiet": {
        "action": "store_true",
        "help": "print only warnings, errors, and what the command writes nowhere else; no "
        "progress, notes or results",
    },
    "--json": {
        "action": "store_true",
        "help": "print one JSON object as the last line on stdout: command, status, seconds, "
        "written, warnings, notes, results and, if it failed, error; text goes to stderr",
    },
    "--log": {
        "type": Path, "metavar": "FILE",
        "help": "append everything that is printed to FILE, with time stamps, including progress "
        "and what --quiet suppresses",
    },
}  # fmt: skip
_SOME: dict[str, dict[str, Any]] = {
    "--set": {
        "action": "append", "default": [], "metavar": "KEY=VALUE", "dest": "overrides",
        "help": "override a value of the recipe; can be repeated",
    },
    "--accept": {
        "action": "append", "default": [], "metavar": "STORE",
        "help": "use this out-of-fold store (all: any store) even if its fold plan is unknown or "
        "splits clusters; the output says so; can be repeated",
    },
    "--device": {
        "default": "auto",
        "help": "device that networks run on: auto (a GPU if there is one), cpu, cuda, cuda:1, mps "
        "(default: %(default)s)",
    },
    "--limit": {"type": positive, "metavar": "N", "help": "process only the first N fields"},
    "--on-error": {
        "choices": ("raise", "skip"), "default": "raise",
        "help": "on a bad field or file: raise stops with an error; skip lists it, continues and "
        f"ends with status {SKIPPED} (default: %(default)s)",
    },
    "--seed": {
        "type": int, "default": 0, "metavar": "N",
        "help": "random seed, also used to break ties (default: 0)",
    },
    "--train": {
        "type": int, "metavar": "N",
        "help": "number of synthetic training fields (default: %(default)s)"
    },
    "--test": {
        "type": int, "metavar": "N",
        "help": "number of synthetic test fields (default: %(default)s)"
    },
    "--size": {
        "type": int, "metavar": "PIXELS",
        "help": "width and height of synthetic fields (default: %(default)s)"
    },
    "--wide": {
        "action": "store_true", "help": "print tables with all columns, however wide"
    },
    "model": {
        "type": Path, "metavar": "MODEL",
        "help": "folder of a fitted stack, relative to the current folder or to the workspace"
    },
}  # fmt: skip


def add_options_of_all(parser: CommandParser, *, jobs: int | None) -> None:
    """Add the options that all commands share, and ``--set`` for those that read recipes.

    Parameters
    ----------
    parser : CommandParser
    jobs : int, optional
        Default of ``--jobs``. None: as many as the process may use.
    """
    shared = parser.add_argument_group("options shared by all commands")
    for name, settings in _EVERYWHERE.items():
        if name == "--jobs":
            default = jobs or "all processors that this process may use"
            settings = settings | {
                "default": jobs,
                "help": f"parallel workers (default: {default})",
            }
        shared.add_argument(name, **settings)
    if parser.recipe_types:
        shared.add_argument("--set", **_SOME["--set"])
        parser.parameter_options["overrides"] = "--set"
    parser.add_version(shared)


def add_options(parser: CommandParser, *names: str, **defaults: Any) -> None:
    """Add options that some commands share.

    Parameters
    ----------
    parser : CommandParser
    *names : str
        Names of options, such as ``--device``, or ``model`` for the folder of a stack.
    **defaults : object
        Defaults that differ from the shared ones, by the name of the value.
    """
    for name in names:
        parser.add_argument(name, **_SOME[name])
    parser.set_defaults(**defaults)
