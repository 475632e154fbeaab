"""Whole downloads from a server that misbehaves."""

import os
import threading
import time

import hpa_server as answers
import pandas as pd
import pytest
from hpa_server import picture

from hpastack.download import download_fields, fetcher, fields
from hpastack.errors import InputError
from hpastack.fields import STAINS

IDS = ["57_12_F11_1", "57_12_F11_2", "800_si3_A6_1"]
QUICK = {"rate": 10_000, "backoff": 0.002, "timeout": 2, "progress": False}


@pytest.fixture
def download(hpa_server, tmp_path):
    """What downloads three fields, or others, from the server."""

    def run(image_ids=IDS, **options):
        options = {**QUICK, **options}
        return download_fields(image_ids, tmp_path / "hpa", url=hpa_server.url, **options)

    return run


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def path_of(image_id, stain):
    return f"/{image_id.replace('_', '/', 1)}_{stain}.jpg"


def table_of(tmp_path):
    return pd.read_csv(tmp_path / "hpa" / "failed.csv", dtype=str)


def test_every_stain_comes_once_and_nothing_else(hpa_server, download, tmp_path):
    report = download()
    expected = sorted(path_of(image_id, stain) for image_id in IDS for stain in STAINS)
    assert sorted(hpa_server.paths) == expected
    assert files_of(tmp_path) == [f"hpa{path}" for path in expected]
    for path in expected:
        stain = path[:-4].rpartition("_")[2]
        assert (tmp_path / "hpa" / path[1:]).read_bytes() == picture(stain)
    n_bytes = 3 * sum(len(picture(stain)) for stain in STAINS)
    assert report == (3, 3, 12, 0, n_bytes, [])


def test_what_is_whole_is_not_asked_for_again(hpa_server, download, tmp_path):
    download(stains=["green"])
    folder = tmp_path / "hpa"
    (folder / "57" / "12_F11_1_green.jpg").write_bytes(picture("green")[:-9])
    (folder / "57" / "12_F11_2_green.jpg").write_bytes(b"")
    (folder / "57" / "12_F11_1_red.jpg").write_bytes(b"<html>")
    hpa_server.requests.clear()
    report = download()
    asked = {path_of(image_id, stain) for image_id in IDS for stain in STAINS}
    assert set(hpa_server.paths) == asked - {path_of(IDS[2], "green")}
    assert (report.n_fetched, report.n_there, report.n_complete) == (11, 1, 3)
    hpa_server.requests.clear()
    assert download()[1:5] == (3, 0, 12, 0)
    assert hpa_server.paths == []
    before = (folder / "57" / "12_F11_1_red.jpg").stat().st_mtime_ns
    assert download(overwrite=True).n_fetched == 12
    assert (folder / "57" / "12_F11_1_red.jpg").stat().st_mtime_ns > before


def test_what_passes_is_asked_for_again(hpa_server, download):
    steps = [
        [answers.status(500), answers.status(500)],
        [answers.truncated],
        [answers.truncated_without_length],
        [answers.reset],
        [answers.garbage],
        [answers.chunked_broken],
        [answers.status(503)],
        [answers.then_closed],
    ]
    wanted = [path_of(image_id, stain) for image_id in IDS for stain in STAINS]
    hpa_server.script = dict(zip(wanted, steps))
    report = download()
    assert (report.n_complete, report.failures) == (3, [])
    asked = [hpa_server.paths.count(path) for path in wanted]
    assert asked == [3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]


