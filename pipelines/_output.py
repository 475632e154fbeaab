"""What commands print: text for people, one JSON object for programs, and a log of both.

Commands print through the functions of this module only:

========= ========================================= ======== ================
function  prints                                    stream   with ``--quiet``
========= ========================================= ======== ================
show      results that are also in a file; status   stdout   nothing
wrote     what was written, and where               stdout   nothing
note      caveats of the results                    stdout   nothing
answer    results that are written to no file       stdout   the same
warn      warnings                                  stderr   the same
fail      errors                                    stderr   the same
report    nothing; figures for ``--json``           none     the same
========= ========================================= ======== ================

With ``--json``, all text goes to stderr. On a terminal, long lines are wrapped; in a pipe each
message stays on one line, for ``grep``. Nothing is coloured, so there is nothing for
``NO_COLOR`` to turn off.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import hpastack
from hpastack.errors import InputError
from pipelines._help import USER_ERROR

# Columns of a terminal whose width is unknown.
_COLUMNS = 80


class Output:
    """Output of one run of a command.

    Parameters
    ----------
    command : str, default=""
        Name of the command.
    quiet : bool, default=False
        Whether to print only warnings, errors and results that are written to no file.
    as_json : bool, default=False
        Whether the last line on stdout is a JSON object.
    log : Path, optional
        File to which everything is appended with time stamps, including what `quiet`
        suppresses.

    Raises
    ------
    InputError
        If the log cannot be written.
    """

    def __init__(
        self, command: str = "", *, quiet: bool = False, as_json: bool = False,
        log: Path | None = None,
    ) -> None:  # fmt: skip
        self.command, self.quiet, self.as_json, self.log = command, quiet, as_json, log
        self.written: list[str] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.results: dict[str, Any] = {}
        self.error: str | None = None
        self.is_muted = False
        self._started = time.perf_counter()
        self._log: TextIO | None = None
        if log is not None:
            try:
                self._log = log.open("a", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise InputError(f"--log {log} cannot be written: {error.strerror}") from None

    def text_stream(self) -> TextIO:
        """Return the stream that text for people goes to."""
        return sys.stderr if self.as_json else sys.stdout

    def print(self, text: str, stream: TextIO, *, show: bool = True, wrapped: bool = True) -> None:
        """Log text and, unless `show` is False, print it, wrapped on a terminal."""
        text = "\n".join(printable(line) for line in text.split("\n"))
        self.log_lines(text)
        if show:
            width = columns_of(stream) if wrapped else None
            print(text if width is None else wrap(text, width), file=stream, flush=True)

    def log_lines(self, text: str) -> None:
        """Append lines to the log, each with the time."""
        if self._log is None:
            return
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        lines = [f"{now} {line}\n" for line in text.split("\n") if line]
        try:
            self._log.write("".join(lines))
            self._log.flush()
        except OSError as error:  # a full disk should not end the work
            self._log = None
            self.warn(f"the log {self.log} can no longer be written: {error.strerror}")

    def warn(self, text: str) -> None:
        """Print a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.print(f"warning: {text}", sys.stderr)

    def seconds(self) -> float:
        """Return how long the command has been running."""
        return time.perf_counter() - self._started

    def finish(self, status: int) -> None:
        """Print the JSON object if it was requested, and close the log."""
        if self.as_json and not self.is_muted:
            summary = {
                "command": self.command,
                "status": status,
                "seconds": round(self.seconds(), 3),
                "written": self.written,
                "warnings": self.warnings,
                "notes": self.notes,
                "results": self.results,
            }
            if self.error is not None:
                summary["error"] = self.error
            line = json.dumps(_plain(summary), allow_nan=False)
            self.log_lines(line)
            print(line, flush=True)
        self.log_lines(f"{self.command} ended with status {status} after {self.seconds():.1f} s")
        if self._log is not None:
            self._log.close()
            self._log = None


_current = Output()


def current() -> Output:
    """Return the output of the running command."""
    return _current


