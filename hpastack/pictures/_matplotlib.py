"""The only import of matplotlib, which is not part of the base installation."""

from hpastack.errors import InputError
from hpastack.files import any_backend

try:
    with any_backend():
        import matplotlib
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure, FigureBase
        from matplotlib.layout_engine import ConstrainedLayoutEngine
        from matplotlib.text import Text
except ModuleNotFoundError as error:
    raise InputError(
        f"plots need {error.name}, which is not installed; run: pip install 'hpastack[report]'"
    ) from error

__all__ = [
    "Axes",
    "ConstrainedLayoutEngine",
    "Figure",
    "FigureBase",
    "Text",
    "matplotlib",
]
