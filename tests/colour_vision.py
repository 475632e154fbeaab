"""Colours as people with colour vision deficiencies see them, and how far apart they are."""

import numpy as np

# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, "A physiologically-based model for
# simulation of color vision deficiency", IEEE Trans. Vis. Comput. Graph. 15(6), 1291-1298,
# 2009, doi:10.1109/TVCG.2009.113: severity 1.0, for linear RGB.
MACHADO = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868],
                            [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968],
                              [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
}  # fmt: skip
VISIONS = tuple(MACHADO)

# sRGB to XYZ, and the white of D65.
_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375],
                 [0.2126729, 0.7151522, 0.0721750],
                 [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip


def linear(rgb):
    """Linear RGB in [0, 1] of sRGB from 0 to 255."""
    share = np.asarray(rgb, float) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def as_seen(rgb, vision):
    """sRGB from 0 to 255 as it looks with that vision."""
    seen = np.clip(linear(rgb) @ MACHADO[vision].T, 0, 1)
    share = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return np.rint(255 * share).astype(np.uint8)


def lab(rgb):
    """CIE L*a*b* of sRGB from 0 to 255."""
    ratio = linear(rgb) @ _XYZ.T / _XYZ.sum(axis=1)
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def distance(one, other, vision):
    """Difference (CIE76) of two colours as seen; about 2 can just be noticed side by side."""
    return float(np.linalg.norm(lab(as_seen(one, vision)) - lab(as_seen(other, vision))))


def hex_rgb(text):
    """Red, green and blue of ``#rrggbb``."""
    return tuple(bytes.fromhex(text.removeprefix("#")))
