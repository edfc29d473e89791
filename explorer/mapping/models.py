"""A trained method out of a bundle, with all that mapping needs beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer import keys
from explorer.doubt.labels import LevelHead
from explorer.errors import ReferenceProblem
from explorer.flow import FloatArray, Reference
from explorer.methods import METHODS
from explorer.methods.base import Method
from explorer.methods.common import device_named
from explorer.neighbors import Index, LabelIndex
from explorer.provenance import Refitted
from explorer.reference import (
    label_codes,
    method_folder,
    model_folder,
    open_reference,
    read_embedding,
    read_heads,
    read_layout,
    read_proteins,
)


@dataclass(frozen=True)
class TrainedMethod:
    """A method of a reference, loaded and ready to map.

    Attributes
    ----------
    positions
        int (g,), the method's genes among the reference's.
    embedding, layout
        float32 (m, d) and (m, 2).
    heads, members
        One a label level: what transfer learned, and the reference cells by label.
    heads_by_rna
        What it learned for queries without proteins; empty for a method that does not place cells by proteins.
    counted
        int (p,), the reference genes that a cell's total is summed over, for a model refitted on a panel; `None` for
        all genes of a file.
    proteins
        float32 (m, p), counts of the reference's surface proteins, NaN where not measured; `None` without any.
    """

    method: Method
    positions: NDArray[np.int64]
    embedding: FloatArray
    layout: FloatArray
    index: Index
    heads: tuple[LevelHead, ...]
    members: tuple[LabelIndex, ...]
    device: str
    counted: NDArray[np.int64] | None = None
    proteins: FloatArray | None = None
    heads_by_rna: tuple[LevelHead, ...] = ()


def load_method(reference: Reference, name: str, device: str = "auto") -> TrainedMethod:
    """Load a trained method of a reference; the last few stay in memory.

    Raises
    ------
    ReferenceProblem
        If the reference does not hold it, or this version does not know it.
    OptionsProblem
        If the device does not exist.
    """
    method_folder(reference, name)
    if name not in METHODS:
        raise ReferenceProblem(
            f"The reference {reference.title} holds a model of {name!r}, which this Atlas Explorer does not know; it "
            f"knows {', '.join(METHODS)}. Bring the program up to date: git pull, then pip install ."
        )
    refitted = reference.refitted.get(name)
    return _load_method(reference.folder, reference.checksum, name, str(device_named(device)), refitted)


@lru_cache(maxsize=4)
def _load_method(folder: Path, checksum: str, name: str, device: str, refitted: Refitted | None) -> TrainedMethod:
    reference = open_reference(folder)
    if reference.checksum != checksum:
        raise ReferenceProblem(f"The reference {reference.title} changed while it was in use. Open it again.")
    if refitted is not None:
        reference = replace(reference, refitted={name: refitted})
    place_of = model_folder(reference, name)
    method = METHODS[name].load(place_of, device=device_named(device))
    symbols = reference.genes.reset_index().set_index(keys.SYMBOL)["index"]
    heads = read_heads(place_of)
    embedding = read_embedding(reference, name)
    return TrainedMethod(
        method=method,
        positions=symbols.loc[list(method.genes)].to_numpy(),
        embedding=embedding,
        layout=read_layout(reference, name),
        index=Index(embedding),
        heads=heads,
        members=tuple(LabelIndex(embedding, label_codes(reference, head.level, head.classes)) for head in heads),
        device=device,
        counted=None if refitted is None else symbols.loc[list(refitted.panel.genes)].to_numpy(),
        proteins=read_proteins(reference),
        heads_by_rna=read_heads(by_rna) if (by_rna := place_of / keys.RNA_FOLDER).is_dir() else (),
    )