def test_what_does_not_pass_is_asked_for_once_and_listed(hpa_server, download, tmp_path):
    cases = {
        ("57_12_F11_1", "red"): (answers.status(404), "HTTP 404 Not Found"),
        ("57_12_F11_1", "green"): (answers.web_page, "not a JPEG image but a web page"),
        ("57_12_F11_1", "yellow"): (answers.empty, "not a JPEG image but an empty file"),
        ("57_12_F11_2", "red"): (answers.wrong_colour, "its colour does not match the red stain"),
        ("57_12_F11_2", "blue"): (answers.wrong_colour, "its colour does not match the blue"),
        ("57_12_F11_2", "yellow"): (answers.cut_by_length, "truncated JPEG"),
    }
    for (image_id, stain), (step, _) in cases.items():
        hpa_server.script[path_of(image_id, stain)] = [step]
    report = download(jobs=1)
    assert (report.n_complete, report.n_fetched) == (1, 6)
    assert [failure[:2] for failure in report.failures] == list(cases)
    for failure, (_, reason) in zip(report.failures, cases.values()):
        assert failure.reason.startswith(reason)
        assert failure.url == hpa_server.origin + path_of(failure.image_id, failure.stain)
        assert hpa_server.paths.count(path_of(*failure[:2])) == 1
    table = table_of(tmp_path)
    assert table.values.tolist() == [list(failure) for failure in report.failures]
    assert list(table) == ["image_id", "stain", "url", "reason"]
    assert len(files_of(tmp_path / "hpa")) == 7
    # Another time they are there: the table goes, and what was there is not asked for.
    hpa_server.requests.clear()
    assert download().n_complete == 3
    assert len(hpa_server.paths) == 6
    assert not (tmp_path / "hpa" / "failed.csv").exists()


def test_retries_are_bounded(hpa_server, download):
    hpa_server.script[path_of(IDS[0], "red")] = [answers.status(502)] * 9
    (failure,) = download(retries=2).failures
    assert failure.reason == "HTTP 502 Bad Gateway (requested 3 times)"
    assert hpa_server.paths.count(path_of(IDS[0], "red")) == 3


def test_jobs_are_that_many_at_once(hpa_server, download):
    hpa_server.always = answers.slow
    download(jobs=3)
    assert hpa_server.most_at_once == 3
    assert len({port for _, _, port in hpa_server.requests}) == 3


def test_the_rate_holds_over_all_jobs_and_for_retries(hpa_server, download):
    hpa_server.script[path_of(IDS[0], "red")] = [answers.status(500)] * 3
    hpa_server.script[path_of(IDS[0], "blue")] = [answers.redirect("/x_blue.jpg")]
    download(rate=50, jobs=4)
    times = sorted(moment for moment, _, _ in hpa_server.requests)
    assert len(times) == 16
    # A gap can look shorter to a server that was late for the request before, the whole cannot.
    assert times[-1] - times[0] > 0.9 * 15 / 50


def test_all_threads_leave_a_server_alone_that_asks_for_it(hpa_server, download):
    hpa_server.script[path_of(IDS[0], "red")] = [answers.status(429, ("Retry-After", "1"))]
    hpa_server.always = answers.slow
    assert download(jobs=2, timeout=5).n_complete == 3
    times = sorted(moment for moment, _, _ in hpa_server.requests)
    gaps = [b - a for a, b in zip(times, times[1:])]
    pause = max(gaps)
    assert 0.9 < pause < 2
    # Only what the other thread had asked for already comes before it.
    assert gaps.index(pause) <= 2


def test_a_server_that_asks_for_an_hour_ends_the_run(hpa_server, download, tmp_path):
    hpa_server.script[path_of(IDS[1], "red")] = [answers.status(429, ("Retry-After", "3600"))]
    with pytest.raises(InputError, match=r"asks to wait for 3,600 s \(HTTP 429"):
        download(jobs=1)
    assert len(hpa_server.paths) == 5
    assert len(files_of(tmp_path / "hpa")) == 4


def test_a_host_that_is_not_there_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    start = time.monotonic()
    image_ids = [f"57_12_F11_{number}" for number in range(1, 5001)]
    url = "http://127.0.0.1:1/{antibody}/{plate}_{well}_{field}_{stain}.jpg"
    with pytest.raises(InputError, match="http://127.0.0.1:1 cannot be reached: .*refused; check"):
        download_fields(image_ids, tmp_path, url=url, **QUICK)
    assert time.monotonic() - start < 5
    assert files_of(tmp_path) == []


def test_nothing_but_failures_from_the_start_ends_the_run(
    hpa_server, download, tmp_path, monkeypatch
):
    monkeypatch.setattr(fields, "_MOST_FROM_START", 5)
    hpa_server.always = answers.status(404)
    image_ids = [f"57_12_F11_{number}" for number in range(1, 301)]
    with pytest.raises(InputError, match="the first 5 files all failed, .*: HTTP 404 Not Found"):
        download(image_ids, jobs=1)
    assert len(table_of(tmp_path)) == 5
    assert len(hpa_server.paths) < 150
    # With a file that is there it goes on.
    (tmp_path / "hpa" / "57").mkdir()
    (tmp_path / "hpa" / "57" / "12_F11_1_red.jpg").write_bytes(picture("red"))
    assert len(download(image_ids[:5], jobs=1).failures) == 19


