"""What all commands have in common: their names, their list, their help and its width."""

import configparser
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import hpastack
from hpastack.workspace import Workspace
from pipelines import store
from pipelines.__main__ import commands, main

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(commands())
# Options that mean something else in each command that has them.
HOMONYMS = {"--cnn", "--compare", "--folds", "--jobs", "--name", "--size", "--stains", "--test"}


def parser_of(command):
    return importlib.import_module(f"pipelines.{command}").make_parser()


def printed_by(capsys, *argv):
    """Return the status and what a command line that ends the process prints."""
    try:
        status = main(list(argv))
    except SystemExit as ended:
        status = ended.code
    return status, *capsys.readouterr()


def test_the_list_names_each_module_with_the_first_line_of_its_docstring(capsys):
    status, out, err = printed_by(capsys)
    assert (status, err) == (0, "")
    width = max(map(len, COMMANDS))
    for path in (ROOT / "pipelines").glob("[!_]*.py"):
        module = importlib.import_module(f"pipelines.{path.stem}")
        line = module.__doc__.partition("\n")[0]
        assert line.endswith(".")
        assert f"  {path.stem:<{width}}  {line}" in re.sub(rf"\n {{{width + 4}}}", " ", out)
    assert printed_by(capsys, "--help")[:2] == (0, out)


def test_listing_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, time; start = time.perf_counter(); from pipelines.__main__ import main; "
        "main([]); took = time.perf_counter() - start; "
        "heavy = ('torch', 'lightgbm', 'xgboost', 'pandas', 'numpy'); "
        "print([name for name in heavy if name in sys.modules], took, file=sys.stderr)"
    )
    best = 9.0
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stderr.startswith("[] ")
        best = min(best, float(done.stderr.split()[-1]))
        if best < 1:
            break
    assert best < 1


def test_the_module_lists_and_runs_commands_too():
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "stor"], capture_output=True, text=True, cwd=ROOT
    )
    message = "python -m pipelines: error: unknown command stor; did you mean store?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_the_console_command_is_declared():
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["console_scripts"].strip() == (
        "hpastack = pipelines.__main__:main"
    )


@pytest.mark.parametrize("name, hint", [("extrakt", "did you mean extract?"), ("xyz", "cluster, ")])
def test_an_unknown_command_takes_one_line(name, hint, capsys):
    status, out, err = printed_by(capsys, name, "--jobs", "2")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"hpastack: error: unknown command {name}; ") and hint in err


def test_a_subcommand_does_what_its_module_does(tmp_path, capsys):
    given = ["nothing", "--workspace", str(tmp_path)]
    by_name = printed_by(capsys, "store", *given)
    assert store.main(given) == by_name[0] == 2
    by_module = capsys.readouterr().err
    assert by_name[2] == by_module.replace("python -m pipelines.store", "hpastack store")


@pytest.mark.parametrize("name", [(), *((command,) for command in COMMANDS)])
def test_the_version_is_shown(name, capsys):
    assert printed_by(capsys, *name, "--version") == (0, f"hpastack {hpastack.__version__}\n", "")


