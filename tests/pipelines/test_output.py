"""What commands print: on terminals, in pipes, as JSON, into a log, and quietly."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from output_cases import (
    COMMANDS,
    first_run_in_pipe,
    make_workspace,
    run_in_pipe,
    run_on_terminal,
    terminal,
)

from pipelines import _output
from pipelines._output import Output, output_of, wrap

ROOT = Path(__file__).resolve().parents[2]
OF_THIS_FOLDER = {name: text for name, text in os.environ.items() if name != "COLUMNS"} | {
    "PYTHONPATH": str(ROOT)
}


@pytest.fixture(scope="module")
def first_id(tmp_path_factory):
    """Make a workspace in a folder that is the current one, and return an id in it."""
    folder = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("COLUMNS", raising=False)
        yield make_workspace(folder)


@pytest.fixture
def case(request, first_id):
    """Arguments of a command, and the file that it writes."""
    words, path = COMMANDS[request.param]
    words = [word.replace("ID", first_id) for word in words.split()]
    return [request.param, *words], path and path.replace("ID", first_id)


every_command = pytest.mark.parametrize("case", COMMANDS, indirect=True)


@every_command
def test_lines_fit_a_terminal_of_80_columns(case):
    words, _ = case
    printed = run_on_terminal(words)
    assert printed.status == 0
    lines = re.split("[\r\n]", printed.out + printed.err)
    # A word, such as a path or a name of a column, is never broken: it can be copied.
    assert [line for line in lines if len(line) > 80 and " " in line.strip()] == []
    plain = first_run_in_pipe(*words)
    missing = set((plain.out + plain.err).split()) - set((printed.out + printed.err).split())
    assert not {word for word in missing if not re.search(r"\d", word)}


@every_command
def test_a_pipe_gets_no_bars_and_one_line_per_message(case):
    words, _ = case
    printed = first_run_in_pipe(*words)
    assert printed.status == 0
    assert "\r" not in printed.out + printed.err and "%|" not in printed.err
    assert "\x1b" not in printed.out + printed.err
    assert all(re.match("warning: |  ", line) for line in printed.err.splitlines())


@every_command
def test_json_is_the_last_line_and_alone_on_stdout(case):
    words, path = case
    plain, printed = first_run_in_pipe(*words), run_in_pipe([*words, "--json"])
    assert plain.status == printed.status == 0
    assert printed.out.count("\n") == 1
    summary = printed.json
    assert set(summary) == {
        "command", "status", "seconds", "written", "warnings", "notes", "results",
    }  # fmt: skip
    assert (summary["command"], summary["status"]) == (words[0], 0)
    assert (path in summary["written"]) if path else summary["written"] == []
    assert all(f"warning: {text}\n" in plain.err for text in summary["warnings"])
    # The text goes to stderr, the same but for seconds.
    assert sorted(printed.err.splitlines()) == sorted((plain.out + plain.err).splitlines())


@every_command
def test_quiet_prints_warnings_and_answers_only(case):
    words, path = case
    plain, printed = first_run_in_pipe(*words), run_in_pipe([*words, "--quiet"])
    assert printed.status == 0 and printed.err == plain.err
    assert all(line.startswith(("warning: ", "  ")) for line in printed.err.splitlines())
    if path is None:
        assert printed.out == plain.out != ""
    elif words[0] == "view":
        assert printed.out and "wrote" not in printed.out
    else:
        assert printed.out == "" != plain.out


@every_command
def test_the_log_has_everything_with_times(case, tmp_path):
    words, _ = case
    log = tmp_path / "run.log"
    plain = first_run_in_pipe(*words)
    log.write_text("earlier lines\n")
    quiet = run_in_pipe([*words, "--log", str(log), "--quiet", "--json"])
    first, *lines = log.read_text(encoding="utf-8").splitlines()
    assert first == "earlier lines"
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ", line) for line in lines)
    texts = [line[26:] for line in lines]
    printed = [line for line in (plain.out + plain.err).splitlines() if line]
    assert texts[0].startswith(f"$ hpastack {words[0]} ")
    assert sorted(printed) == sorted(texts[1:-2])
    assert json.loads(texts[-2]) == quiet.json
    assert re.fullmatch(rf"{words[0]} ended with status 0 after \d+\.\d s", texts[-1])


def test_the_log_has_progress_that_is_not_shown(first_id, tmp_path, monkeypatch):
    monkeypatch.setattr("hpastack.parallel.progress._LINE_SECONDS", 0)
    log = tmp_path / "run.log"
    words = ["statistics", "--overwrite", "--jobs", "1"]
    assert "stains: 80 of 80 fields" in run_in_pipe(words).err
    printed = run_in_pipe([*words, "--quiet", "--log", str(log)])
    assert (printed.status, printed.out, printed.err) == (0, "", "")
    assert "stains: 80 of 80 fields" in log.read_text()


def test_a_log_that_cannot_be_written_is_an_error_before_work(first_id, tmp_path):
    for place in (tmp_path, tmp_path / "nowhere" / "run.log"):
        printed = run_in_pipe(["recipes", "--json", "--log", str(place)])
        assert printed.status == 2 and printed.json["status"] == 2
        assert f"--log {place} cannot be written: " in printed.err
        assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "words, message",
    [
        (["statistics"], "exists; pass overwrite=True (on the command line: --overwrite)"),
        (["statistics", "--jobs", "0"], "argument --jobs: must be at least 1"),
        (["statistics", "--sise", "3"], "unknown argument --sise; did you mean --size?"),
        (["statistic"], "unknown command statistic; did you mean statistics?"),
        (["view", "nobody"], "the catalogue has no field nobody"),
        (["prepare", "nowhere", "--overwrite"], "nowhere"),
    ],
)
def test_an_error_is_json_with_status_2(first_id, words, message):
    printed = run_in_pipe([*words, "--json"])
    assert printed.status == 2 and printed.err.count("\n") == 1
    assert (printed.json["command"], printed.json["status"]) == (words[0], 2)
    assert message in printed.json["error"] and message in printed.err
    assert printed.json["written"] == []
    quiet = run_in_pipe([*words, "--quiet"])
    assert quiet.out == "" and message in quiet.err


def test_a_bug_keeps_its_traceback_and_is_logged(first_id, tmp_path, monkeypatch, capsys):
    def fault(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pipelines.recipes._list", fault)
    log = tmp_path / "run.log"
    with pytest.raises(ZeroDivisionError):
        run_in_pipe(["recipes", "--log", str(log)])
    text = log.read_text()
    assert "ZeroDivisionError: a bug" in text and "recipes ended with status 1" in text
    from pipelines import recipes

    with pytest.raises(ZeroDivisionError):
        recipes.main(["--json"])
    assert json.loads(capsys.readouterr().out)["error"] == "ZeroDivisionError: a bug"


def test_results_have_the_main_figures(first_id):
    words = {name: [name, *COMMANDS[name][0].split(), "--json"] for name in COMMANDS}
    results = run_in_pipe(words["cluster"]).json["results"]
    assert results["n_fields"] == 80 and results["n_folds"] == 3
    results = run_in_pipe(words["ingest"]).json["results"]
    assert (results["n_fields"], results["n_columns"]) == (80, 28)
    (store,) = run_in_pipe(words["extract"]).json["results"]["stores"]
    assert store["path"] == "features/intensity.h5" and store["n_columns"] == 72
    (stack,) = run_in_pipe(words["stack"]).json["results"]["stacks"]
    assert 0 <= stack["macro_f1"] <= 1 and len(stack["labels"]) == 28
    assert stack["labels"]["Nucleoplasm"]["positives"] > 0
    results = run_in_pipe(words["predict"]).json["results"]
    assert results["n_fields"] == 20 and sum(results["predicted"].values()) >= 0


def test_a_step_of_a_route_passes_its_output_on(first_id, tmp_path):
    log = tmp_path / "run.log"
    words = ["run", "--route", "fast", "--overwrite", "--set", "n_bootstrap=0", "--set",
             "boosters=[]", "--json", "--quiet", "--log", str(log)]  # fmt: skip
    printed = run_in_pipe(words)
    assert printed.status == 0
    (step,) = printed.json["results"]["steps"]
    assert (step["command"], step["status"]) == ("stack", 0)
    assert "submissions/stack.csv" in printed.json["written"]
    text = log.read_text()
    assert "$ hpastack stack stack --set=n_bootstrap=0" in text
    assert "macro F1: " in text and "run ended with status 0" in text


def test_labels_are_wrapped_on_a_terminal_and_whole_in_a_pipe(first_id):
    words = ["stack", *COMMANDS["stack"][0].split()]
    narrow, whole = run_on_terminal(words, 40), first_run_in_pipe(*words)
    tables = [text.partition("\nchange:")[0].splitlines() for text in (narrow.out, whole.out)]
    assert max(map(len, tables[0])) <= 40
    assert len(tables[1]) == 1 + 28 < len(tables[0])
    assert tables[1][0].split() == ["label", "positives", "F1", "change", "AP"]
    row = re.compile(r" \d+ +(\d\.\d{3}|-) +([+-]\d\.\d{3}|-) +(\d\.\d{3}|-)$")
    assert [line for line in tables[1][1:] if not row.search(line)] == []
    wide = run_on_terminal([*words, "--wide"])
    header = wide.out.splitlines()[0]
    assert "consensus_f1" in header and "threshold" in header and len(header) > 80


def test_a_terminal_has_a_bar_unless_quiet(first_id):
    words = ["extract", *COMMANDS["extract"][0].split()]
    printed = run_on_terminal(words)
    assert "intensity: 100%|" in printed.err and "wrote features/intensity.h5" in printed.out
    quiet = run_on_terminal([*words, "--quiet"])
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    printed = run_on_terminal([*words, "--json"])
    assert printed.json["status"] == 0 and printed.out.count("\n") == 1
    assert "wrote features/intensity.h5" in printed.err


def test_long_errors_are_wrapped_on_a_terminal_only(first_id):
    words = ["view", "nobody of a very long name " * 5]
    lines = run_on_terminal(words).err.splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= 80
    assert run_in_pipe(words).err.count("\n") == 1


def test_a_process_on_a_terminal_has_its_width(first_id):
    with terminal(60) as (stream, shown):
        command = [sys.executable, "-m", "pipelines", "store"]
        status = subprocess.run(
            command, stdout=stream, stderr=stream, env=OF_THIS_FOLDER
        ).returncode
    assert status == 0
    long = [line for line in shown[0].splitlines() if len(line) > 60]
    assert shown[0].count("\n") > 20 and not [line for line in long if " " in line[15:].strip()]


def test_a_warning_comes_once_and_those_of_the_library_like_ours(capsys):
    with output_of(Output(as_json=True)) as output, warnings.catch_warnings():
        warnings.simplefilter("always")
        _output.warn("a")
        _output.warn("a")
        warnings.warn_explicit("of the\nlibrary", UserWarning, _output.__file__, 1)
        warnings.warn_explicit("of another", UserWarning, "other.py", 7)
    lines = ["a", "of the library", "UserWarning: of another (other.py:7)"]
    assert output.warnings == lines
    assert capsys.readouterr().err == "".join(f"warning: {line}\n" for line in lines)


def test_commands_are_not_wrapped_so_that_they_can_be_copied():
    command = "$ hpastack stack stack --workspace work"
    assert wrap(f"{command}\nlong words", 8).splitlines() == [command, "long", "  words"]


def test_wrapping_keeps_words_and_second_columns():
    text = "warning: the file /a/long/path/without/spaces is not there\n  key    one two three four"
    assert wrap(text, 24).splitlines() == [
        "warning: the file", "  /a/long/path/without/spaces", "  is not there",
        "  key    one two three", "         four",
    ]  # fmt: skip


def test_numbers_of_numpy_and_nan_are_json():
    import numpy as np

    value = {1: np.float32(0.5), "a": [np.nan, np.int64(3)], "b": np.array([True, False])}
    assert _output._plain(value) == {"1": 0.5, "a": [None, 3], "b": [True, False]}