def test_a_server_that_is_gone_half_way_ends_the_run(hpa_server, download, monkeypatch):
    monkeypatch.setattr(fields, "_MOST_IN_A_ROW", 3)
    image_ids = [f"57_12_F11_{number}" for number in range(1, 301)]
    for stain in STAINS:
        hpa_server.script[path_of(image_ids[0], stain)] = [answers.image]
    hpa_server.script[path_of(image_ids[1], "red")] = [answers.status(404)]
    hpa_server.always = answers.status(500)
    with pytest.raises(InputError, match="3 consecutive files failed, .*downloaded files are kept"):
        download(image_ids, jobs=1, retries=1)


def test_the_first_failure_ends_the_run_if_asked_to(hpa_server, download, tmp_path):
    hpa_server.script[path_of(IDS[1], "green")] = [answers.status(404)]
    with pytest.raises(InputError, match="12_F11_2_green.jpg: HTTP 404 Not Found"):
        download(on_error="raise", jobs=1)
    assert len(table_of(tmp_path)) == 1


def test_the_first_unwritable_file_ends_the_run(download, tmp_path):
    (tmp_path / "hpa").mkdir()
    (tmp_path / "hpa" / "57").write_text("no folder")
    with pytest.raises(OSError) as caught:
        download()
    assert caught.value.filename is not None


def test_stopped_from_outside_it_ends_soon_and_keeps_what_came(hpa_server, download, tmp_path):
    waiting = threading.Event()

    def hold(handler):
        waiting.set()
        answers.silent(handler)

    hpa_server.script[path_of(IDS[1], "red")] = [hold] * 20
    begun = time.monotonic()

    class Stop(BaseException):
        pass

    def stop(*args):
        waiting.wait()
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields._Tally, "check", stop)
        with pytest.raises(Stop):
            download(jobs=1, timeout=30, backoff=30)
    assert time.monotonic() - begun < 10
    assert len(files_of(tmp_path / "hpa")) == 4
    hpa_server.script.clear()
    assert download()[1:4] == (3, 8, 4)


def test_leftovers_of_a_kill_are_removed_and_others_left_alone(download, tmp_path):
    folder = tmp_path / "hpa" / "57"
    folder.mkdir(parents=True)
    old, new, other = (
        folder / ".12_F11_1_red.jpg.77.88.tmp",
        folder / ".12_F11_1_red.jpg.77.99.tmp",
        folder / ".notes.tmp",
    )
    for place in (old, new, other):
        place.write_bytes(b"half")
    for place in (old, other):
        os.utime(place, (time.time() - 100,) * 2)
    download()
    # The new one may be another run's that is being written.
    assert not old.exists() and new.exists() and other.exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stains": ["pink"]}, "stains are pink"),
        ({"stains": ["red", "red"]}, "without duplicates"),
        ({"stains": []}, "stains are"),
        ({"jobs": 0}, "jobs is 0"),
        ({"rate": 0}, "rate is 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"retries": -1}, "retries is -1"),
        ({"timeout": 0}, "timeout is 0"),
        ({"backoff": -1}, "backoff is -1"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"image_ids": ["57_12_F11_1", "57_12_F11_1"]}, "duplicate ids"),
        ({"image_ids": ["../12_F11_1"]}, "not an id of the Human Protein Atlas"),
    ],
)
def test_mistakes_are_refused_before_anything_is_asked(hpa_server, download, options, message):
    with pytest.raises(InputError, match=message):
        download(**options)
    assert hpa_server.paths == []


def test_a_body_that_goes_on_is_cut(hpa_server, download, monkeypatch):
    monkeypatch.setattr(fetcher, "MAX_BYTES", 2**20)
    hpa_server.script[path_of(IDS[0], "red")] = [answers.endless]
    hpa_server.script[path_of(IDS[0], "blue")] = [answers.huge]
    first, second = download().failures
    assert first.reason == "more than 1,048,576 bytes"
    assert second.reason.endswith("announced, more than 1,048,576")
