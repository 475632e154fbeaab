"""The one door to matplotlib and jinja2, which the base install does without."""

from hpastack.errors import InputError
from hpastack.files import any_backend

try:
    import jinja2

    with any_backend():
        import matplotlib
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
except ModuleNotFoundError as error:
    raise InputError(
        f"the report needs {error.name}, which is not installed; "
        "run: pip install 'hpastack[report]'"
    ) from error

__all__ = ["Axes", "ConstrainedLayoutEngine", "Figure", "jinja2", "matplotlib"]
