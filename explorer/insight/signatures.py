"""What a method's answer rests on, beside what those genes do in the cells.

A score alone says that a gene speaks for a label; expression beside it says by what: because the cells have it, or
because they lack it. Knows scores and expression, not how the scores were computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from explorer.errors import OptionsProblem
from explorer.explanation import Signature
from explorer.flow import FloatArray

PRESENCE, ABSENCE = "presence", "absence"
SHOWN = 20    # genes of a signature
OF_EACH = 5   # genes of each label in a table of several


@dataclass(frozen=True)
class Expressed:
    """How some genes are expressed in a group of cells.

    Attributes
    ----------
    mean
        float32 (g,), mean log1p CP10k.
    share
        float32 (g,), share of the cells with any.
    cells
        How many cells.
    """

    mean: FloatArray
    share: FloatArray
    cells: int


@dataclass(frozen=True)
class SignatureOf:
    """A signature, and the expression it rests on.

    Attributes
    ----------
    signature
        The method's whole answer, with its error.
    chosen, against
        Which cells were explained, and which they are compared with, in words.
    table
        A row a gene, the highest score first: gene, score, mean and share in the chosen cells (`mean`, `share`), in
        the others (`mean_others`, `share_others`), `difference` of the means, and `speaks_by`: "presence" where the
        gene is higher in the chosen cells than in the others, else "absence". A negative score speaks against the
        label; what it speaks by is told the same way.
    cells, others
        How many of each.
    """

    signature: Signature
    chosen: str
    against: str
    table: pd.DataFrame
    cells: int
    others: int

    def top(self, n: int = SHOWN) -> pd.DataFrame:
        """The n genes that speak most for the label."""
        return self.table.head(n)


def expressed(logged: sparse.csr_matrix) -> Expressed:
    """Mean and share of cells of each gene.

    Parameters
    ----------
    logged
        csr float32 (n, g), log1p CP10k as `AlignedCells.log1p` gives it.
    """
    n = logged.shape[0]
    mean = np.asarray(logged.sum(0), np.float64).ravel() / max(1, n)
    share = np.bincount(logged.indices[logged.data > 0], minlength=logged.shape[1]) / max(1, n)
    return Expressed(mean.astype(np.float32), share.astype(np.float32), n)


def beside_expression(signature: Signature, chosen: Expressed, others: Expressed, told: Sequence[str]) -> SignatureOf:
    """Set the expression of its genes beside a signature.

    Parameters
    ----------
    chosen, others
        Of the cells that were explained and of those they are compared with, in the order of the signature's genes.
    told
        Both in words.

    Raises
    ------
    OptionsProblem
        If the signature is of pathways or proteins, which have no expression of their own.
    """
    if signature.of != "gene":
        raise OptionsProblem(
            f"{signature.measure} scores {signature.of}s; expression stands beside genes only. Choose a measure that "
            "scores genes."
        )
    difference = chosen.mean - others.mean
    table = pd.DataFrame(
        {
            "gene": signature.names,
            "score": signature.scores,
            "mean": chosen.mean,
            "share": chosen.share,
            "mean_others": others.mean,
            "share_others": others.share,
            "difference": difference,
            "speaks_by": np.where(difference > 0, PRESENCE, ABSENCE),
        }
    )
    ranked = table.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    return SignatureOf(signature, told[0], told[1], ranked, chosen.cells, others.cells)


def dots(of_labels: Sequence[SignatureOf], groups: dict[str, Expressed], n: int = OF_EACH) -> pd.DataFrame:
    """The top genes of several labels in each of several groups of cells: what a dot plot draws.

    Parameters
    ----------
    of_labels
        Signatures over the same genes.
    groups
        Expression of those genes, in the order of the signatures' genes, by group.
    n
        Genes of each label; one that is at the top of two labels stands with the first.

    Returns
    -------
    DataFrame
        A row a gene and group: gene, of (the label whose top gene it is), group, mean, share, and score, the gene's
        for that group's label, NaN for a group that is no label asked for.
    """
    names = of_labels[0].signature.names if of_labels else np.array([], dtype=object)
    position = {str(gene): at for at, gene in enumerate(names)}
    scores = {each.signature.toward: each.signature.scores for each in of_labels}
    top: dict[str, str] = {}
    for each in of_labels:
        for gene in each.top(n)["gene"]:
            top.setdefault(str(gene), each.signature.toward)
    rows = [
        {
            "gene": gene,
            "of": label,
            "group": group,
            "mean": float(found.mean[position[gene]]),
            "share": float(found.share[position[gene]]),
            "score": float(scores[group][position[gene]]) if group in scores else float("nan"),
        }
        for gene, label in top.items()
        for group, found in groups.items()
    ]
    return pd.DataFrame(rows, columns=["gene", "of", "group", "mean", "share", "score"])


def joined(of_labels: Sequence[SignatureOf]) -> pd.DataFrame:
    """All signatures as one table: label, chosen, against, error, and the columns of each."""
    parts = [
        each.table.assign(
            label=each.signature.toward, chosen=each.chosen, against=each.against, error=each.signature.error
        )
        for each in of_labels
    ]
    table = pd.concat(parts, ignore_index=True)
    first = ["label", "chosen", "against", "error"]
    return table[[*first, *(column for column in table if column not in first)]]
