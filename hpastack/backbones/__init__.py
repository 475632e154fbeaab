"""Backbones (networks) for the four stains, their weights, and embeddings of fields.

The `Preprocessing` that the weights of a backbone expect is its attribute
``model.preprocessing``; all code that applies the backbone uses it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
