"""Colour by several genes at once: a list, a set that comes with the program, or what spoke for a label."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from explorer import keys
from explorer.app import look
from explorer.app.coloring import GENES, ColorBy, genes_named, name_of_genes
from explorer.app.explaining import Explanation, readable
from explorer.app.genesearch import genes_among
from explorer.app.session import Session
from explorer.app.views.base import View
from explorer.genesets import SHIPPED, GeneSets, read_collections

TOP = 20
"""Genes of an explanation that are averaged."""


class GeneSetView(View):
    """A list of genes to average, shipped sets, and the last explanation."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        wide: dict[str, Any] = {"size": "small", "sizing_mode": "stretch_width", "margin": (6, 0, 0, 0)}
        self._sets: GeneSets = {}
        self._titles: dict[str, str] = {}
        self._list = pmui.TextAreaInput(label="Genes", placeholder="CD3E, CD3D, CD2", rows=2, max_rows=5,
                                       auto_grow=True, **wide)  # fmt: skip
        self._list.param.watch(self._choose_list, "value")
        self._known = pmui.AutocompleteInput(
            label="or a known set", options=[], case_sensitive=False, min_characters=2, restrict=True,
            search_strategy="includes", placeholder="interferon, ribosome …", **wide,
        )  # fmt: skip
        self._known.param.watch(self._choose_known, "value")
        self._last = pmui.Button(
            label="What spoke for the label", variant="outlined", size="small", margin=(8, 0, 0, 0)
        )
        self._last.on_click(lambda _: self._choose_last())
        self._said = look.html(margin=(4, 0, 0, 0))
        self.panel = pn.Column(
            self._list, self._known, self._last, self._said, sizing_mode="stretch_width", margin=0, visible=False
        )
        self.panel.param.watch(lambda event: self._open() if event.new else None, "visible")
        self.watch(self._fill, ["color", "explanation", "outcome", "show"])
        self._fill()

    def _genes(self) -> tuple[str, ...]:
        session = self.session
        if session.front == "query" and session.outcome is not None:
            genes: tuple[str, ...] = session.outcome.genes
            return genes
        return tuple(session.reference.genes[keys.SYMBOL]) if session.reference is not None else ()

    def _open(self) -> None:
        """Read the sets that come with the program, the first time they may be wanted."""
        if not self._sets:
            self.session.attempt(
                "gene sets", "Reading gene sets", lambda: read_collections(SHIPPED), self._take_sets
            )

    def _take_sets(self, sets: GeneSets) -> None:
        self._sets = sets
        self._titles = {readable(name): name for name in sets}
        self._known.options = sorted(self._titles)

    def _choose_list(self, event: param.parameterized.Event) -> None:
        text = event.new or ""
        by = self.session.color
        if by.kind == GENES and text.split() == list(genes_named(by.name)[1]):
            return
        self._color(text, "")

    def _choose_known(self, event: param.parameterized.Event) -> None:
        name = self._titles.get(event.new or "")
        if name is not None:
            self._color(" ".join(sorted(self._sets[name])), event.new)

    def _choose_last(self) -> None:
        said = self.session.explanation
        if said is not None and said.signature.of == "gene":
            names = [str(name) for name in said.signature.top(TOP)["gene"]]
            self._color(" ".join(names), f"Top {len(names)} for {said.toward}")

    def _color(self, text: str, title: str) -> None:
        found, missing = genes_among(text, self._genes())
        if found:
            name = name_of_genes(title or f"{len(found)} gene{'s' if len(found) > 1 else ''}", found)
            self.session.choose_color(ColorBy(GENES, name))
        left = f" Not among these cells: {', '.join(missing[:8])}{' …' if len(missing) > 8 else ''}." if missing else ""
        count = f"{len(found)} of {len(found) + len(missing)} genes averaged." if found or missing else ""
        self._said.object = f'<p class="small soft" role="status">{look.text(count + left)}</p>'

    def _fill(self) -> None:
        by, said = self.session.color, self.session.explanation
        if by.kind == GENES:
            genes = list(genes_named(by.name)[1])
            if (self._list.value or "").replace(",", " ").split() != genes:
                self._list.value = " ".join(genes)
        self._last.visible = _is_of_genes(said)


def _is_of_genes(said: Explanation | None) -> bool:
    return said is not None and said.signature.of == "gene"
