"""What the commands share: options, and how mistakes and bugs are told apart."""

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
from pipelines._help import USER_ERROR, CommandParser
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
    """Make the parser of a command, with the options that all commands share.

    Parameters
    ----------
    name : str
        Module name of the command in `pipelines`.
    description : str
        What the command is for. Its line breaks stay; lines are wrapped.
    example : str
        Arguments of a command line that works, shown by ``--help``.
    recipes : sequence of str
        Types of the recipes that the command reads; if there are any, it takes ``--set``.
    jobs : int, optional
        Default of ``--jobs``. If omitted: None, for as many as the process may use.

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
    """Parse the options, run the command, and turn a user's mistake into one line.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    run : callable
        Takes the parsed options; returns an exit status, or None for 0.
    argv : sequence of str or None
        Arguments, None for those of the process.

    Returns
    -------
    int
        Exit status: 0, 2 after a mistake of the user's (`InputError`, or a
        path that cannot be read or written), 130 after Ctrl-C or SIGTERM. Other
        exceptions are bugs and are not caught.
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
    if not hasattr(args, "quiet"):  # the list of commands, which is quick
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
            raise  # not about a path or the disk: a bug
        message = f"{place}: {error.strerror}" if place else str(error.strerror)
    except KeyboardInterrupt:
        fail(f"{parser.prog}: stopped; run it again to go on")
        return 130
    fail(" ".join(message.split()), prefix=f"{parser.prog}: error: ")
    return USER_ERROR


def _options_for(parameters: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Name the options by which the command sets parameters of the library."""
    option_of = {action.dest: action.option_strings[-1:] for action in parser._actions}
    if isinstance(parser, CommandParser):
        option_of |= {name: [option] for name, option in parser.parameter_options.items()}
    options = [option for name in parameters for option in option_of.get(name, [])]
    return f" (on the command line: {', '.join(options)})" if options else ""


def _print_any_character() -> None:
    """Escape what the encoding of the terminal lacks: a label must not end the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _stopped_by_schedulers() -> Iterator[None]:
    """Let the signal by which a scheduler ends a job stop the work like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not None:  # a handler that is not Python's cannot be put back
            signal.signal(signal.SIGTERM, before)


def check_name(name: str) -> None:
    """Reject a name that files and columns ``<name>__<label>`` cannot have.

    Parameters
    ----------
    name : str
        As ``--name`` gives it.

    Raises
    ------
    InputError
        If it is empty, names a hidden file or one in another folder, begins or ends with a
        blank, ends in ``.h5``, or holds two underscores or characters that are not printed.
    """
    if name.endswith(".h5"):
        raise InputError(f"--name {visible(name)}: a name without .h5: {visible(name[:-3])}")
    is_plain = Path(name).name == name and "\\" not in name and name.isprintable()
    if (
        not name
        or not is_plain
        or "__" in name
        or name != name.strip()
        or name.startswith((".", "-"))
    ):
        raise InputError(
            f"--name {visible(name) or repr(name)}: a plain name without '/', '__' or line breaks, "
            "and without a dot, dash or blank in front"
        )
