"""Labels that some reference cells lack, filled in from those that have them. Knows vectors and codes, not methods.

A reference is often labelled finely in one study and coarsely, or not at all, in another. In the latent space of any
method an unlabelled cell takes the label that its nearest labelled cells vote for; where its coarse label is known,
only cells of that coarse label vote, so that the two levels agree (the coarse-to-fine propagation of De Donno et al.,
Nature Methods 2023, there by prototypes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.doubt.labels import vote
from explorer.errors import ReferenceProblem
from explorer.flow import BoolArray, FloatArray, IntArray, Reference
from explorer.neighbors import Index
from explorer.reference import label_codes, method_folder, read_embedding, read_heads

VOTERS = 15


@dataclass(frozen=True)
class Propagated:
    """Labels of all cells, with those that were missing filled in.

    Attributes
    ----------
    codes
        int32 (m,); -1 only where no labelled cell could vote.
    confidence
        float32 (m,) in [0, 1]: share of the vote; 1 for a cell's own label, 0 where it still has none.
    filled
        bool (m,), which were filled in.
    """

    codes: IntArray
    confidence: FloatArray
    filled: BoolArray


def propagate(values: FloatArray, codes: IntArray, coarse: IntArray | None = None) -> Propagated:
    """Fill in missing labels by the similarity-weighted vote of the 15 nearest labelled cells.

    Parameters
    ----------
    values, codes
        float32 (m, d) and int32 (m,), -1 where a label is missing. Labels that are there never change.
    coarse
        int32 (m,), labels of a coarser level, -1 where not known; such a cell takes the vote of all.
    """
    out = codes.astype(np.int32, copy=True)
    confidence = (codes >= 0).astype(np.float32)
    groups = np.full(len(codes), -1, np.int32) if coarse is None else coarse
    for group in np.unique(groups[codes < 0]):
        asked = np.flatnonzero((codes < 0) & (groups == group))
        voters = np.flatnonzero((codes >= 0) & ((groups == group) | (group < 0)))
        if len(voters):
            shares = vote(Index(values[voters]).search(values[asked], VOTERS), codes[voters], int(codes.max()) + 1)
            out[asked], confidence[asked] = shares.argmax(1), shares.max(1)
    return Propagated(out, confidence, (codes < 0) & (out >= 0))


def missing_labels(reference: Reference, method: str, level: str, coarse: str | None = None) -> pd.DataFrame:
    """What a method would call the reference cells that have no label at a level: label and confidence, by cell.

    To use them, write them into the source file's column and build from it.

    Parameters
    ----------
    level, coarse
        The level to fill in, and a coarser one to agree with.

    Raises
    ------
    ReferenceProblem
        If the bundle holds no such method or level.
    """
    heads = {head.level: head for head in read_heads(method_folder(reference, method))}
    for name in filter(None, (level, coarse)):
        if name not in heads:
            raise ReferenceProblem(
                f"The reference {reference.title} has no label level {name!r}; it has: {', '.join(heads)}."
            )
    codes = label_codes(reference, level, heads[level].classes)
    groups = None if coarse is None else label_codes(reference, coarse, heads[coarse].classes)
    found = propagate(read_embedding(reference, method), codes, groups)
    labels = np.array(heads[level].classes, dtype=object)[found.codes[found.filled]]
    index = reference.obs.index[found.filled]
    return pd.DataFrame({"label": labels, "confidence": found.confidence[found.filled]}, index=index)
