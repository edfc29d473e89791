"""The reference bundle on disk: write, open, check, read parts of it.

A bundle is a folder one can read with the eyes:

    card.json            what it is, and a sha256 of every other file
    genes.csv            symbol, ensembl, mean_expression; the order is the contract
    cells.h5ad           obs, and counts stored gene-major, so that one gene is one short read; surface proteins
    methods/<name>/      config.json and weights.safetensors: the model; embedding.npy, layout.npy: the reference's own
                         cells; heads.safetensors, calibration.json: labels and doubt; rna/: the same for
                         queries without proteins, where the method places cells by proteins too
    expression/          config.json, weights.safetensors: a regression on expression, one for all methods
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, write_elem
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from explorer import keys
from explorer.doubt.examined import Examined
from explorer.doubt.labels import LevelHead, LinearHead
from explorer.doubt.novelty import Expected, Strayed
from explorer.doubt.strangeness import Basis, Shapes
from explorer.errors import ReferenceProblem
from explorer.flow import AlignedCells, FloatArray, IntArray, Reference

SCHEMA = 1
CARD_KEYS = {"title", "labels", "methods", "files"}
# bytes of like weight side by side: ascending row numbers take a third less room
PACKED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
HEAD_ARRAYS = ("weight", "bias", "prototypes", "shares", "spread", "means", "inverse", "scale")
HELD_OUT_ARRAYS = ("both", "alone")
BASIS_ARRAYS = {"mean": np.float32, "loadings": np.float16, "variance": np.float32}  # once a method
EXAMINED_ARRAYS = {"rows": np.int32, "codes": np.int32, "batches": np.int32, "probabilities": np.float16}


def open_reference(folder: Path | str) -> Reference:
    """Open a bundle and check every file against its checksum.

    Parameters
    ----------
    folder
        The bundle; nothing but card, genes and obs is read into memory.

    Raises
    ------
    ReferenceProblem
        If the folder is no bundle, was written by a newer program, or a file is missing or altered.
    """
    folder = Path(folder)
    card = _read_card(folder)
    for name, expected in card["files"].items():
        file = folder / name
        if not file.is_file():
            raise ReferenceProblem(
                f"The reference {folder.name} is incomplete: {name} is missing. Copy the whole folder again."
            )
        if _sha256(file) != expected:
            raise ReferenceProblem(
                f"The reference {folder.name} is damaged: {name} differs from what its card recorded. "
                "Copy the folder again, or rebuild it."
            )
    genes = pd.read_csv(folder / keys.GENES_FILE, keep_default_na=False, dtype={keys.SYMBOL: str, keys.ENSEMBL: str})
    with h5py.File(folder / keys.CELLS_FILE, "r") as file:
        obs = read_elem(file["obs"])
    return Reference(folder, card, genes, obs, _checksum_of(card["files"]))


def _read_card(folder: Path) -> dict[str, Any]:
    file = folder / keys.CARD_FILE
    if not folder.is_dir() or not file.is_file():
        raise ReferenceProblem(
            f"{folder} is no reference: a reference is a folder that holds {keys.CARD_FILE}. "
            "Build one with: atlas-explorer build CELLS.h5ad OUT.atlas --labels COLUMN --batch COLUMN"
        )
    damaged = ReferenceProblem(f"The reference {folder.name} is damaged: {file.name} cannot be read. Copy it again.")
    try:
        card = dict(json.loads(file.read_text(encoding="utf-8")))
        schema = int(card["schema"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged from error
    if schema > SCHEMA:
        raise ReferenceProblem(
            f"The reference {folder.name} was written by a newer Atlas Explorer (format {schema}; this one reads "
            f"up to {SCHEMA}). Bring the program up to date: git pull, then pip install ."
        )
    if not card.keys() >= CARD_KEYS or not {keys.GENES_FILE, keys.CELLS_FILE} <= set(card["files"]):
        raise damaged
    return card


def method_folder(reference: Reference, method: str) -> Path:
    """Folder of a trained method.

    Raises
    ------
    ReferenceProblem
        If the bundle does not hold that method.
    """
    if method not in reference.methods:
        raise ReferenceProblem(
            f"The reference {reference.title} holds no model called {method!r}; "
            f"it holds: {', '.join(reference.methods)}."
        )
    return reference.folder / keys.METHODS_FOLDER / method


def model_folder(reference: Reference, method: str) -> Path:
    """Folder of the model that maps: the one refitted on the query's panel where there is one, else the bundle's own.

    Raises
    ------
    ReferenceProblem
        If the bundle does not hold that method.
    """
    own = method_folder(reference, method)
    refitted = reference.refitted.get(method)
    return own if refitted is None else refitted.folder


def read_embedding(reference: Reference, method: str) -> FloatArray:
    """Where a method places the reference's own cells, float32 (m, d), memory-mapped.

    Raises
    ------
    ReferenceProblem
        If the bundle does not hold that method.
    """
    return _array(model_folder(reference, method) / keys.EMBEDDING_FILE)


def read_layout(reference: Reference, method: str) -> FloatArray:
    """The picture that query cells are placed in, float32 (m, 2), memory-mapped; one for all panels.

    Raises
    ------
    ReferenceProblem
        If the bundle does not hold that method.
    """
    return _array(method_folder(reference, method) / keys.LAYOUT_FILE)


def _array(path: Path) -> FloatArray:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False), np.float32)


def label_codes(reference: Reference, level: str, classes: tuple[str, ...]) -> IntArray:
    """int32 (m,), position of each reference cell's label in `classes`, -1 where it has none."""
    return pd.Categorical(reference.obs[level].astype(object), categories=list(classes)).codes.astype(np.int32)


