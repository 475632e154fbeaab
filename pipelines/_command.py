"""What all commands share: the parser, the exit status and the handling of errors."""

from __future__ import annotations

import argparse
import io
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from hpastack.errors import InputError, visible
from pipelines._help import USER_ERROR, CommandParser, options_of
from pipelines._options import add_options_of_all
from pipelines._output import Output, error_before_start, fail, output_of, printable

# Exit status of Python after an exception.
BUG = 1


def command_parser(
    name: str,
    description: str,
    example: str,
    *,
    recipes: Sequence[str] = (),
    jobs: int | None = None,
) -> CommandParser:
    """Return the parser of a command, with the options shared by all commands.

    Parameters
    ----------
    name : str
        Module name of the command in `pipelines`.
    description : str
        What the command does. Line breaks are kept; long lines are wrapped.
    example : str
        Arguments of an example command line, shown by ``--help``.
    recipes : sequence of str
        Types of the recipes that the command reads. If there are any, it has ``--set``.
    jobs : int, optional
        Default of ``--jobs``. If omitted, as many workers as the process may use.

    Returns
    -------
    CommandParser
    """
    parser = CommandParser(
        f"python -m pipelines.{name}", description, epilog=f"example:\n  $ %(prog)s {example}"
    )
    parser.command = name
    parser.recipe_types = tuple(recipes)
    add_options_of_all(parser, jobs=jobs)
    return parser


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None,
) -> int:
    """Parse the options, run the command, and print invalid input as an error of one line.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    run : callable
        Function of the parsed options that returns an exit status, or None for 0.
    argv : sequence of str or None
        Arguments; None for those of the process.

    Returns
    -------
    int
        Exit status: that of `run`, 2 after invalid input (`InputError`, or a path that
        cannot be read or written), 130 after Ctrl-C or SIGTERM. Other exceptions are
        bugs and are not caught.
    """
    _print_any_character()
    arguments = sys.argv[1:] if argv is None else list(argv)
    command = getattr(parser, "command", parser.prog)
    try:
        args = parser.parse_args(arguments)
    except SystemExit as ended:
        if ended.code:
            error_before_start(command, getattr(parser, "failure", ""), arguments)
        raise
    try:
        output = Output(
            command, quiet=getattr(args, "quiet", False), as_json=getattr(args, "json", False),
            log=getattr(args, "log", None),
        )  # fmt: skip
    except InputError as error:
        print(f"{parser.prog}: error: {printable(str(error))}", file=sys.stderr)
        return error_before_start(command, str(error), arguments)
    output.log_lines(f"$ {parser.prog} {shlex.join(arguments)}")
    status = BUG
    with output_of(output), _progress_of(output, args):
        try:
            status = _status_of(parser, run, args)
        except BaseException as error:
            output.error = f"{type(error).__name__}: {error}"
            output.log_lines(traceback.format_exc())
            raise
        finally:
            output.finish(status)
    return status


def _progress_of(output: Output, args: argparse.Namespace) -> AbstractContextManager[None]:
    if not hasattr(args, "quiet"):  # the list of commands, which imports nothing heavy
        return nullcontext()
    from hpastack.parallel import progress_output

    log = None if output.log is None else output.log_lines
    return progress_output(show=not output.quiet, log=log)


def _status_of(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int | None],
    args: argparse.Namespace,
) -> int:
    try:
        with _stopped_by_schedulers():
            return run(args) or 0
    except InputError as error:
        message = f"{error}{_options_for(error.parameters, parser)}"
    except OSError as error:
        place = error.filename if error.filename2 is None else error.filename2
        if place is None and error.errno is None:
            raise  # unrelated to a path or the disk: a bug
        message = f"{place}: {error.strerror}" if place else str(error.strerror)
    except KeyboardInterrupt:
        fail(f"{parser.prog}: interrupted; run it again to resume")
        return 130
    fail(" ".join(message.split()), prefix=f"{parser.prog}: error: ")
    return USER_ERROR


def _options_for(parameters: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Return a remark that names the options for parameters of the library."""
    options = options_of(parameters, parser)
    return f" (on the command line: {', '.join(options)})" if options else ""


def _print_any_character() -> None:
    """Escape characters that the terminal cannot encode, so that a label does not end the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _stopped_by_schedulers() -> Iterator[None]:
    """Let SIGTERM, by which schedulers end jobs, stop the work like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not None:  # a handler that was not set from Python cannot be restored
            signal.signal(signal.SIGTERM, before)


def check_name(name: str) -> None:
    """Check that a name can be used for files and for columns ``<name>__<label>``.

    Parameters
    ----------
    name : str
        Value of ``--name``.

    Raises
    ------
    InputError
        If it is empty, ends in ``.h5``, has leading or trailing whitespace, starts with a dot
        or a dash, or contains a path separator, ``__`` or unprintable characters.
    """
    if name.endswith(".h5"):
        raise InputError(f"--name {visible(name)}: omit .h5: {visible(name[:-3])}")
    is_plain = Path(name).name == name and "\\" not in name and name.isprintable()
    if (
        not name
        or not is_plain
        or "__" in name
        or name != name.strip()
        or name.startswith((".", "-"))
    ):
        raise InputError(
            f"--name {visible(name) or repr(name)}: use a plain name without '/', '__' or line "
            "breaks that does not start with a dot, a dash or whitespace"
        )
