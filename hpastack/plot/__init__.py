"""Plots in scikit-learn's Display convention; need the extra ``report``.

``from_stack``, ``from_predictions`` and the like compute what is shown and draw it. A display
that is the last expression of a notebook cell shows itself; ``.figure_.savefig`` writes it, and
``ax=`` draws it into Axes of your own.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
