"""Pairs of fields with nearly the same embedding."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.files import check_unique
from hpastack.parallel import progress_bar

# Rows of a block, which is compared with all rows that follow in one matrix product.
_BLOCK = 1024
_MOST_PAIRS = 10_000_000


def embedding_pairs(
    embeddings: pd.DataFrame, *, min_cosine: float = 0.98, progress: bool = True
) -> pd.DataFrame:
    """Find all pairs of fields with nearly the same embedding.

    Exact: all pairs are compared, by matrix products over blocks of fields.

    Parameters
    ----------
    embeddings : DataFrame
        One row per field, indexed by image id.
    min_cosine : float, default=0.98
        Minimum cosine between the embeddings of two fields after subtraction of
        the mean embedding. Raw embeddings of a network mostly point in the
        same direction; centred ones do not.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin`` and ``cosine``, the earlier row first, in the order of
        the rows. A field whose embedding equals the mean has no pair.

    Raises
    ------
    InputError
        If `min_cosine` is not above 0 and at most 1, there are duplicate ids, a
        value is not finite, or there are more than ten million pairs.

    Examples
    --------
    >>> embeddings = pd.DataFrame([[1, 0], [0.9, 0.05], [-1, 1], [-1, -1]], index=list("abcd"))
    >>> embedding_pairs(embeddings).round(3)
      image_id twin  cosine
    0        a    b   0.999
    """
    if not 0 < min_cosine <= 1:
        raise InputError(f"min_cosine is {min_cosine}; it must be above 0 and at most 1")
    check_unique(embeddings.index, "the embeddings")
    if embeddings.empty:
        return pd.DataFrame({"image_id": [], "twin": [], "cosine": []}).astype(
            {"image_id": object, "twin": object}
        )
    values = embeddings.to_numpy(dtype=np.float32)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"{values[row, column]} in column {embeddings.columns[column]!r} of field "
            f"{embeddings.index[row]}; embeddings must be finite"
        )
    size = np.linalg.norm(values, axis=1, keepdims=True)
    values = values - values.mean(axis=0, dtype=np.float64).astype(np.float32)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    # A field at the mean leaves only rounding error, which must not be scaled to unit length.
    values *= np.where(length > 1e-5 * size, 1 / np.maximum(length, 1e-30), 0)
    # A tolerance, so that rounding does not exclude copies where min_cosine is 1.
    lowest = min_cosine - 1e-5
    starts = range(0, len(values), _BLOCK)
    blocks = [np.empty((0, 3))]
    for start in progress_bar(starts, what="compare embeddings", show=progress):
        cosines = values[start : start + _BLOCK] @ values[start:].T
        rows, columns = np.nonzero(cosines >= lowest)
        kept = rows < columns
        rows, columns = rows[kept], columns[kept]
        blocks.append(np.c_[rows + start, columns + start, cosines[rows, columns]])
        if sum(map(len, blocks)) > _MOST_PAIRS:
            raise InputError(
                f"more than {_MOST_PAIRS:,} pairs of fields have nearly the same embedding; "
                "these are not duplicates: raise min_cosine"
            )
    pairs = np.concatenate(blocks)
    names = embeddings.index.to_numpy(dtype=object)
    i, j = pairs[:, :2].astype(np.int64).T
    cosine = np.minimum(pairs[:, 2], 1).round(4)
    return pd.DataFrame({"image_id": names[i], "twin": names[j], "cosine": cosine})
