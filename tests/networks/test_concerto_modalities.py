"""Cells with and without proteins: how counts are scaled, what a minibatch holds, what is dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from explorer.networks.concerto import Teacher
from explorer.networks.concerto_modalities import SCALINGS, Minibatch, ModalCells, modal_cells, scaled_proteins

COUNTS = np.array([[3.0, 0.0, 1.0], [0.0, 0.0, 0.0], [np.nan, np.nan, np.nan], [7.0, np.nan, 0.0]], np.float32)
N, G, P = 40, 30, 6
CPU = torch.device("cpu")


@pytest.fixture
def cells() -> ModalCells:
    """40 cells; proteins were measured in the first 25."""
    rng = np.random.default_rng(0)
    expression = sparse.csr_matrix(np.log1p(rng.poisson(0.5, (N, G))).astype(np.float32))
    proteins = rng.poisson(5, (N, P)).astype(np.float32)
    proteins[25:] = np.nan
    return modal_cells(expression, scaled_proteins(proteins, "clr"), CPU)


def everything(cells: ModalCells) -> Minibatch:
    return cells.span(0, len(cells))


class TestScaling:
    def test_centred_log_ratio_by_hand(self) -> None:
        # geometric mean of 4, 1 and 2 is 2
        np.testing.assert_allclose(scaled_proteins(COUNTS, "clr")[0], np.log([2.5, 1, 1.5]), rtol=1e-6)

    def test_log_of_ten_thousand_by_hand(self) -> None:
        np.testing.assert_allclose(scaled_proteins(COUNTS, "log")[0], np.log([7501, 1, 2501]), rtol=1e-6)

    def test_length_one_by_hand(self) -> None:
        np.testing.assert_allclose(scaled_proteins(COUNTS, "l2")[0], np.array([3, 0, 1]) / 10**0.5, rtol=1e-6)

    @pytest.mark.parametrize("scaling", SCALINGS)
    def test_zero_stays_zero_and_what_was_not_measured_stays_so(self, scaling: str) -> None:
        found = scaled_proteins(COUNTS, scaling)
        assert (found[1] == 0).all()
        assert np.isnan(found[2]).all()
        assert list(np.isnan(found[3])) == [False, True, False]
        assert found[3, 0] > 0


class TestMinibatch:
    def test_holds_proteins_of_the_cells_that_have_them(self, cells: ModalCells) -> None:
        minibatch = cells.rows(torch.tensor([30, 3, 39, 24]))
        assert len(minibatch) == 4
        assert minibatch.parts[1].at.tolist() == [1, 3]
        torch.testing.assert_close(minibatch.parts[1].x.dense(), everything(cells).parts[1].x.dense()[[3, 24]])

    def test_a_subset_is_those_cells(self, cells: ModalCells) -> None:
        which = torch.tensor([2, 26, 5])
        found, expected = everything(cells.subset(which)), cells.rows(which)
        for mine, other in zip(found.parts, expected.parts, strict=True):
            assert mine.at.tolist() == other.at.tolist()
            torch.testing.assert_close(mine.x.dense(), other.x.dense())

    def test_modalities_are_dropped_cell_by_cell_but_never_the_last(self, cells: ModalCells) -> None:
        generator = torch.Generator().manual_seed(0)
        kept = np.zeros(2)
        for _ in range(200):
            thinned = everything(cells).thinned(0.2, generator)
            rna, protein = (set(part.at.tolist()) for part in thinned.parts)
            assert rna | protein == set(range(N))
            assert rna >= set(range(25, N))
            assert protein <= set(range(25))
            kept += len(rna & set(range(25))), len(protein)
        # dropped with probability 0.2, less the half of 0.04 in which both would be
        np.testing.assert_allclose(kept / (200 * 25), 0.82, atol=0.02)

    def test_nothing_is_dropped_without_being_asked(self, cells: ModalCells) -> None:
        whole = everything(cells)
        assert whole.thinned(0.0, torch.Generator()) is whole


class TestSum:
    @torch.no_grad()
    def test_a_cell_without_proteins_lies_where_its_rna_puts_it(self, cells: ModalCells) -> None:
        torch.manual_seed(0)
        teacher = Teacher([G, P], 16, 0.0).eval()
        whole = everything(cells)
        together, alone = teacher(whole), teacher(Minibatch(N, whole.parts[:1]))
        torch.testing.assert_close(together[25:], alone[25:])
        assert (together[:25] - alone[:25]).abs().amax(1).min() > 1e-6

    @torch.no_grad()
    def test_branches_are_added_before_the_last_layer(self, cells: ModalCells) -> None:
        torch.manual_seed(0)
        teacher = Teacher([G, P], 16, 0.0).eval()
        x = everything(cells.subset(torch.arange(25)))
        total = sum(branch(part.x) for branch, part in zip(teacher.branches, x.parts, strict=True))
        torch.testing.assert_close(teacher(x), teacher.after_sum(total))
