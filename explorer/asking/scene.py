"""All that the panels of a figure are made from: cells, reference, and what one method or several said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import pandas as pd

from components.coloring import Categories
from explorer import keys
from explorer.asking.panel_words import Asked
from explorer.asking.reasons import level_of
from explorer.consensus import AgreedResult, LevelConsensus
from explorer.drawing.coloring import by_consensus, by_label, label_colors
from explorer.drawing.own_colors import own_colors
from explorer.errors import OptionsProblem, ReferenceProblem
from explorer.flow import LevelLabels, MappingResult, Query, Reference
from explorer.insight.by_gene import ByGene, of_genes
from explorer.reading.genesearch import genes_among
from explorer.reference import has_model_of

_NEAR, _ALIKE = 3, 0.7


@dataclass(frozen=True)
class Scene:
    """What there is to draw.

    Attributes
    ----------
    query
        The cells, with their expression.
    result
        By one method, or by several with their consensus.
    level
        Label level of panels that name none; the main one if empty.
    sets
        Collections of gene sets, as `explorer.asking.known_sets.named_set` takes them.
    """

    query: Query
    reference: Reference
    result: MappingResult | AgreedResult
    level: str | None = None
    sets: Sequence[str] = ()

    @property
    def obs(self) -> pd.DataFrame:
        """What the query says of each cell."""
        return self.result.obs

    @cached_property
    def expression(self) -> ByGene:
        """Of the query."""
        return of_genes(self.query)

    def level_of(self, asked: Asked) -> str:
        """The label level that a panel speaks of.

        Raises
        ------
        ReferenceProblem
            If there is no such level.
        """
        return level_of(self.reference, asked.text("level") or self.level)

    def one(self, asked: Asked) -> MappingResult:
        """The result whose picture a panel is drawn on: by the method that it names, else by the first.

        Raises
        ------
        OptionsProblem
            If the cells were not mapped by that method.
        ReferenceProblem
            If they were mapped onto another reference.
        """
        name = asked.text("method")
        results = self.result.results if isinstance(self.result, AgreedResult) else (self.result,)
        found = next((result for result in results if name in ("", result.method)), None)
        if found is None:
            told = ", ".join(result.method for result in results)
            raise OptionsProblem(f"These cells were not mapped by {name!r}, but by {told}. Name one of these.")
        _require_own(self.reference, found)
        return found

    def is_consensus(self, asked: Asked) -> bool:
        """Whether a panel shows what several methods say together: where there are several and it names none."""
        return isinstance(self.result, AgreedResult) and not asked.text("method")

    def consensus(self, level: str) -> LevelConsensus:
        """What several methods say together.

        Raises
        ------
        OptionsProblem
            If only one method has mapped the cells.
        """
        if not isinstance(self.result, AgreedResult):
            raise OptionsProblem(
                f"These cells were mapped by {self.result.method} alone, so there is no consensus. Map them by several "
                "methods: atlas-explorer map --method all"
            )
        return self.result.consensus.level(level)

    def labels(self, asked: Asked) -> LevelLabels:
        """The labels that a panel shows: of the consensus where there are several methods and it names none."""
        level = self.level_of(asked)
        return self.consensus(level).labels if self.is_consensus(asked) else self.one(asked).labels.level(level)

    def label_colors(self, asked: Asked) -> Mapping[str, str]:
        """Colours of labels: those that the file brings for them, else the reference's."""
        level = self.level_of(asked)
        return {**label_colors(self.reference, level), **self.brought(keys.predicted(level))}

    def brought(self, column: str) -> Mapping[str, str]:
        """Colours that the file brings for a column of obs."""
        return own_colors(self.query.path, column) if self.query.path is not None else {}

    def named_labels(self, asked: Asked) -> Categories:
        """The same labels as categories, with those called unknown apart."""
        labels, known = self.labels(asked), self.label_colors(asked)
        return by_consensus(labels, known) if self.is_consensus(asked) else by_label(
            labels, f"Predicted {labels.level}", known
        )

    def genes(self, names: str, *, in_reference: bool = False) -> list[str]:
        """Genes as the query names them, or the reference; commas or spaces between.

        Raises
        ------
        OptionsProblem
            If the cells lack one of them.
        """
        known = tuple(map(str, of_genes(self.reference).genes if in_reference else self.expression.genes))
        found, missing = genes_among(names, known)
        if missing:
            near = get_close_matches(missing[0].upper(), known, _NEAR, _ALIKE)
            hint = f" Near {missing[0]} are: {', '.join(near)}." if near else ""
            raise OptionsProblem(
                f"These cells have no gene called {', '.join(map(repr, missing))}. Name genes by their symbols or "
                f"Ensembl ids, or leave out what is not there.{hint}"
            )
        return found

    def values(self, genes: Sequence[str]) -> pd.DataFrame:
        """log1p CP10k of genes as the query names them, float32, n cells x genes; the file is read once."""
        place = {gene: at for at, gene in enumerate(self.expression.genes)}
        weights = np.zeros((len(place), len(genes)), np.float32)
        weights[[place[gene] for gene in genes], np.arange(len(genes))] = 1.0
        return pd.DataFrame(self.expression.weighted(weights), columns=list(genes))


def _require_own(reference: Reference, result: MappingResult) -> None:
    told = result.provenance
    if not has_model_of(reference, result.method, told.reference_checksum):
        raise ReferenceProblem(
            f"These cells were mapped onto {told.reference}, checksum {told.reference_checksum[:16]}; "
            f"{reference.title} holds no such {result.method} model, so they have no place in its picture. Name the "
            "reference that they were mapped onto, or map them anew."
        )