@pytest.mark.parametrize(
    "given, expected",
    [
        (["--overwrit"], "unknown argument --overwrit; did you mean --overwrite?"),
        (["--jobs", "0"], "argument --jobs: must be at least 1"),
        (["--jobs", "two"], "argument --jobs: 'two' is not a whole number"),
        (["--sise=3"], "unknown argument --sise=3; did you mean --size?"),
    ],
)
def test_mistakes_of_the_command_line_take_one_line(given, expected, capsys):
    status, out, err = printed_by(capsys, "statistics", *given)
    assert (status, out) == (2, "")
    assert err == f"hpastack statistics: error: {expected} (options: hpastack statistics --help)\n"


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("command", ["__main__", *COMMANDS])
def test_help_fits_the_terminal(command, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = parser_of(command).format_help()
    lines = text.splitlines()
    # Words are never broken, not even an address: it can be copied.
    assert [line for line in lines if len(line) > columns and " " in line.strip()] == []
    assert max(map(len, lines)) > min(columns, 120) / 2


@pytest.mark.parametrize("command", ["__main__", *COMMANDS])
def test_examples_parse_at_any_width(command, monkeypatch):
    found = set()
    for columns in (40, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        example = parser_of(command).format_help().partition("example:\n")[2]
        found.add(" ".join(example.replace("\\\n", " ").split()))
    (line,) = found
    if command != "__main__":
        words = line.removeprefix(f"python -m pipelines.{command} ").split()
        assert parser_of(command).parse_args(words)


def test_an_option_has_one_meaning():
    texts = defaultdict(set)
    for command in COMMANDS:
        for action in parser_of(command)._actions:
            for option in action.option_strings:
                text = action.help or ""
                if option in ("--labels", "--test"):  # required by quickstack: no default there
                    text = text.partition(" (default: ")[0]
                texts[option].add((text, str(action.metavar), str(action.type)))
    assert {option for option, found in texts.items() if len(found) > 1} == HOMONYMS


@pytest.mark.parametrize(
    "name", ["", ".hidden", "..", "a/b", "../a", "a__b", "a\nb", " a", "a ", "a\u200b", "a\\b"]
)
@pytest.mark.parametrize(
    "command",
    [
        ("ingest", "p.csv", "--kind", "target_free"),
        ("neighbours", "texture"),
        ("predict", "models/stack"),
        ("stack",),
    ],
)
def test_a_name_that_files_cannot_have_takes_one_line(command, name, tmp_path, capsys):
    status, _, err = printed_by(capsys, *command, "--workspace", str(tmp_path), "--name", name)
    assert status == 2 and err.count("\n") == 1
    assert "a plain name without '/', '__' or line breaks" in err


def test_a_name_of_a_store_has_no_ending(tmp_path, capsys):
    ingest = ["ingest", "p.csv", "--kind", "target_free", "--workspace", str(tmp_path)]
    status, _, err = printed_by(capsys, *ingest, "--name", "a.h5")
    assert status == 2 and "--name a.h5: omit .h5: a" in err
    assert Workspace(tmp_path).store("a.h5") == Workspace(tmp_path).store("a")


@pytest.mark.parametrize(
    "command, output",
    [
        (("statistics",), "data/stains.csv"),
        (("run", "--route", "fast"), "submissions/stack.csv"),
        (("domains", "texture"), "data/domains.csv"),
        (("cluster",), "data/clusters.csv"),
    ],
)
def test_existing_output_is_an_error_before_the_catalogue_is_read(
    command, output, tmp_path, capsys
):
    path = tmp_path / output
    path.parent.mkdir()
    path.touch()
    status, _, err = printed_by(capsys, *command, "--workspace", str(tmp_path))
    assert status == 2
    assert f"{path} exists; pass overwrite=True (on the command line: --overwrite)" in err


BASH = r"""
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_shtab_hpastack
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def completion(tmp_path_factory):
    """What gives the completions of a line in bash, in a folder with a workspace `work`."""
    pytest.importorskip("shtab")
    folder = tmp_path_factory.mktemp("completion")
    (folder / "work" / "models" / "mine").mkdir(parents=True)
    (folder / "work" / "features").mkdir()
    for empty in ("features/mine.h5", "models/mine/stack.json"):
        (folder / "work" / empty).touch()
    (folder / "work" / "models" / "own.yaml").write_text("type: stack\n")
    (folder / "work" / "models" / "short.yml").write_text("type: stack\n")
    (folder / "ids.csv").touch()
    script = folder / "hpastack.bash"
    made = subprocess.run(
        [sys.executable, "-m", "pipelines", "--print-completion", "bash"],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    script.write_text(made.stdout)

    def complete(line):
        done = subprocess.run(
            ["bash", "-c", BASH, "bash", script, *line.split(" ")],
            capture_output=True, text=True, cwd=folder, check=True,
        )  # fmt: skip
        return done.stdout.split()

    return complete


@pytest.mark.slow
@pytest.mark.parametrize(
    "line, expected",
    [
        ("hpastack ex", ["extract"]),
        ("hpastack --print-completion ", ["bash", "zsh"]),
        ("hpastack extract --o", ["--overwrite", "--on-error"]),
        ("hpastack extract --on-error ", ["raise", "skip"]),
        ("hpastack extract te", ["texture"]),
        ("hpastack finetune c", ["cnn_densenet121", "cnn_small"]),
        ("hpastack stack --workspace work st", ["stack", "stack_global"]),
        ("hpastack stack --workspace work o", ["own"]),
        ("hpastack stack --workspace work sh", ["short"]),
        ("hpastack stack work/models/sh", ["work/models/short.yml"]),
        ("hpastack domains --workspace work ", ["mine"]),
        ("hpastack domains --workspace = work ", ["mine"]),  # as bash parts --workspace=work
        ("hpastack predict --workspace work m", ["models/mine"]),
        ("hpastack run --workspace work --stack o", ["own"]),
        ("hpastack download i", ["ids.csv"]),
        ("hpastack stack --workspace ", ["work"]),
    ],
)
def test_bash_completes(line, expected, completion):
    assert sorted(completion(line)) == sorted(expected)


def test_completion_without_shtab_names_the_remedy(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, out, err = printed_by(capsys, "--print-completion", "zsh")
    assert (status, out) == (2, "")
    assert err.endswith("run: pip install 'hpastack[completion]'\n") and err.count("\n") == 1
