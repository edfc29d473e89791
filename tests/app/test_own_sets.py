"""Gene sets that a person brings: what is refused and why, and where they turn up; without a browser."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from sessions import opened, run

from explorer import keys
from explorer.app.answers.pathways import LISTED, Ranked, look_up
from explorer.app.stored import own_sets
from explorer.app.tab import bringing
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.explore.geneset import GeneSetView
from explorer.app.views.tabs.pathways import PathwaysView
from explorer.asking.painting import GENES, genes_named
from explorer.errors import AtlasError, FileProblem, GenesProblem

GENES_HERE = ("CD3E", "CD3D", "CD2", "MS4A1", "CD79A", "ISG15")


def gmt(folder: Path, text: str, name: str = "mine.gmt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "holds no gene set", id="empty"),
        pytest.param("A,b,CD3E\n", r"Line 1 of mine\.gmt names no gene", id="commas"),
        pytest.param("A\tb\t9636\t3434\n", "look like Entrez ids", id="entrez"),
        pytest.param("A\tb\tAT1G01010\n", "None of the 1 genes of mine.gmt is among those of these cells", id="plant"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(home: Path, text: str, said: str) -> None:
    with pytest.raises(AtlasError, match=said):
        own_sets.take_in(gmt(home, text, "0123.gmt"), "mine.gmt", GENES_HERE)


def test_too_many_sets_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_sets, "MOST_SETS", 2)
    with pytest.raises(FileProblem, match=r"holds 3 gene sets; at most 2"):
        own_sets.take_in(gmt(home, "A\tb\tCD2\nB\tb\tCD2\nC\tb\tCD2\n"), "mine.gmt", GENES_HERE)


def test_a_file_is_kept_by_its_checksum_and_ensembl_ids_are_symbols(home: Path) -> None:
    path = gmt(home, "T cells\tb\tENSG00000198851\tcd3d\tNOWHERE1\n")
    own = own_sets.take_in(path, "Häm.gmt", GENES_HERE)
    assert own.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (own.sets, own.genes, own.found) == (1, 3, 2)
    path.unlink()
    assert own_sets.read(own) == {"T cells": {"CD3E", "CD3D", "NOWHERE1"}}
    assert own.checksum[:8] in own.told and own.told.startswith("Häm.gmt (1 set")
    own.path.unlink()
    with pytest.raises(FileProblem, match=r"Häm\.gmt is not on this server any more"):
        own_sets.read(own)


def test_a_table_of_own_sets_says_where_they_come_from(home: Path) -> None:
    genes = [f"G{at}" for at in range(100)]
    sets = "planted\tb\t" + "\t".join(genes[:8]) + "\nsmall\tb\tG1\n"
    own = own_sets.take_in(gmt(home, sets), "mine.gmt", genes)
    ranked = Ranked(pd.DataFrame({"gene": genes, "score": [9.0] * 8 + [-1.0] * 92, "adjusted_p": [0.0] * 100}), "test")
    found = look_up(ranked, (), LISTED, own=own)
    assert found.table["gene_set"].tolist() == ["planted"] and found.table["found"].tolist() == [8]
    assert own.checksum[:8] in found.source and found.source in found.told
    assert "without 1 of fewer than 5 genes" in found.told
    assert found.named("Planted") == f"Planted (mine.gmt {own.checksum[:8]})"
    with pytest.raises(GenesProblem, match="gene sets holds 5 of"):
        look_up(Ranked(ranked.table.assign(gene=[f"H{at}" for at in range(100)]), "test"), (), LISTED, own=own)


def test_brought_sets_are_offered_colour_cells_and_stay_with_the_project(home: Path) -> None:
    async def steps() -> None:
        session = await opened()
        colors, pathways = GeneSetView(session), PathwaysView(session)
        bringing.bring(session, lambda: gmt(home, "NOTHING\tb\tNO1\n"), "mine.gmt")
        await session.settled()
        assert session.standing(bringing.TOPIC).phase is Phase.FAILED
        symbols = session.reference.genes[keys.SYMBOL]
        bringing.bring(session, lambda: gmt(home, f"MY_T_CELLS\tb\t{symbols[0]}\t{symbols[1]}\n"), "mine.gmt")
        await session.settled()
        (own,) = session.own_sets
        assert pathways._collections.value == own.mark
        colors._known.value = f"My t cells ({own.mark})"
        await session.settled()
        title, genes = genes_named(session.color.name)
        assert (session.color.kind, title) == (GENES, f"My t cells ({own.mark})")
        assert set(genes) == {symbols[0], symbols[1]}
        assert own.checksum[:8] in session.coloring.title

        other = Session()
        other.resume(session.project.id)
        for _ in range(3):
            await other.settled()
        assert other.own_sets == [own]
        bringing.put_away(other, own.checksum)
        assert own.mark in pathways._collections.options and other.own_sets == []
        colors.destroy()
        pathways.destroy()

    run(steps)
