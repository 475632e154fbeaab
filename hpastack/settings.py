"""Settings: frozen dataclasses that are validated by the annotations of their fields.

The annotation of a key defines its type, bounds and choices; the string below it describes its
meaning. The validation and its messages, the parameters in the docstring of the class, the
comments in recipes and the documentation of all settings are generated from them.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import os
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic_core import PydanticCustomError, core_schema

from hpastack.errors import InputError

__all__ = ["Field", "Key", "Must", "distinct", "keys", "one_of", "settings"]

_T = TypeVar("_T")

_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "None (null in a recipe)",
}
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def settings(cls: type[_T]) -> type[_T]:
    """Make a frozen dataclass that validates its values.

    Values must be of the annotated type. Whole numbers are accepted as numbers; NumPy values,
    tuples and paths are converted to plain numbers, lists and text; nothing else is converted.
    Numbers must be finite. Invalid values raise a single `InputError` that lists every problem; a
    `ValueError` of ``__post_init__`` is converted to an `InputError` too. The meanings of the keys
    are added to the docstring.

    Parameters
    ----------
    cls : type
        With a docstring, and below each field a string with its meaning, whose first sentence
        is a short description.

    Returns
    -------
    type
        The class; `dataclasses.replace` validates again, `dataclasses.asdict` returns plain
        values.

    Examples
    --------
    >>> @settings
    ... class Training:
    ...     "How to train."
    ...
    ...     epochs: Annotated[int, Field(ge=1)] = 20
    ...     "Passes over the fields."
    >>> Training(epochs=3)
    Training(epochs=3)
    >>> Training(epochs=0)
    Traceback (most recent call last):
    hpastack.errors.InputError: epochs is 0; it must be at least 1
    """
    made: Any = checked_dataclass(cls, frozen=True, config=_CONFIG)
    validate = made.__init__

    @functools.wraps(validate)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        named = {key: _plain(value) for key, value in kwargs.items()}
        try:
            validate(self, *map(_plain, args), **named)
        except ValidationError as error:
            raise InputError(_message(_problems(error, made))) from None

    made.__init__ = __init__
    made.__meanings__ = _meanings(cls)
    made.__doc__ = _documented(made)
    return made


class Must:
    """A condition in an annotation, with a description of the allowed values.

    Parameters
    ----------
    accepts : callable
        Returns whether a value is allowed.
    be : str or callable
        The text after "it must be", or a callable that returns it when needed.
    """

    def __init__(self, accepts: Callable[[Any], bool], be: str | Callable[[], str]) -> None:
        self._accepts = accepts
        self._be = be

    def words(self) -> str:
        """Return the description of the allowed values."""
        return self._be if isinstance(self._be, str) else self._be()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Check the condition after the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        if not self._accepts(value):
            raise PydanticCustomError("condition", "must be {words}", {"words": self.words()})
        return value


def one_of(registry: Collection[str]) -> Must:
    """Allow the names in a registry at the time of validation.

    Parameters
    ----------
    registry : collection of str
        Such as a dict with the names as keys.

    Returns
    -------
    Must
    """
    return Must(lambda value: value in registry, lambda: f"one of {', '.join(registry)}")


def distinct(names: list[Any]) -> list[Any]:
    """Reject a list with duplicates; for ``AfterValidator``."""
    if len(set(names)) < len(names):
        raise ValueError("it must not have duplicates")
    return names


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a settings class, for documentation.

    Attributes
    ----------
    name : str
    meaning : str
        Sentences, of which the first is a short description.
    default : object
        `dataclasses.MISSING` if there is none.
    allowed : str
        Description of the allowed values.
    """

    name: str
    meaning: str
    default: Any
    allowed: str


def keys(cls: type) -> list[Key]:
    """List the keys of a settings class.

    Parameters
    ----------
    cls : type
        Made by `settings`.

    Returns
    -------
    list of Key
        In the order of the class.
    """
    hints = get_type_hints(cls, include_extras=True)
    return [
        Key(name, meaning, default, _words(hints[name])) for name, meaning, default in _fields(cls)
    ]


def _fields(cls: Any) -> Iterable[tuple[str, str, Any]]:
    written: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        written |= vars(base).get("__meanings__", {})
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        # An annotation shared by several classes contains the meaning itself.
        described = cls.__pydantic_fields__[field.name].description or ""
        yield field.name, written.get(field.name, described), default


