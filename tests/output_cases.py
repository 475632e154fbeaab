"""A tiny workspace and the commands that run quickly in it, for tests of what they print."""

import io
import json
import os
import pty
import struct
import sys
import termios
import threading
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from fcntl import ioctl
from functools import lru_cache

import numpy as np
import pandas as pd

from hpastack.catalogue import read_catalogue
from pipelines.__main__ import main

FITTING = ("--set", "n_bootstrap=5", "--set", "boosters=[]")
#: Each command with arguments that let it run again and again in the workspace, and a file it
#: writes.
COMMANDS = {
    "synthesize": ("drawn --train 4 --test 2 --size 32 --overwrite", "drawn"),
    "prepare": ("fields --groups fields/groups.csv --overwrite", "data/catalogue.csv"),
    "cluster": ("--n-splits 3 --overwrite", "data/folds.csv"),
    "statistics": ("--overwrite", "data/stains.csv"),
    "extract": ("intensity --overwrite", "features/intensity.h5"),
    "domains": ("intensity --overwrite", "data/domains.csv"),
    "ingest": (
        "net.csv --name net --kind out_of_fold --folds data/folds.csv --overwrite",
        "features/net.h5",
    ),
    "neighbours": ("intensity --overwrite", "features/neighbours.h5"),
    "stack": (f"stack {' '.join(FITTING)} --overwrite", "submissions/stack.csv"),
    "predict": ("models/stack --name again --overwrite", "submissions/again.csv"),
    "report": ("models/stack --pictures 0 --overwrite", "reports/stack.html"),
    "review": ("models/stack --no-pictures --overwrite", "reports/review.html"),
    "view": ("ID --overwrite", "reports/view_ID.png"),
    "store": ("", None),
    "recipes": ("", None),
    "download": ("ids.csv hpa --dry-run", None),
}


def make_workspace(folder):
    """Make a workspace in a folder, which is the current one, and an id of a field in it."""
    for name in ("synthesize", "prepare", "cluster"):
        words = COMMANDS[name][0].replace("drawn --train 4 --test 2", "fields --train 60 --test 20")
        assert run_in_pipe([name, *words.split()]).status == 0
    catalogue = read_catalogue(folder / "data" / "catalogue.csv")
    # Probabilities of a CNN that knows something, for all fields.
    values = np.random.default_rng(0).random((len(catalogue), 28))
    for row, target in zip(values, catalogue["target"]):
        row[[int(label) for label in target.split()]] += 0.5
    values[catalogue["split"] == "test"] += 0.1
    table = pd.DataFrame((values / 2).round(4), catalogue.index, [str(k) for k in range(28)])
    table.rename_axis("Id").to_csv(folder / "net.csv")
    (folder / "ids.csv").write_text("Id\n57_12_F11_1\n")
    for name in ("extract", "ingest", "stack"):
        assert run_in_pipe([name, *COMMANDS[name][0].split()]).status == 0
    return catalogue.index[0]


class Printed:
    """What a command has printed, and its status."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out.splitlines()[-1])


def status_of(words):
    try:
        return main(words)
    except SystemExit as ended:
        return ended.code


@lru_cache
def first_run_in_pipe(*words):
    """Return what a command has printed when it was first run with these arguments."""
    return run_in_pipe(words)


def run_in_pipe(words):
    """Run a command whose output goes to no terminal."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = status_of(list(words))
    return Printed(status, out.getvalue(), err.getvalue())


@contextmanager
def terminal(columns):
    """Yield a stream to a pseudo-terminal, and a list that gets what it shows at the end."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    pieces, shown = [], []

    def read():
        while True:
            try:
                pieces.append(os.read(master, 4096))
            except OSError:  # closed at the other end
                return

    reader = threading.Thread(target=read)
    reader.start()
    stream = os.fdopen(slave, "w", encoding="utf-8")
    try:
        yield stream, shown
    finally:
        stream.close()
        reader.join()
        os.close(master)
        shown.append(b"".join(pieces).decode().replace("\r\n", "\n"))


def run_on_terminal(words, columns=80):
    """Run a command whose stdout and stderr are terminals."""
    with ExitStack() as stack:
        out, shown = stack.enter_context(terminal(columns))
        err, shown_err = stack.enter_context(terminal(columns))
        with redirect_stdout(out), redirect_stderr(err):
            status = status_of(words)
    assert sys.stdout is not out
    return Printed(status, shown[0], shown_err[0])
