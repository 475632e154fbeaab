"""hpastack: name where a protein sits in a human cell.

Names load when first used, so that importing the package stays quick and
pulls in no torch, lightgbm, xgboost or matplotlib. They are listed in
``__init__.pyi``, which type checkers and editors read too.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
