"""The HDF5 store: one feature set, one row per field, one column per feature.

The format is specified in ``docs/formats.md``. A store is assembled from finished
blocks ("parts"), which are kept in ``NAME.h5.parts/`` until all are done, and is
published by a single rename, so that a reader never sees an incomplete store.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
