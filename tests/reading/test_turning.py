"""Blocks turned round: the same as scipy finds by way of dense arrays, and nothing is lost on the way ahead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from explorer.reading.turning import ahead, turned


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 9),
    st.lists(st.integers(0, 5), min_size=1, max_size=9), st.booleans(),
)  # fmt: skip
def test_as_a_dense_twin(seed: int, cells: int, most: int, place: list[int], shuffled: bool) -> None:
    """Columns of one gene summed, genes nobody has empty, indices in any order."""
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, most, (cells, len(place))).astype(np.float32)
    block, totals = sparse.csr_matrix(dense), dense.sum(1)
    if shuffled:
        for start, stop in zip(block.indptr[:-1], block.indptr[1:], strict=True):
            order = rng.permutation(stop - start)
            block.data[start:stop] = block.data[start:stop][order]
            block.indices[start:stop] = block.indices[start:stop][order]
    summed = np.column_stack([dense[:, np.array(place) == gene].sum(1) for gene in range(6)])
    scale = (1e4 / np.maximum(totals, 1e-12)).astype(np.float32)
    twin = np.log1p(summed * scale[:, None])
    for start, stop in ((0, 6), (2, 5)):
        found = turned(block, totals, np.array(place), start, stop)
        own = sparse.csc_matrix((found.values, found.cells, found.starts), shape=(cells, stop - start))
        assert (own.toarray() == twin[:, start:stop]).all()
        assert own.has_sorted_indices
        part = found.genes(slice(1, 3))
        again = sparse.csc_matrix((part.values, part.cells, part.starts), shape=(cells, 2))
        assert (again.toarray() == twin[:, start + 1 : start + 3]).all()


def test_ahead_keeps_order_and_passes_errors_on() -> None:
    def blocks():
        yield from (1, 2, 3)
        raise ValueError("the file ends here")

    seen = []
    with pytest.raises(ValueError, match="the file ends here"):
        seen.extend(ahead(iter([0])))
        for block in ahead(blocks()):
            seen.append(block)
    assert seen == [0, 1, 2, 3]
