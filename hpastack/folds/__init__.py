"""Cross-validation folds for multi-label data that never split a cluster, and fold plans."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
