"""Cells whose truth is known because it was planted: types with markers, batches with an effect of their own.

Counts are negative binomial. Each type has `MARKERS` genes that it expresses `LIFT` times as much as any other
type does, all of one pathway of Reactome; genes that mark no type are in no pathway. Each batch multiplies every gene
by a factor of its own. `STRANGER` is a type that references leave out. Each type has one surface protein of its own,
of which it has `PROTEIN_LIFT` times as many counts as other types; batches stain differently, and cells of the two
`KINDS` differ by one more protein and by no gene.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from explorer import keys
from explorer.flow import AlignedCells, Reference
from explorer.genesets import read_collections
from explorer.reference import write_cells

TYPES = ("alpha", "beta", "gamma", "delta")
STRANGER = "stranger"
BATCHES = ("b1", "b2", "b3")
GENES = 300
MARKERS = 20
LIFT = 10.0
PATHWAYS = (
    "REACTOME_CHOLESTEROL_BIOSYNTHESIS",
    "REACTOME_SIGNALING_BY_HIPPO",
    "REACTOME_PEROXISOMAL_LIPID_METABOLISM",
    "REACTOME_AMINE_LIGAND_BINDING_RECEPTORS",
    "REACTOME_SIGNALING_BY_BMP",
)  # of the types and the stranger; no gene is in two of them
PROTEINS = ("CD3", "CD14", "CD19", "CD56", "CD34", "CD45RA")  # of the types, the stranger and the second kind
PROTEIN_LIFT = 20.0
KINDS = ("naive", "memory")


def _symbols() -> NDArray[np.object_]:
    reactome = read_collections(["reactome"])
    marking = [gene for name in PATHWAYS for gene in sorted(reactome[name])[:MARKERS]]
    return np.array([*marking, *(f"GENE{i:03d}" for i in range(len(marking), GENES))], dtype=object)


SYMBOLS = _symbols()


def markers(label: str) -> NDArray[np.object_]:
    """The planted markers of a type."""
    at = [*TYPES, STRANGER].index(label) * MARKERS
    return SYMBOLS[at : at + MARKERS]


def planted(
    types: Sequence[str] = TYPES, batches: Sequence[str] = BATCHES, cells: int = 50, seed: int = 0
) -> ad.AnnData:
    """Cells of each type in each batch, in random order: counts in X; cell_type, lineage, batch, donor in obs.

    The same batch has the same effect whatever the seed, which only draws the cells.
    """
    rng = np.random.default_rng(seed)
    label = np.repeat(np.tile(types, len(batches)), cells)
    batch = np.repeat(batches, cells * len(types))
    order = rng.permutation(len(label))
    label, batch = label[order], batch[order]
    depth = rng.lognormal(np.log(2000), 0.25, len(label))
    share = _profiles(label) * _effects(batch)
    mean = depth[:, None] * share / share.sum(1, keepdims=True)
    counts = rng.poisson(rng.gamma(8.0, mean / 8.0)).astype(np.float32)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(label),
            "lineage": pd.Categorical(np.where(np.isin(label, TYPES[:2]), "first", "second")),
            "batch": pd.Categorical(batch),
            "donor": pd.Categorical([f"donor of {name}" for name in batch]),
        },
        index=[f"cell{i}" for i in range(len(label))],
    )
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=SYMBOLS.astype(str)))


def with_proteins(cells: ad.AnnData, seed: int = 0) -> ad.AnnData:
    """The same cells with antibody counts in obsm["protein_counts"], and kind in obs."""
    rng = np.random.default_rng(seed)
    label, batch = cells.obs["cell_type"].astype(str).to_numpy(), cells.obs["batch"].astype(str).to_numpy()
    kind = rng.choice(KINDS, cells.n_obs)
    lifted = np.column_stack([*(label == name for name in (*TYPES, STRANGER)), kind == KINDS[1]])
    stained = {name: 10 * np.exp(_own_draw(f"stain of {name}").normal(0, 0.5, len(PROTEINS))) for name in set(batch)}
    mean = np.where(lifted, PROTEIN_LIFT, 1) * np.array([stained[name] for name in batch])
    counts = rng.poisson(rng.gamma(8.0, mean / 8.0)).astype(np.float32)
    out = cells.copy()
    out.obs["kind"] = pd.Categorical(kind)
    out.obsm["protein_counts"] = pd.DataFrame(counts, index=cells.obs_names, columns=list(PROTEINS))
    return out


def aligned(cells: ad.AnnData, symbols: NDArray[np.object_] = SYMBOLS) -> AlignedCells:
    """Planted cells as a method sees them: some genes in some order, totals over all of them."""
    values = sparse.csr_matrix(cells[:, list(symbols)].X)
    totals = np.asarray(cells.X.sum(1), np.float32).ravel()
    return AlignedCells(values.astype(np.float32), totals, is_counts=True)


def codes(cells: ad.AnnData, column: str = "cell_type") -> NDArray[np.int32]:
    """Position of each cell's value among the sorted values of a column."""
    return pd.Categorical(cells.obs[column].astype(str)).codes.astype(np.int32)


def gene_table(symbols: Sequence[str] | NDArray[np.object_] = SYMBOLS) -> pd.DataFrame:
    """genes.csv of a reference over planted genes."""
    return pd.DataFrame({keys.SYMBOL: symbols, keys.ENSEMBL: "", keys.MEAN: 1.0})


def bundle(cells: ad.AnnData, folder: Path) -> Reference:
    """A reference of planted cells without any method: genes and cells, as a bundle holds them."""
    obs = cells.obs.assign(**{keys.TOTALS: np.asarray(cells.X.sum(1)).ravel()})
    write_cells(folder, aligned(cells), gene_table(), obs)
    return Reference(folder, {"title": "Planted cells"}, gene_table(), obs, "")


def _profiles(label: NDArray[np.str_]) -> NDArray[np.float64]:
    base = np.random.default_rng(101).gamma(0.7, 1.0, GENES) + 0.02
    base[: MARKERS * (len(TYPES) + 1)] = 0.4  # a marker is no more and no less than its lift
    of_type = {}
    for name in (*TYPES, STRANGER):
        of_type[name] = np.where(np.isin(SYMBOLS, markers(name)), base * LIFT, base)
    return np.array([of_type[name] for name in label])


def _effects(batch: NDArray[np.str_]) -> NDArray[np.float64]:
    of_batch = {name: np.exp(_own_draw(name).normal(0, 0.3, GENES)) for name in set(batch)}
    return np.array([of_batch[name] for name in batch])


def _own_draw(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))
