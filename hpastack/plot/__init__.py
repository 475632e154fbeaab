"""Plots in scikit-learn's Display convention; need the extra ``report``.

``from_stack``, ``from_predictions`` and similar constructors compute and draw a plot. A display as
the last expression of a notebook cell is shown; ``.figure_.savefig`` saves it, and ``ax=`` draws
it into existing Axes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
