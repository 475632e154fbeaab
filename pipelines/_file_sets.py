"""Which files belong together: the tables of one CNN, or of one set of features."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpastack.errors import InputError, shorten
from pipelines._command import check_name

# What a folder is searched for; files that are named are read whatever they are called.
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_SUFFIXES = (".csv", ".tsv", ".parquet", ".xlsx", ".npy", ".npz", ".h5")
# Parts of a file's name that say which rows or values it has, and not of which CNN they are.
_ROLES = re.compile(
    r"oof|out|of|fold|cv|train(ing)?|valid(ation)?|val|test(ing)?|sub(mission)?"
    r"|pred(s|ict|icted|iction|ictions)?|prob(s|a|abilities)?|logits?|meta|features?|fold\d+"
)
_FOLD = re.compile(r"(?<![a-z0-9])fold[ _.-]?\d+(?![a-z0-9])", re.IGNORECASE)
# Options of ingest that depend on the other files.
_RESERVED = ("--name", "--kind", "--folds", "--members", "--workspace", "--overwrite", "--help")


@dataclass(frozen=True)
class Problem:
    """What is wrong with the files, and the remedy.

    Parameters
    ----------
    text : str
    of_set : str, default=""
        Name of the set that could be skipped because of it; "" if that would not help.
    parameters : tuple of str, default=()
        Parameters of the library that the remedy changes.
    """

    text: str
    of_set: str = ""
    parameters: tuple[str, ...] = ()


@dataclass
class FileSet:
    """The files of one store, and how they are brought in.

    Parameters
    ----------
    name : str
        Name of the store.
    files : list of Path
    is_features : bool, default=False
        Whether they hold features; predictions otherwise.
    options : list of str, default=[]
        Further options of ``ingest``.
    """

    name: str
    files: list[Path]
    is_features: bool = False
    options: list[str] = field(default_factory=list)

    @property
    def is_store(self) -> bool:
        """Whether it is one store of hpastack, which is copied."""
        return len(self.files) == 1 and self.files[0].suffix == ".h5"

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(map(str, self.files))}"


def read_file_sets(
    words: Sequence[str],
    *,
    is_features: bool,
    apart: Collection[Path],
    made: Collection[Path],
) -> tuple[list[FileSet], list[Problem]]:
    """Return the sets that words of the command line name.

    Parameters
    ----------
    words : sequence of str
        ``NAME=FILE,FILE``; or folders and files, which are paired by their names.
    is_features : bool
        Whether the sets hold features.
    apart : collection of Path
        Files with other roles, such as the table of labels; in a folder they are ignored.
    made : collection of Path
        Folders of the workspace, whose files are ignored too.

    Returns
    -------
    sets : list of FileSet
        In the order of the words; files of a folder by name.
    problems : list of Problem
    """
    sets: dict[str, FileSet] = {}
    problems: list[Problem] = []
    others = {path.resolve() for path in (*apart, *made)}
    loose: list[Path] = []
    for word in words:
        path = Path(word)
        name, equals, files = word.partition("=")
        if path.is_dir():
            in_folder = _files_of(path, others)
            if not in_folder:
                text = f"{path}: no file of predictions; it is searched for {', '.join(_SUFFIXES)}"
                problems.append(Problem(f"{text} (compressed or not)"))
            loose += in_folder
        elif equals and not path.is_file():
            if name.casefold() in sets:
                other = sets[name.casefold()]
                text = (
                    f"{name}: the name is used twice ({word}; {other}); give each set a different "
                    "name, and list all files of a set in one NAME=FILE,FILE"
                )
                problems.append(Problem(text))
                continue
            of_set = [Path(files)] if Path(files).is_file() else list(map(Path, files.split(",")))
            sets[name.casefold()] = FileSet(name, of_set, is_features)
        else:
            loose.append(path)
    paired, unnamed = _paired(loose, is_features)
    problems += map(Problem, unnamed)
    for key, file_set in paired.items():
        if key in sets:
            text = (
                f"{file_set.name}: the name is used twice ({sets[key]}; {file_set}); give each "
                "set a different name, as NAME=FILE,FILE"
            )
            problems.append(Problem(text))
        else:
            sets[key] = file_set
    for file_set in sets.values():
        try:
            check_name(file_set.name)
        except InputError as error:
            text = str(error).removeprefix("--name ")
            problems.append(Problem(text, file_set.name))
        if len(file_set.files) > 1 and any(path.suffix == ".h5" for path in file_set.files):
            text = (
                f"{file_set}: a store (.h5) contains training and test fields; pass it alone, as "
                "NAME=FILE.h5"
            )
            problems.append(Problem(text, file_set.name))
        if len(set(file_set.files)) < len(file_set.files):
            text = f"{file_set}: duplicate file; name each file once"
            problems.append(Problem(text, file_set.name))
    return list(sets.values()), problems


def set_options(texts: Sequence[str], sets: Sequence[FileSet]) -> list[Problem]:
    """Give sets their options of ``ingest``.

    Parameters
    ----------
    texts : sequence of str
        ``NAME=OPTIONS``; the name ``all`` stands for all sets of predictions.
    sets : sequence of FileSet
        Their `options` are set.

    Returns
    -------
    list of Problem
    """
    problems = []
    for text in texts:
        name, equals, options = text.partition("=")
        chosen = [file_set for file_set in sets if file_set.name == name]
        if name == "all":
            chosen = [file_set for file_set in sets if not file_set.is_features]
        if not equals or not chosen:
            known = [file_set.name for file_set in sets]
            problems.append(
                f"--options {text}: no set of this name; write NAME='OPTIONS', where NAME is all "
                f"or one of {shorten(known, 20)}"
            )
            continue
        try:
            words = shlex.split(options)
        except ValueError as error:
            problems.append(f"--options {text}: {error}; quote as in a shell")
            continue
        reserved = [word for word in words if word.partition("=")[0] in _RESERVED]
        if reserved or (words and not words[0].startswith("-")):
            problems.append(
                f"--options {text}: {(reserved or words)[0]} is set by the other options of "
                "quickstack; omit it"
            )
            continue
        for file_set in chosen:
            file_set.options += words
    return [Problem(text) for text in problems]


def _files_of(folder: Path, others: set[Path]) -> list[Path]:
    """Return the files of a folder and of the folders in it that may be predictions."""
    return [
        path
        for path in sorted([*folder.glob("*"), *folder.glob("*/*")])
        if path.is_file()
        and _suffix(path) in _SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not others & {path.resolve(), *path.resolve().parents}
    ]


def _suffix(path: Path) -> str:
    return _uncompressed(path).suffix


def _uncompressed(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in _COMPRESSED else path


def _paired(files: Sequence[Path], is_features: bool) -> tuple[dict[str, FileSet], list[str]]:
    """Pair files by what is left of their names without the parts that tell their roles."""
    sets: dict[str, FileSet] = {}
    problems = []
    for path in files:
        stem = _uncompressed(path).stem
        # resnet50/oof.csv: the folder has the name.
        name = _without_roles(stem) or _without_roles(path.absolute().parent.name)
        if not name:
            problems.append(f"{path}: the file name does not name a CNN; write NAME={path},FILE")
            continue
        key = re.sub(r"[\W_]", "", name).casefold()
        sets.setdefault(key, FileSet(name, [], is_features)).files.append(path)
    return {file_set.name.casefold(): file_set for file_set in sets.values()}, problems


def _without_roles(stem: str) -> str:
    parts = [part for part in re.split(r"[ _.-]+", _FOLD.sub("", stem)) if part]
    return "_".join(part for part in parts if not _ROLES.fullmatch(part.lower()))
