"""Shell completion of commands, options, files and names, through shtab."""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Mapping
from pathlib import Path

from hpastack.errors import InputError
from hpastack.recipes import shipped_recipes
from pipelines._help import CommandParser

# What an argument is completed with, by its name in the help; all other paths are files.
_FOLDERS = ("DIR", "FOLDER")
_FILES = ("FILE", "PNG")
_FOUND = {"STORE": "stores", "MODEL": "stacks", "STACK": "recipes_stack", "CNN": "recipes_cnn"}

# For both shells. Names are searched in the workspace of the command line at each completion.
_FINDING = r"""
_hpastack_recipes() {  # workspace, types
  find "$1/features" "$1/models" SHIPPED -maxdepth 1 \( -name '*.yaml' -o -name '*.yml' \) \
    -exec grep -lE "^type: *($2) *$" {} + 2>/dev/null | sed 's|.*/||; s|[.]ya*ml$||' | sort -u
}
_hpastack_stores() { find "$1/features" -maxdepth 1 -name '*.h5' 2>/dev/null |
  sed 's|.*/||; s|[.]h5$||' | sort; }
_hpastack_stacks() { find "$1/models" -maxdepth 2 -name stack.json 2>/dev/null |
  sed 's|/stack[.]json$||; s|.*/|models/|' | sort; }
"""
_WORKSPACE = {
    "bash": r"""
_hpastack_workspace() {
  local i place=.
  for (( i = 1; i < COMP_CWORD; i++ )); do
    [[ ${COMP_WORDS[i]} == --workspace ]] || continue
    place=${COMP_WORDS[i+1]}
    [[ $place == = ]] && place=${COMP_WORDS[i+2]}
  done
  echo "${place/#\~/$HOME}"
}
_hpastack_reply() {  # pattern of files, word, names
  local IFS=$'\n'
  compgen -W "$3" -- "$2"
  [[ $1 ]] && compgen -f -X "!$1" -- "$2"
  [[ $1 ]] && compgen -d -- "$2"
}
""",
    "zsh": r"""
_hpastack_workspace() {
  local i place=.
  for (( i = 2; i < CURRENT; i++ )); do
    [[ ${words[i]} == --workspace ]] && place=${words[i+1]}
    [[ ${words[i]} == --workspace=* ]] && place=${words[i]#--workspace=}
  done
  print -r -- "${place/#\~/$HOME}"
}
_hpastack_reply() {  # pattern of files, word, names
  local names=(${(f)3})
  compadd -a names
  [[ -n $1 ]] && _files -g "$1"
}
""",
}


def completion_script(shell: str, top: CommandParser, known: Mapping[str, str]) -> str:
    """Return the script with which a shell completes ``hpastack``.

    Parameters
    ----------
    shell : {"bash", "zsh"}
    top : CommandParser
        Parser of the arguments before a command.
    known : mapping of str to str
        Name and description of each command.

    Returns
    -------
    str
        Shell code, which starts no Python when a key is pressed.

    Raises
    ------
    InputError
        If shtab is not installed.
    """
    try:
        import shtab
    except ModuleNotFoundError:
        raise InputError(
            "completion needs shtab, which is not installed; "
            "run: pip install 'hpastack[completion]'"
        ) from None
    whole = argparse.ArgumentParser("hpastack", parents=[top], add_help=False)
    commands = whole.add_subparsers()
    functions: dict[str, str] = {}
    for name, text in known.items():
        parser = importlib.import_module(f"pipelines.{name}").make_parser()
        for action in parser._actions:
            _complete(action, parser, functions)
        commands.add_parser(name, parents=[parser], add_help=False, help=text, description=text)
    shipped = shlex.join(str(Path(shipped_recipes(folder))) for folder in ("features", "models"))
    preamble = (
        _FINDING.replace("SHIPPED", shipped) + _WORKSPACE[shell] + "".join(functions.values())
    )
    return shtab.complete(whole, shell, preamble=preamble)


def _complete(action: argparse.Action, parser: CommandParser, functions: dict[str, str]) -> None:
    """Set how an argument is completed, and keep the shell function that does it."""
    import shtab

    metavar = action.metavar
    if metavar == "RECIPE":
        found = "recipes_" + "_".join(parser.recipe_types)
    elif metavar in _FOUND:
        found = _FOUND[str(metavar)]
    elif metavar in _FOLDERS:
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        return
    elif action.type is Path or metavar in _FILES:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
        return
    else:
        return
    kind, _, types = found.partition("_")
    pattern = {"recipes": "*.y*ml", "stores": "", "stacks": ""}[kind]
    # shtab treats the results of a function named *_files as names of files.
    function = f"_hpastack_{found}_files"
    arguments = shlex.join([types.replace("_", "|")] if types else [])
    functions[function] = (
        f"{function}() {{ _hpastack_reply '{pattern}' \"$1\" "
        f'"$(_hpastack_{kind} "$(_hpastack_workspace)" {arguments})"; }}\n'
    )
    action.complete = {"bash": function, "zsh": function}  # type: ignore[attr-defined]
