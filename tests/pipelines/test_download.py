"""The command: what it asks for and says, stopped, killed and run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hpa_server as answers
import pytest
from hpa_server import picture

from hpastack.catalogue import read_catalogue
from hpastack.fields import STAINS, read_stain
from pipelines import prepare
from pipelines.download import main

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--rate", "10000"]


@pytest.fixture
def ids(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("Id,Target\n57_12_F11_1,0\n57_12_F11_2,0 2\n")
    return path


def arguments(ids, server, *options):
    place = ["--workspace", str(ids.parent), "--url", server.url]
    return [str(ids), "hpa", *place, *QUICK, *options]


def test_it_says_what_it_wrote_and_where(ids, hpa_server, capsys):
    assert main(arguments(ids, hpa_server)) == 0
    folder = ids.parent / "hpa"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (f"{folder}: 2 of 2 fields complete; fetched 8 files (0.0 MB), 0 there already")
    assert read_stain(folder / "57" / "12_F11_2_green.jpg", "green").shape == (48, 48)
    assert main(arguments(ids, hpa_server)) == 0
    assert "fetched 0 files (0.0 MB), 8 there already" in capsys.readouterr().out
    assert len(hpa_server.paths) == 8


def test_what_cannot_be_had_is_listed_with_status_3(ids, hpa_server, capsys):
    hpa_server.script["/57/12_F11_1_yellow.jpg"] = [answers.status(410)] * 2
    assert main(arguments(ids, hpa_server)) == 3
    out, err = capsys.readouterr()
    failed = ids.parent / "hpa" / "failed.csv"
    assert err == f"warning: failed: 1 file, listed in {failed}\n"
    assert "1 of 2 fields complete; fetched 7 files" in out
    assert failed.read_text().splitlines() == [
        "image_id,stain,url,reason",
        f"57_12_F11_1,yellow,{hpa_server.origin}/57/12_F11_1_yellow.jpg,HTTP 410 Gone",
    ]
    assert main(arguments(ids, hpa_server, "--on-error", "raise")) == 2
    assert "12_F11_1_yellow.jpg: HTTP 410 Gone" in capsys.readouterr().err


def test_prepare_finds_all_that_was_downloaded_under_its_id(ids, hpa_server, capsys):
    wanted = ["10580_1610_C1_1", "11651_1732_F3_13_cr580610dc203b9", "7_si25_A3_2", "57_57_F11_1",
              "58_57_F12_1", "1_007_P9_0", "999999999_1_A0_12"]  # fmt: skip
    gone = "10580_1610_C2_1"
    rows = "".join(f"{image_id},0\n" for image_id in [*wanted, gone])
    ids.write_text(f"Id,Target\n{rows}")
    for stain in STAINS:
        hpa_server.script[f"/10580/1610_C2_1_{stain}.jpg"] = [answers.status(404)]
    assert main(arguments(ids, hpa_server)) == 3
    command = [str(ids.parent / "hpa"), "--labels", str(ids), "--workspace", str(ids.parent)]
    assert prepare.main(command) == 2
    lost = ids.parent / "hpa" / "10580" / "1610_C2_1_red.jpg"
    assert f"field {gone}: {lost}: no such file" in capsys.readouterr().err
    assert prepare.main([*command, "--on-error", "skip"]) == 3
    catalogue = read_catalogue(ids.parent / "data" / "catalogue.csv")
    assert list(catalogue.index) == wanted
    assert list(catalogue["antibody"]) == [image_id.split("_")[0] for image_id in wanted]


def test_some_stains_of_the_first_fields(ids, hpa_server):
    assert main(arguments(ids, hpa_server, "--stains", "green", "blue", "--limit", "1")) == 0
    assert sorted(hpa_server.paths) == ["/57/12_F11_1_blue.jpg", "/57/12_F11_1_green.jpg"]


def test_a_dry_run_asks_for_nothing(ids, hpa_server, capsys):
    assert main(arguments(ids, hpa_server, "--dry-run")) == 0
    first = f"{hpa_server.origin}/57/12_F11_1_red.jpg as "
    assert capsys.readouterr().out.startswith(f"8 files of 2 fields, the first {first}")
    assert hpa_server.paths == []
    assert not (ids.parent / "hpa").exists()


@pytest.mark.parametrize(
    "rows, options, message",
    [
        ("57_12_F11_1\n57_12_F11_1", [], "duplicate ids: 57_12_F11_1"),
        ("../../etc_1_A1_1", [], "not an id of the Human Protein Atlas"),
        ("57_12_F11_1", ["--url", "file:///{antibody}"], "is not of the form http"),
        ("57_12_F11_1", ["--rate", "0"], "rate is 0"),
        ("57_12_F11_1", ["--stains", "red", "red"], "without duplicates"),
    ],
)
def test_mistakes_are_one_line(ids, hpa_server, capsys, rows, options, message):
    ids.write_text(f"image_id\n{rows}\n")
    assert main(arguments(ids, hpa_server, *options)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert hpa_server.paths == []
    assert list(ids.parent.iterdir()) == [ids]


def start(ids, server, *options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.download", *arguments(ids, server, *options)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # In the background of a shell all that is started ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_stopped_half_way_it_goes_on_from_what_is_whole(ids, hpa_server, how):
    image_ids = [f"57_12_F11_{number}" for number in range(1, 41)]
    ids.write_text("\n".join(["Id", *image_ids]))
    hpa_server.always = answers.slow
    running = start(ids, hpa_server)
    while len(hpa_server.paths) < 20:
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.005)
    running.send_signal(how)
    _, errors = running.communicate(timeout=10)
    assert running.returncode == (130 if how == signal.SIGINT else -how)
    assert ("run it again to resume" in errors) == (how == signal.SIGINT)
    folder = ids.parent / "hpa"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}
    assert 10 < len(there) < 160
    for path in there:
        assert (folder / path).read_bytes() == picture(path[:-4].rpartition("_")[2])
    hpa_server.always = None
    hpa_server.requests.clear()
    assert main(arguments(ids, hpa_server)) == 0
    assert len(hpa_server.paths) == 160 - len(there)
    assert not {f"/{path}" for path in there} & set(hpa_server.paths)
    assert len(list(folder.rglob("*.jpg"))) == 160
