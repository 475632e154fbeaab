"""Backbones that see the four stains, their weights, and the vectors they give.

A backbone carries the `Preprocessing` that its weights expect as
``model.preprocessing``; everything that applies the backbone scales with it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
