"""The HDF5 store: one feature set, one row a field, one column a feature.

The format is written down in ``docs/formats.md``. A store is made from finished
blocks ("parts") that lie in ``NAME.h5.parts/`` while the work goes on, and is
published in one rename, so that a reader never sees half of one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
