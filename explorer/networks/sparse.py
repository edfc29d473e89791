"""Sparse cells as tensors: gathered by rows, masked in sparse space, multiplied without becoming dense.

Most of an expression matrix is zero, and masking zeroes more of it. Keeping only stored values makes a
training step cost what the expressed genes cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class SparseRows:
    """A minibatch of B cells over G genes; the values of row i lie at offsets[i] : offsets[i + 1].

    Attributes
    ----------
    offsets
        int64 (B + 1,).
    indices
        int64 (nnz,), gene of each value.
    values
        float32 (nnz,).
    n_genes
        G.
    """

    offsets: Tensor
    indices: Tensor
    values: Tensor
    n_genes: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def rows(self) -> Tensor:
        """int64 (nnz,), cell of each value."""
        cells = torch.arange(len(self), device=self.offsets.device)
        return torch.repeat_interleave(cells, self.offsets[1:] - self.offsets[:-1], output_size=len(self.values))

    def masked(self, element: float, feature: float, generator: torch.Generator) -> SparseRows:
        """Drop stored values at random: each with probability `element`, each gene of the minibatch with
        probability `feature`. What stays keeps its value (no rescaling).
        """
        keep = torch.rand(len(self.values), generator=generator, device=self.values.device) >= element
        genes = torch.rand(self.n_genes, generator=generator, device=self.values.device) >= feature
        keep &= genes[self.indices]
        kept_before = torch.cat([keep.new_zeros(1, dtype=torch.int64), torch.cumsum(keep, 0)])
        return SparseRows(kept_before[self.offsets], self.indices[keep], self.values[keep], self.n_genes)

    def dense(self) -> Tensor:
        """float32 (B, G)."""
        out = self.values.new_zeros(len(self), self.n_genes)
        out[self.rows, self.indices] = self.values
        return out


@dataclass(frozen=True)
class SparseCells:
    """All cells of a training set, kept as they lie in csr, on the device that trains.

    Attributes
    ----------
    indptr
        int64 (n + 1,).
    indices
        int32 (nnz,).
    values
        float32 (nnz,).
    n_genes
        G.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    n_genes: int

    @classmethod
    def of(
        cls,
        indptr: NDArray[np.integer],
        indices: NDArray[np.integer],
        values: NDArray[np.floating],
        n_genes: int,
        device: torch.device | str = "cpu",
    ) -> SparseCells:
        """Take over the three arrays of a csr matrix."""
        return cls(
            torch.as_tensor(indptr.astype(np.int64), device=device),
            torch.as_tensor(indices.astype(np.int32), device=device),
            torch.as_tensor(values.astype(np.float32), device=device),
            n_genes,
        )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def rows(self, which: Tensor) -> SparseRows:
        """The minibatch of the cells `which`, int64 (B,)."""
        start = self.indptr[which]
        length = self.indptr[which + 1] - start
        offsets = torch.cat([length.new_zeros(1), torch.cumsum(length, 0)])
        shift = torch.repeat_interleave(start - offsets[:-1], length)
        position = torch.arange(int(offsets[-1]), device=shift.device) + shift
        return SparseRows(offsets, self.indices[position].long(), self.values[position], self.n_genes)


class SparseLinear(nn.Module):
    """A linear layer whose input is sparse: y = x W + b at the cost of the stored values of x.

    Parameters
    ----------
    n_in, n_out
        Genes and units. Weights start Kaiming-normal (fan-in, gain sqrt 2), biases at 0.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))  # transposed, so that a gene is one contiguous row
        self.bias = nn.Parameter(torch.zeros(n_out))
        nn.init.normal_(self.weight, std=(2.0 / n_in) ** 0.5)

    def forward(self, x: SparseRows) -> Tensor:
        summed = F.embedding_bag(
            x.indices, self.weight, x.offsets, mode="sum", per_sample_weights=x.values, include_last_offset=True
        )
        return summed + self.bias  # (B, n_out)
