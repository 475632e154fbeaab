"""The only import of jinja2, an optional dependency."""

from hpastack.errors import InputError

try:
    import jinja2
except ModuleNotFoundError as error:
    raise InputError(
        f"the report needs {error.name}, which is not installed; "
        "run: pip install 'hpastack[report]'"
    ) from error

__all__ = ["jinja2"]
