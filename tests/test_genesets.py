"""Gene sets: files as they come, and which sets are taken."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from explorer.errors import FileProblem
from explorer.genesets import GENE_SETS, GeneSets, most_covered, read_gmt, shipped


def letters(text: str) -> frozenset[str]:
    return frozenset(text)


SETS: GeneSets = {
    "s1": letters("ABCDEFG"),
    "s2": letters("ABCD"),
    "s3": letters("HIJKL"),
    "s4": letters("ABCDEFGHIJKLMNOPQRST"),
    "s5": letters("FGHIJK"),
}


def test_sets_with_five_genes_at_hand_and_not_too_large_are_taken() -> None:
    found = most_covered(SETS, list("ABCDEFGHIJKL"), n=10, smallest=5, largest=10)
    assert {name: len(at) for name, at in found.items()} == {"s1": 7, "s3": 5, "s5": 6}
    assert found["s5"].tolist() == [5, 6, 7, 8, 9, 10]


def test_the_best_covered_are_taken_first_and_stay_in_the_order_of_the_file() -> None:
    twins = {"later": SETS["s1"], "earlier": letters("HIJKLFG"), "small": SETS["s3"]}
    genes = list("ABCDEFGHIJKL")
    assert list(most_covered(twins, genes, n=2)) == ["later", "earlier"]
    assert list(most_covered(twins, genes, n=1)) == ["earlier"]  # equally covered: by name
    assert list(most_covered(SETS, genes, n=1)) == ["s4"]


def test_mouse_symbols_meet_human_sets() -> None:
    found = most_covered({"t cells": frozenset({"CD3E", "CD3D", "CD247"})}, ["Cd247", "Xkr4", "Cd3e"], n=1, smallest=2)
    assert found["t cells"].tolist() == [0, 2]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_a_gmt_file_is_read_as_it_comes(tmp_path: Path, packed: bool) -> None:
    text = "b cells\thttps://example.org\tMS4A1\tCd79a\t\nempty lines do not matter\tx\tA\n\n"
    path = tmp_path / ("sets.gmt.gz" if packed else "sets.gmt")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert read_gmt(path) == {"b cells": {"MS4A1", "CD79A"}, "empty lines do not matter": {"A"}}


def test_a_line_without_genes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("b cells\tx\tMS4A1\nt cells: CD3E, CD3D\n", encoding="utf-8")
    with pytest.raises(FileProblem, match=r"Line 2 of sets\.gmt names no gene"):
        read_gmt(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match=r"There is no gene set file none\.gmt"):
        read_gmt(tmp_path / "none.gmt")


def test_reactome_ships() -> None:
    sets = shipped(["reactome"])
    assert len(sets) == 1743
    assert {"CD3E", "CD3D", "CD3G"} <= sets["REACTOME_CO_INHIBITION_BY_PD_1"]
    assert {len(genes) for genes in sets.values()} <= set(range(5, 301))


def test_every_file_is_described() -> None:
    text = (GENE_SETS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in text for path in GENE_SETS.glob("*.gz"))
