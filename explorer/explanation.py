"""What an answer rests on, as methods tell it: scores of genes or pathways, and the genes of a pathway."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from explorer.flow import FloatArray


@dataclass(frozen=True)
class Signature:
    """What an answer rests on: scores of genes or of pathways.

    Attributes
    ----------
    names
        Gene symbols or pathways (g,), in the method's order.
    scores
        float32 (g,), signed: what scores above 0 speaks for `toward`.
    toward
        What they speak for, e.g. a label.
    measure
        How they were computed, in a few words.
    error
        Completeness error of the explanation: what the scores fail to account for, relative to what they
        should sum to; NaN where a measure has no such identity.
    of
        What `names` are: "gene", "pathway" or "protein".
    note
        What the scores leave out, one sentence; "" where nothing is to be said.
    """

    names: NDArray[np.object_]
    scores: FloatArray
    toward: str
    measure: str
    error: float
    of: str = "gene"
    note: str = ""

    def top(self, n: int = 20) -> pd.DataFrame:
        """The n that speak most for `toward`: columns named after what they are (gene, pathway), and score."""
        order = np.argsort(-self.scores, kind="stable")[:n]
        return pd.DataFrame({self.of: self.names[order], "score": self.scores[order]})


@dataclass(frozen=True)
class PathwayGenes:
    """The genes of a pathway as a model weighs them.

    Attributes
    ----------
    pathway
        Its name.
    genes
        Symbols (k,).
    weights
        float32 (k, h), what each gene adds to the pathway's token per unit of expression.
    spread
        float32 (k,), standard deviation of each gene's expression in the reference.
    """

    pathway: str
    genes: NDArray[np.object_]
    weights: FloatArray
    spread: FloatArray