def _meanings(cls: type) -> dict[str, str]:
    """Read the strings below the fields of a class; empty if its source is not available."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):
        return {}
    assert isinstance(tree.body[0], ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(tree.body[0].body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _documented(cls: Any) -> str:
    """Return the docstring with a paragraph for each key."""
    lines = [(cls.__doc__ or "").rstrip(), "", "Parameters", "----------"]
    for name, meaning, default in _fields(cls):
        lines.append(name if default is dataclasses.MISSING else f"{name} : default={default!r}")
        lines += textwrap.wrap(meaning, 84, initial_indent="    ", subsequent_indent="    ")
    lines += ["", "Raises", "------", "InputError", "    If values are invalid; all are named."]
    return "\n".join([*lines, ""])


def _message(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    listed = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
    return f"{len(problems)} problems: {listed}"


def _problems(error: ValidationError, cls: Any) -> list[str]:
    hints = get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    problems: dict[Any, str] = {}
    for detail in error.errors(include_url=False):
        key = detail["loc"][0] if detail["loc"] else ""
        if isinstance(key, int) and key < len(names):  # a positional argument
            key = names[key]
        if key not in problems:  # each alternative of a union has its own error
            problems[key] = _problem(key, detail, hints)
    return list(problems.values())


def _problem(key: Any, error: Mapping[str, Any], hints: dict[str, Any]) -> str:
    kind, value = error["type"], error["input"]
    if key == "":
        return str(error["ctx"]["error"])
    if kind == "unexpected_keyword_argument":
        near = difflib.get_close_matches(key, hints, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"keys: {', '.join(hints)}"
        return f"unknown key {key!r}; {hint}"
    if kind == "unexpected_positional_argument":
        return f"unexpected value {value!r}; keys: {', '.join(hints)}"
    allowed = _words(hints[key])
    if kind == "missing":
        return f"{key} is missing; it must be {allowed}"
    within = [place for place in error["loc"][1:] if isinstance(place, int)]
    subject = f"{key} {'has' if within else 'is'} {_short(value)}"
    if kind == "value_error":
        return f"{subject}; {error['ctx']['error']}"
    limits = _limits(_marks(hints[key]))
    if kind in _OUT_OF_RANGE and limits:
        allowed = limits
    elif kind == "finite_number":
        allowed = allowed.replace("a number", "a finite number")
    elif kind == "list_type" and isinstance(value, str):
        allowed += f", such as [{value!r}]"
    return f"{subject}; it must be {allowed}"


def _words(hint: Any) -> str:
    """Describe the values that an annotation allows."""
    marks, hint = _marks(hint), _bare(hint)
    for mark in marks:
        if isinstance(mark, Must):
            return mark.words()
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return ", or ".join(_words(part) for part in parts)
    if origin is Literal:
        names = ", ".join(str(part) for part in parts)
        return names if len(parts) == 1 else f"one of {names}"
    if origin is list:
        of = "names" if parts[0] is str else _words(parts[0]).removeprefix("one of ")
        least = "one or more of " if any(hasattr(mark, "min_length") for mark in marks) else ""
        return f"a list of {least}{of}"
    if origin is dict:
        return f"{_words(parts[1])} for each of {_words(parts[0]).removeprefix('one of ')}"
    kind, limits = _KINDS.get(hint, "any value"), _limits(marks)
    return f"{kind}{' of' if limits.startswith('at') else ''} {limits}".strip()


def _limits(marks: list[Any]) -> str:
    """Describe the bounds of a number."""
    bounds = {
        name: getattr(mark, name)
        for mark in marks
        for name in ("ge", "gt", "le", "lt")
        if hasattr(mark, name)
    }
    if set(bounds) == {"ge", "le"}:
        return f"from {bounds['ge']} to {bounds['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " and ".join(f"{words[name]} {value}" for name, value in bounds.items())


def _marks(hint: Any) -> list[Any]:
    """Return the metadata of an annotation."""
    if get_origin(hint) is not Annotated:
        return []
    return [part for mark in get_args(hint)[1:] for part in getattr(mark, "metadata", [mark])]


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _plain(value: Any) -> Any:
    # Scalars, arrays and indexes of NumPy and pandas have this method.
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value


def _short(value: Any, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
