"""Gene sets: files as they come, and which sets are taken."""

from __future__ import annotations

import gzip
from math import comb
from pathlib import Path

import numpy as np
import pytest

from explorer.errors import FileProblem
from explorer.genesets import (
    GENE_SETS,
    SHIPPED,
    GeneSets,
    Members,
    chosen,
    collection_file,
    members_among,
    most_covered,
    over_representation,
    random_twins,
    read_collections,
    read_gmt,
    without_near_duplicates,
)


def letters(text: str) -> frozenset[str]:
    return frozenset(text)


def at(text: str) -> np.ndarray:
    return np.array([ord(letter) - ord("A") for letter in text])


SETS: GeneSets = {
    "s1": letters("ABCDEFG"),
    "s2": letters("ABCD"),
    "s3": letters("HIJKL"),
    "s4": letters("ABCDEFGHIJKLMNOPQRST"),
    "s5": letters("FGHIJK"),
}


def covered(sets: GeneSets, genes: list[str], n: int, smallest: int = 5, largest: int = 300) -> Members:
    return most_covered(members_among(sets, genes, largest), n, smallest)


def test_sets_with_five_genes_at_hand_and_not_too_large_are_taken() -> None:
    """Published example: overlaps of 7, 4, 5, 12 and 6 genes."""
    found = covered(SETS, list("ABCDEFGHIJKL"), n=10, smallest=5, largest=10)
    assert {name: len(at) for name, at in found.items()} == {"s1": 7, "s3": 5, "s5": 6}
    assert found["s5"].tolist() == [5, 6, 7, 8, 9, 10]


def test_the_best_covered_are_taken_first_and_stay_in_the_order_of_the_file() -> None:
    twins = {"later": SETS["s1"], "earlier": letters("HIJKLFG"), "small": SETS["s3"]}
    genes = list("ABCDEFGHIJKL")
    assert list(covered(twins, genes, n=2)) == ["later", "earlier"]
    assert list(covered(twins, genes, n=1)) == ["earlier"]  # equally covered: by name
    assert list(covered(SETS, genes, n=1)) == ["s4"]


def test_over_representation_of_the_published_example() -> None:
    """5 of a set of 7 among 12 genes out of 100; the tail summed by hand beside it."""
    found = over_representation(np.array([5]), np.array([7]), 12, 100)
    by_hand = sum(comb(7, k) * comb(93, 12 - k) for k in (5, 6, 7)) / comb(100, 12)
    assert found[0] == pytest.approx(1.9452558e-4, rel=1e-7)
    assert found[0] == pytest.approx(by_hand, rel=1e-12)


def test_enriched_sets_are_those_that_the_chosen_genes_are_full_of() -> None:
    """A set of 40 measured genes holds more of the chosen ones than a set of 6, but only as many as by chance."""
    measured = np.array([f"G{i:03d}" for i in range(100)], dtype=object)
    genes = measured[:30]
    sets = {
        "large": frozenset(measured[20:60]),
        "full": frozenset(measured[:6]),
        "half": frozenset(measured[24:36]),
        "few": frozenset(measured[[0, 1, 2, 3, 99]]),
    }
    ways = {"select": "enrichment", "distinct": False, "seed": 0}
    assert list(chosen(sets, genes, measured, 1, **ways)) == ["full"]
    assert list(chosen(sets, genes, measured, 2, **ways)) == ["full", "half"]
    assert list(chosen(sets, genes, measured, 9, **ways)) == ["large", "full", "half"]  # four genes are too few
    assert list(chosen(sets, genes, measured, 1, **{**ways, "select": "overlap"})) == ["large"]


def test_random_sets_are_as_large_as_those_they_stand_for() -> None:
    real = {"one": at("ABCDE"), "other": at("BCDEFGH")}
    drawn = random_twins(real, 1000, seed=0)
    assert {name: len(set(found)) for name, found in drawn.items()} == {"one": 5, "other": 7}
    assert not set(drawn["other"]) & set(real["other"])
    np.testing.assert_array_equal(drawn["one"], random_twins(real, 1000, seed=0)["one"])


def test_of_sets_that_are_nearly_the_same_the_larger_is_kept() -> None:
    """A to E is 5/6 of A to F: above 0.8. A to D is 4/6 of it. Twins go by name."""
    sets = {"d": at("ABCD"), "e": at("ABCDE"), "f": at("ABCDEF"), "twin": at("ABCDEF"), "z": at("XYZ")}
    assert list(without_near_duplicates(sets)) == ["d", "f", "z"]
    assert list(without_near_duplicates(sets, most=0.6)) == ["f", "z"]


def test_mouse_symbols_meet_human_sets() -> None:
    found = covered({"t cells": frozenset({"CD3E", "CD3D", "CD247"})}, ["Cd247", "Xkr4", "Cd3e"], n=1, smallest=2)
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

@pytest.mark.parametrize("name", ["binary.gmt", "not packed.gmt.gz"])
def test_what_is_no_text_is_no_gmt_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    with pytest.raises(FileProblem, match="is no text that can be read"):
        read_gmt(tmp_path / name)



def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match=r"There is no gene set file none\.gmt"):
        read_gmt(tmp_path / "none.gmt")


@pytest.mark.parametrize(
    ("collection", "sets", "known", "genes"),
    [
        ("reactome", 674, "REACTOME_TCR_SIGNALING", {"CD3E", "CD3D", "CD247"}),
        ("go_bp", 8730, "B_CELL_RECEPTOR_SIGNALING_PATHWAY__GO:0050853", {"CD79A", "CD79B", "BLK"}),
    ],
)
def test_collections_ship(collection: str, sets: int, known: str, genes: set[str]) -> None:
    found = read_collections([collection])
    assert len(found) == sets
    assert genes <= found[known]


def test_own_sets_come_beside_those_that_ship(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gmt"
    mine.write_text("my program\tx\tMS4A1\tCD79A\n", encoding="utf-8")
    both = read_collections(["reactome", str(mine)])
    assert len(both) == 675
    assert both["my program"] == {"MS4A1", "CD79A"}


def test_a_collection_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(FileProblem, match=r"no gene set file hallmark\. Name a GMT file .* program: reactome, go_bp\."):
        collection_file("hallmark")


def test_every_file_is_described() -> None:
    text = (GENE_SETS / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in GENE_SETS.glob("*.gz")} == set(SHIPPED.values())
    assert all(f"`{name}`" in text for name in SHIPPED.values())