def has_expression(reference: Reference) -> bool:
    """Whether the bundle holds expression, or was shared without."""
    with h5py.File(reference.folder / keys.CELLS_FILE, "r") as file:
        return "X" in file


def read_gene(reference: Reference, symbol: str) -> FloatArray:
    """log1p CP10k of one gene in every reference cell, float32 (m,).

    Raises
    ------
    ReferenceProblem
        If the reference does not hold that gene, or no expression at all.
    """
    found = np.flatnonzero(reference.genes[keys.SYMBOL].to_numpy() == symbol)
    if len(found) == 0:
        raise ReferenceProblem(f"The reference {reference.title} holds no gene called {symbol!r}.")
    with h5py.File(reference.folder / keys.CELLS_FILE, "r") as file:
        if "X" not in file:
            raise ReferenceProblem(f"The reference {reference.title} was shared without expression values.")
        start, stop = file["X/indptr"][found[0] : found[0] + 2]
        rows = file["X/indices"][start:stop]
        counts = file["X/data"][start:stop].astype(np.float32)
    totals = reference.obs[keys.TOTALS].to_numpy(np.float32)
    out = np.zeros(reference.n_cells, np.float32)
    out[rows] = np.log1p(counts * 1e4 / totals[rows])
    return out


def read_proteins(reference: Reference) -> FloatArray | None:
    """Counts of the proteins on the card, float32 (m, p), NaN where not measured; `None` without any."""
    if not reference.proteins:
        return None
    with h5py.File(reference.folder / keys.CELLS_FILE, "r") as file:
        table = read_elem(file[f"obsm/{keys.PROTEINS}"])
    return np.asarray(table[list(reference.proteins)].to_numpy(np.float32))


def write_cells(
    folder: Path, cells: AlignedCells, genes: pd.DataFrame, obs: pd.DataFrame, proteins: Sequence[str] = ()
) -> None:
    """Write genes.csv and cells.h5ad: obs, var and the values, gene-major, as an h5ad that anything can open.

    Parameters
    ----------
    folder
        An existing folder.
    cells
        m reference cells over g genes; counts below 65,536 are stored as uint16, other values as float32.
    genes
        symbol, ensembl and mean_expression of those genes, in the order of the columns.
    obs
        One row a cell.
    proteins
        Names of the columns of `cells.proteins`, which become a table in obsm.
    """
    genes.to_csv(folder / keys.GENES_FILE, index=False)
    values = sparse.csc_matrix(cells.values)
    values.sort_indices()
    if cells.is_counts and values.data.max(initial=0) < 2**16:
        values = values.astype(np.uint16)
    var = genes.set_index(pd.Index(genes[keys.SYMBOL], name=None))
    adata = AnnData(obs=obs, var=var)
    if cells.proteins is not None:
        adata.obsm[keys.PROTEINS] = pd.DataFrame(cells.proteins, index=obs.index, columns=list(proteins))
    adata.write_h5ad(folder / keys.CELLS_FILE, compression="gzip", compression_opts=9)
    with h5py.File(folder / keys.CELLS_FILE, "r+") as file:
        if "X" in file:
            del file["X"]
        write_elem(file, "X", values, dataset_kwargs=PACKED)


def write_heads(folder: Path, heads: tuple[LevelHead, ...]) -> None:
    """Write what label transfer learned from the reference: heads.safetensors and calibration.json.

    Parameters
    ----------
    folder
        Of a method, of its `rna` variant, or of the regression on expression.
    heads
        One a label level. Strangeness of held-out cells and probabilities are rounded to float16.
    """
    arrays: dict[str, NDArray[Any]] = {}
    summary = []
    for head in heads:
        of_level = {
            "weight": head.linear.weight,
            "bias": head.linear.bias,
            "prototypes": head.prototypes,
            "shares": head.expected.shares,
            "spread": head.expected.spread,
            "means": head.shapes.means,
            "inverse": head.shapes.inverse,
            "scale": head.held_out.scale,
        }
        arrays |= {f"{head.level}.{name}": np.ascontiguousarray(array, np.float32) for name, array in of_level.items()}
        for name in HELD_OUT_ARRAYS:
            arrays[f"{head.level}.{name}"] = np.concatenate(getattr(head.held_out, name)).astype(np.float16)
        arrays |= {name: np.ascontiguousarray(getattr(head.basis, name), kind) for name, kind in BASIS_ARRAYS.items()}
        arrays |= examined_arrays(head.level, head.examined)
        summary.append(
            {
                "level": head.level,
                "classes": list(head.classes),
                "head": head.head,
                "temperature": head.temperature,
                "held_out_cells": [len(d) for d in head.held_out.both],
                **({"added_labels": head.held_out.added} if head.held_out.added else {}),
                "scores": head.scores,
                "reach": head.reach,
            }
        )
    save_file(arrays, folder / keys.HEADS_FILE)
    (folder / keys.CALIBRATION_FILE).write_text(json.dumps(summary, indent=1), encoding="utf-8")


