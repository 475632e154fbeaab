"""hpastack: predict the subcellular location of a protein from microscope images.

Public names are imported on first use, so that importing the package is fast
and does not import torch, lightgbm, xgboost or matplotlib. They are listed in
``__init__.pyi``, which is also read by type checkers and editors.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