@contextmanager
def output_of(output: Output) -> Iterator[Output]:
    """Send the functions of this module and Python warnings to an output, within the block."""
    global _current
    before, _current = _current, output
    shown_before = warnings.showwarning
    warnings.showwarning = _show_warning
    try:
        yield output
    finally:
        warnings.showwarning = shown_before
        _current = before


def show(text: object, *, wrapped: bool = True) -> None:
    """Print a result that is also in a file, or the status; nothing with ``--quiet``."""
    stream = _current.text_stream()
    _current.print(str(text), stream, show=not _current.quiet, wrapped=wrapped)


def wrote(text: str, *paths: str | os.PathLike[str]) -> None:
    """Print what was written, and keep the paths for ``--json``; no text with ``--quiet``."""
    _current.written += [os.fspath(path) for path in paths]
    show(text)


def note(text: str) -> None:
    """Print a caveat of the results; nothing with ``--quiet``.

    A text that was printed as a warning is not repeated on a terminal.
    """
    _current.notes.append(text)
    stream = _current.text_stream()
    if text not in _current.warnings or columns_of(stream) is None:
        show(f"note: {text}")


def answer(text: object) -> None:
    """Print a result that is written to no file."""
    _current.print(str(text), _current.text_stream())


def warn(text: str) -> None:
    """Print a warning on stderr, only once however often it occurs."""
    _current.warn(text)


def fail(text: str, prefix: str = "") -> None:
    """Print an error on stderr after a prefix, and keep it for ``--json``."""
    _current.error = text
    _current.print(prefix + text, sys.stderr)


def report(**figures: Any) -> None:
    """Keep figures for ``--json``."""
    _current.results.update(figures)


def mute() -> None:
    """Print no JSON object, as another process of the same command does."""
    _current.is_muted = True


def table_width() -> int | None:
    """Return the width of the terminal that tables go to, None in a pipe."""
    return columns_of(_current.text_stream())


def columns_of(stream: TextIO | None) -> int | None:
    """Return the width of a stream in columns, None if it is not a terminal.

    Parameters
    ----------
    stream : file-like or None

    Returns
    -------
    int or None
        The environment variable ``COLUMNS``, if set, else the width of the terminal.
    """
    if stream is None or not stream.isatty():
        return None
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except OSError:
        return shutil.get_terminal_size((_COLUMNS, 24)).columns


def wrap(text: str, width: int) -> str:
    """Wrap long lines between words, so that paths can be copied.

    Parameters
    ----------
    text : str
    width : int

    Returns
    -------
    str
        Continuation lines are indented. Commands, which begin with ``$``, are not wrapped.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width or line.startswith("$ "):  # a command can be copied as it is
            lines.append(line)
            continue
        indent = len(line) - len(line.lstrip())
        # A second column begins after two spaces: `  recipe       {...}`.
        second = line.find("  ", indent)
        hanging = indent + 2
        if second > 0:
            start = len(line) - len(line[second:].lstrip())
            hanging = start if start <= width / 2 else hanging
        lines += textwrap.wrap(
            line, width, subsequent_indent=" " * hanging, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return untrusted text without characters that control the terminal.

    Parameters
    ----------
    text : str
        Names of columns and files, attributes of a store, and the like.

    Returns
    -------
    str
        The text with ``?`` for each unprintable character.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def error_before_start(command: str, message: str, arguments: Sequence[str]) -> int:
    """Print the JSON object of an error in the arguments if requested; return the status."""
    output = Output(command, as_json="--json" in arguments)
    output.error = message
    output.finish(USER_ERROR)
    return USER_ERROR


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    """Print a Python warning like the others; one of another package with its place."""
    ours = [Path(module).parent for module in (hpastack.__file__, __file__)]
    if category.__module__.startswith("hpastack") or Path(filename).is_relative_to(ours[0]) or (
        Path(filename).is_relative_to(ours[1])
    ):  # fmt: skip
        warn(" ".join(str(message).split()))
    else:
        warn(f"{category.__name__}: {' '.join(str(message).split())} ({filename}:{lineno})")


def _plain(value: Any) -> Any:
    """Return a value that JSON can represent: NumPy numbers as Python's, NaN as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # of NumPy or pandas
        return _plain(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_plain(item) for item in value]
