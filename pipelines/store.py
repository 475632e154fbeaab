"""Describe stores, verify them, or export one as a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpastack.catalogue import read_catalogue
from hpastack.errors import InputError, counted, shorten
from hpastack.folds import read_fold_plan
from hpastack.store import (
    EXPORTS,
    export_store,
    open_store,
    store_summary,
    unfinished_rows,
    verify_store,
)
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import USER_ERROR, CommandParser
from pipelines._output import answer, fail, note, wrote

_LONGEST = 2000


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "store",
        "Print what stores contain (--info), read them completely and print every problem "
        "(--verify), or write one as a table for other programs (--export).",
        "texture --verify",
    )
    parser.add_argument(
        "stores", nargs="*", metavar="STORE",
        help="names of stores in features/, or files (default: all of the workspace)",
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--info", action="store_true", help="print what they contain (default)")
    what.add_argument(
        "--verify",
        action="store_true",
        help="read them completely; exit status 2 if one is not sound",
    )
    what.add_argument(
        "--export",
        choices=EXPORTS,
        metavar="AS",
        help="write one as a table (%(choices)s), which ingest can import (NaN only in scores)",
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE",
        help="with --export: file of the table (default: next to the store)",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    if args.to is not None and not args.export:
        raise InputError("--to needs --export")
    paths = [_path(name, workspace) for name in args.stores] or workspace.stores()
    if args.export:
        if len(args.stores) != 1:
            raise InputError("--export needs the name of one store")
        _export(paths[0], args)
        return 0
    for path in paths:
        if not path.exists() and unfinished_rows(path) is None:
            names = shorten(store.stem for store in workspace.stores())
            raise InputError(f"{path}: no such store; the workspace has {names or 'none'}")
    unpublished = {} if args.stores else _unpublished(workspace)
    if not paths and not unpublished:
        raise InputError(f"no stores in {workspace.features}")
    catalogue = read_catalogue(workspace.catalogue) if workspace.catalogue.is_file() else None
    show = _verify if args.verify else _Info(workspace)
    n_bad = 0
    for path in paths:
        # A bad store does not stop the check of the others.
        try:
            n_bad += not show(path, catalogue)
        except InputError as error:
            n_bad += 1
            _say(f"{path}: NOT SOUND")
            _say(f"  {error}")
    for path, n_rows in unpublished.items():
        _say(
            f"{path}: not finished, {counted(n_rows, 'field is', 'fields are')} done; continue "
            "with the command that makes it"
        )
    if n_bad:
        fail(
            f"{n_bad} of {counted(len(paths), 'store is', 'stores are')} not sound",
            prefix="store: ",
        )
    return USER_ERROR if n_bad else 0


def _path(name: str, workspace: Workspace) -> Path:
    """Return the path of a store named by its name or its path."""
    path = workspace.store(name.removesuffix(".h5"))
    if Path(name).name == name and (path.exists() or unfinished_rows(path) is not None):
        return path
    return Path(name) if name.endswith(".h5") else path


def _unpublished(workspace: Workspace) -> dict[Path, int]:
    """Return the number of finished fields of stores that are being made for the first time."""
    folders = sorted(workspace.features.glob("*.h5.parts"))
    paths = [folder.with_name(folder.name.removesuffix(".parts")) for folder in folders]
    counts = {path: unfinished_rows(path) for path in paths if not path.exists()}
    return {path: count for path, count in counts.items() if count is not None}


class _Info:
    def __init__(self, workspace: Workspace):
        has_plan = workspace.folds.is_file()
        self.fold_plan = read_fold_plan(workspace.folds).digest if has_plan else None

    def __call__(self, path: Path, catalogue: pd.DataFrame | None) -> bool:
        with open_store(path) as store:
            facts = store_summary(store, catalogue, self.fold_plan)
        _say(str(path))
        for name, text in facts.items():
            _say(f"  {name:<12} {text}")
        return True


def _verify(path: Path, catalogue: pd.DataFrame | None) -> bool:
    check = verify_store(path, catalogue)
    by = "with checksums" if check.has_checksums else "an older format, without checksums"
    state = "NOT SOUND" if check.problems else "sound"
    _say(f"{path}: {state} ({counted(check.n_rows, 'field')}, {by})")
    for problem in check.problems:
        _say(f"  {problem}")
    if check.unfinished is not None:
        unfinished = counted(check.unfinished, "field is", "fields are")
        _say(f"  being made again: {unfinished} in {path.name}.parts")
    return not check.problems


def _export(path: Path, args: argparse.Namespace) -> None:
    target = args.to or path.with_suffix(f".{args.export}")
    if target.suffix != f".{args.export}":
        raise InputError(f"--to {target} does not end in .{args.export}")
    files = export_store(path, target, overwrite=args.overwrite)
    with open_store(path) as store:
        if store.n_members:
            note(f"the table has only the mean of the {store.n_members} members of {path}")
        if store.allow_nan and store.content != "scores":
            note(f"{path} may contain NaN, which ingest imports in scores only")
    wrote(f"wrote {', '.join(map(str, files))}", *files)


def _say(text: str) -> None:
    answer(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ...")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
