"""Options that several commands have, each declared once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines._help import CommandParser

SKIPPED = 3

# A stack scores one fold, chooses on another and learns from the others.
LEAST_FOLDS = 3


def positive(text: str) -> int:
    """Return a whole number of at least 1.

    Parameters
    ----------
    text : str
        As the command line has it.

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is something else.
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
        "help": "folder with data/, features/, models/ (default: here)",
    },
    "--overwrite": {
        "action": "store_true", "help": "replace existing output (an error otherwise)"
    },
    "--jobs": {"type": positive, "metavar": "N"},
}  # fmt: skip
_SOME: dict[str, dict[str, Any]] = {
    "--set": {
        "action": "append", "default": [], "metavar": "KEY=VALUE", "dest": "overrides",
        "help": "replace a value of the recipe; may be given several times",
    },
    "--accept": {
        "action": "append", "default": [], "metavar": "STORE",
        "help": "let a stack use this out-of-fold store (all: any) though its fold plan is unknown "
        "or splits clusters; the output says so",
    },
    "--device": {
        "default": "auto",
        "help": "where networks run: auto (a GPU if there is one), cpu, cuda, cuda:1, mps "
        "(default: %(default)s)",
    },
    "--limit": {"type": positive, "metavar": "N", "help": "only the first N fields"},
    "--on-error": {
        "choices": ("raise", "skip"), "default": "raise",
        "help": "at a bad field or file: stop, or skip it, list it and end with status "
        f"{SKIPPED} (default: %(default)s)",
    },
    "--seed": {
        "type": int, "default": 0, "metavar": "N",
        "help": "seed of all random choices, and of ties (default: 0)",
    },
    "--train": {
        "type": int, "metavar": "N", "help": "synthetic training fields (default: %(default)s)"
    },
    "--test": {
        "type": int, "metavar": "N", "help": "synthetic test fields (default: %(default)s)"
    },
    "--size": {
        "type": int, "metavar": "PIXELS", "help": "side of synthetic fields (default: %(default)s)"
    },
    "model": {
        "type": Path, "metavar": "MODEL", "help": "folder of a stack, here or in the workspace"
    },
}  # fmt: skip


def add_options_of_all(parser: CommandParser, *, jobs: int | None) -> None:
    """Add the options that all commands share, and ``--set`` for those that read recipes.

    Parameters
    ----------
    parser : CommandParser
    jobs : int, optional
        Default of ``--jobs``; None: as many as the process may use.
    """
    shared = parser.add_argument_group("options shared by all commands")
    for name, settings in _EVERYWHERE.items():
        if name == "--jobs":
            default = jobs or "as many as this process may use"
            settings = settings | {"default": jobs, "help": f"workers (default: {default})"}
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
        Such as ``--device``, or ``model``, the folder of a stack.
    **defaults : object
        Defaults other than the shared ones, by the name of the value.
    """
    for name in names:
        parser.add_argument(name, **_SOME[name])
    parser.set_defaults(**defaults)