def read_heads(folder: Path) -> tuple[LevelHead, ...]:
    """Read what `write_heads` wrote, in the order of label levels; stored float16 values come back as float32.

    Raises
    ------
    ReferenceProblem
        If the files do not belong together, or an older version wrote them.
    """
    try:
        arrays = load_file(folder / keys.HEADS_FILE)
        summary = json.loads((folder / keys.CALIBRATION_FILE).read_text(encoding="utf-8"))
        levels = [entry["level"] for entry in summary if f"{entry['level']}.weight" in arrays]
        if any(f"{level}.examined_rows" not in arrays or "loadings" not in arrays for level in levels):
            raise ReferenceProblem(
                f"{folder} was written by an older Atlas Explorer, which kept less of left-out cells than novelty and "
                "prediction sets need now. Build the reference again: atlas-explorer build"
            )
        return tuple(_head(entry, arrays) for entry in summary)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ReferenceProblem(f"The calibration in {folder} cannot be read. Copy the reference again.") from error


def _head(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> LevelHead:
    of_level = {name: arrays[f"{entry['level']}.{name}"] for name in HEAD_ARRAYS}
    ends = np.cumsum(entry["held_out_cells"])[:-1]
    stored = (arrays[f"{entry['level']}.{name}"].astype(np.float32) for name in HELD_OUT_ARRAYS)
    both, alone = (tuple(np.split(strange, ends)) for strange in stored)
    return LevelHead(
        level=entry["level"],
        classes=tuple(entry["classes"]),
        head=entry["head"],
        temperature=entry["temperature"],
        linear=LinearHead(of_level["weight"], of_level["bias"]),
        prototypes=of_level["prototypes"],
        expected=Expected(of_level["shares"], of_level["spread"]),
        basis=Basis(**{name: arrays[name].astype(np.float32) for name in BASIS_ARRAYS}),
        shapes=Shapes(of_level["means"], of_level["inverse"]),
        held_out=Strayed(of_level["scale"], both, alone, entry.get("added_labels", 0)),
        scores=entry["scores"],
        reach=entry["reach"],
        examined=read_examined(entry["level"], arrays),
    )


def examined_arrays(level: str, examined: Examined) -> dict[str, NDArray[Any]]:
    """Answers to left-out cells as they are stored: int32 (n,) rows, codes and batches, float16 (n, classes)."""
    return {
        f"{level}.examined_{name}": np.ascontiguousarray(getattr(examined, name), dtype)
        for name, dtype in EXAMINED_ARRAYS.items()
    }


def read_examined(level: str, arrays: Mapping[str, NDArray[Any]]) -> Examined:
    """What `examined_arrays` stored; probabilities as float32, rows that sum to 1 again."""
    held = {name: arrays[f"{level}.examined_{name}"] for name in EXAMINED_ARRAYS}
    probabilities = held["probabilities"].astype(np.float32)
    probabilities /= probabilities.sum(1, keepdims=True)  # half precision has rounded them
    return Examined(held["rows"].astype(np.int64), held["codes"], held["batches"], probabilities)


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write card.json with checksums of all files in the bundle; the last step of writing one."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != keys.CARD_FILE)
    listed = {p.relative_to(folder).as_posix(): _sha256(p) for p in files}
    part = folder / (keys.CARD_FILE + ".part")
    part.write_text(json.dumps({**card, "schema": SCHEMA, "files": listed}, indent=1), encoding="utf-8")
    for file in files:  # safetensors writes files that nobody else can read, and a lab shares its references
        file.chmod(part.stat().st_mode)
    part.replace(folder / keys.CARD_FILE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_model_of(reference: Reference, method: str, checksum: str) -> bool:
    """Whether a bundle of that checksum held the same model: this bundle, or this one with less beside the model."""
    files = reference.card["files"]
    others = [f"{keys.METHODS_FOLDER}/{name}/" for name in reference.methods if name != method]
    others.append(f"{keys.EXPRESSION_FOLDER}/")
    for n in range(len(others) + 1):
        for gone in combinations(others, n):
            if _checksum_of({name: digest for name, digest in files.items() if not name.startswith(gone)}) == checksum:
                return True
    return False


def _checksum_of(files: Mapping[str, str]) -> str:
    listing = "\n".join(f"{name} {digest}" for name, digest in sorted(files.items()))
    return hashlib.sha256(listing.encode()).hexdigest()
