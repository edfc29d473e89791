"""Which cells label transfer is measured on: references, the queries that each maps, and how labels correspond.

Everything is real and lies beside the checkout (../shared/data) but the sample atlas, which is in it.

FACS gates: memory, regulatory, helper and naive T are CD4 T cells, both cytotoxic gates CD8 T cells, monocytes CD14
monocytes. ifnb: its names without "Mono", naive and memory CD4 together.

Sinoatrial node: named by Cell Ontology terms that are wider than the chambers' labels, so the answers are widened, by
"is a": FB and FB2 are fibroblasts, END and EC (endocardial: POSTN, CDH11, NPR3) endothelial cells, MAC myeloid cells,
LC (IL7R, CD3E) lymphocytes, vSM/PC and aSM mural cells, SWC neural cells, aCM regular atrial cardiac myocytes, AD
adipocytes. Lymphatic endothelial cells (3) are endothelial cells. FB2 is called a fibroblast by its name, though it
expresses MYH11 and ACTA2 and hardly any DCN. No cell of the node is without a counterpart; vCM has none there.

Cell lines: batches CEL-seq2 and Drop-seq hold three lines, the other batches five. From Drop-seq back to CEL-seq2 the
cells of A549 and H838 (525 of 1,183) have no counterpart.

Cells whose label has no counterpart in the reference are dropped, and the table says how many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.settings import SAMPLE_ATLAS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LEVEL = "cell_type"

GATES = {
    "nk": "NK cell",
    "bcells": "B cell",
    "memoryt": "CD4 T cell",
    "regulatoryt": "CD4 T cell",
    "thelper": "CD4 T cell",
    "naivet": "CD4 T cell",
    "cytotoxict": "CD8 T cell",
    "naivecytotoxic": "CD8 T cell",
    "monocytes": "CD14 monocyte",
}
IFNB = {
    "CD14 Mono": "CD14 monocyte",
    "CD16 Mono": "CD16 monocyte",
    "CD4 Naive T": "CD4 T cell",
    "CD4 Memory T": "CD4 T cell",
    "B": "B cell",
    "CD8 T": "CD8 T cell",
}
NODE = {"endothelial cell of lymphatic vessel": "endothelial cell"}
CHAMBERS = {
    "FB": "fibroblast",
    "FB2": "fibroblast",
    "END": "endothelial cell",
    "EC": "endothelial cell",
    "MAC": "myeloid cell",
    "LC": "lymphocyte",
    "vSM/PC": "mural cell",
    "aSM": "mural cell",
    "SWC": "neural cell",
    "aCM": "regular atrial cardiac myocyte",
    "AD": "adipocyte",
}

Which = Callable[[pd.DataFrame], "pd.Series[bool]"]


def everything(obs: pd.DataFrame) -> pd.Series[bool]:
    """All cells."""
    return pd.Series(True, obs.index)


@dataclass(frozen=True)
class Part:
    """Some cells of a file.

    Attributes
    ----------
    file
        The h5ad file.
    which
        From obs to a choice of its rows.
    """

    file: Path
    which: Which = everything

    def read(self) -> anndata.AnnData:
        """These cells, in memory."""
        cells = _whole(self.file)
        return cells[self.which(cells.obs).to_numpy()].copy()


@dataclass(frozen=True)
class Mapped:
    """A query with known labels.

    Attributes
    ----------
    split
        What the pair of reference and query is called.
    cells
        The query.
    truth
        From its labels to those that answers are compared with; labels that are not named stay as they are.
    widened
        The same for the reference's labels, where the query's are wider.
    """

    split: str
    cells: Part
    truth: Mapping[str, str] = field(default_factory=dict)
    widened: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """A reference, and the queries that it maps; a method is trained once for all of them."""

    name: str
    cells: Part
    queries: tuple[Mapped, ...]


def renamed(labels: pd.Series, names: Mapping[str, str]) -> NDArray[np.object_]:
    """Labels by their names here, as text."""
    return labels.astype(str).map(lambda label: names.get(label, label)).to_numpy(object)


def references() -> list[Known]:
    """Every reference, the cheapest to train on first."""
    return [*_cell_lines(), *_stimulated(), *_heart(), *_blood(), _donors()]


def _blood() -> list[Known]:
    atlas = SAMPLE_ATLAS / "cells.h5ad"
    facs = Mapped("atlas -> FACS-sorted", Part(DATA / "pbmc_zheng_facs_sorted.h5ad"), GATES)
    ifnb = Mapped("atlas -> ifnb", Part(DATA / "pbmc_ifnb_832.h5ad"), IFNB)
    left_out = [_left_out("atlas", atlas, batch) for batch in batches_of(atlas)]
    return [Known("sample atlas", Part(atlas), (facs, ifnb)), *left_out]


def _stimulated() -> list[Known]:
    file = DATA / "pbmc_ifnb_832.h5ad"
    control, stimulated = (Part(file, _where("condition", value)) for value in ("ctrl", "stim"))
    return [Known("ifnb control", control, (Mapped("ifnb control -> stimulated", stimulated),))]


def _donors() -> Known:
    file = DATA / "pbmc_kang_ctrl_8donors.h5ad"
    left_out = _where("donor", "patient_101", "patient_1015")
    return Known("Kang, six donors", Part(file, _not(left_out)), (Mapped("Kang donors", Part(file, left_out)),))


def _heart() -> list[Known]:
    chambers = DATA / "heart_chambers_7samples.h5ad"
    two, three = (Part(chambers, _where("donor", value)) for value in ("donor_2", "donor_3"))
    node = Mapped("heart -> sinoatrial node", Part(DATA / "heart_sinoatrial_1000.h5ad"), NODE, CHAMBERS)
    return [
        Known("heart donor 2", two, (Mapped("heart donor 2 -> 3", three),)),
        Known("heart donor 3", three, (Mapped("heart donor 3 -> 2", two),)),
        Known("heart", Part(chambers), (node,)),
    ]


def _cell_lines() -> list[Known]:
    file = DATA / "celllines_sc_mixology_5batches.h5ad"
    cel, drop = _where("tech", "CEL-seq2"), _where("tech", "Drop-seq")
    return [
        Known("cell lines CEL-seq2", Part(file, cel), (Mapped("lines CEL-seq2 -> Drop-seq", Part(file, drop)),)),
        Known("cell lines Drop-seq", Part(file, drop), (Mapped("lines Drop-seq -> CEL-seq2", Part(file, cel)),)),
        *(_left_out("lines", file, batch) for batch in batches_of(file) if batch != "Drop-seq"),
    ]


def batches_of(file: Path) -> list[str]:
    """Names of a file's batches, in the order of the file."""
    return [str(batch) for batch in _whole(file).obs["batch"].unique()]


def _left_out(name: str, file: Path, batch: str) -> Known:
    out = _where("batch", batch)
    return Known(f"{name} without {batch}", Part(file, _not(out)), (Mapped(f"{name}: {batch}", Part(file, out)),))


def _where(column: str, *values: str) -> Which:
    return lambda obs: obs[column].astype(str).isin(values)


def _not(which: Which) -> Which:
    return lambda obs: ~which(obs)


@cache
def _whole(file: Path) -> anndata.AnnData:
    return anndata.read_h5ad(file)
