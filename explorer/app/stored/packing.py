"""Selected cells as text that a project can keep, and back. Knows positions, not cells."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray


def packed(rows: NDArray[np.integer] | None, n: int) -> str:
    """Rows of n cells as text, a bit a cell, compressed; empty for `None`."""
    if rows is None:
        return ""
    mask = np.zeros(n, dtype=np.bool_)
    mask[rows] = True
    return base64.b85encode(zlib.compress(np.packbits(mask).tobytes())).decode("ascii")


def unpacked(text: str, n: int) -> NDArray[np.bool_] | None:
    """The mask over n cells that `packed` wrote down; `None` for no selection, or one of another number of cells."""
    if not text:
        return None
    bits = np.frombuffer(zlib.decompress(base64.b85decode(text)), np.uint8)
    return np.unpackbits(bits, count=n).astype(np.bool_) if len(bits) == -(-n // 8) else None
