"""Colour by several genes at once: a list, a set that is known or was brought, or what spoke for a label."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from explorer.app import look
from explorer.app.answers.explaining import Explanation
from explorer.app.colors.coloring import ColorBy
from explorer.app.stored import own_sets
from explorer.app.stored.own_sets import OwnSets
from explorer.app.tab import bringing
from explorer.app.tab.session import Session
from explorer.app.views.base import View
from explorer.app.views.set_files import SetFilesView
from explorer.asking.painting import GENES, genes_named, name_of_genes
from explorer.genesets import SHIPPED, GeneSets, read_collections, readable
from explorer.reading.genesearch import genes_among

TOP = 20
"""Genes of an explanation that are averaged."""


class GeneSetView(View):
    """A list of genes to average, shipped sets and own ones, and the last explanation."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        wide: dict[str, Any] = {"size": "small", "sizing_mode": "stretch_width", "margin": (6, 0, 0, 0)}
        self._shipped: GeneSets = {}
        self._own: GeneSets = {}
        self._sets: GeneSets = {}  # by what they are called here
        self._list = pmui.TextAreaInput(label="Genes", placeholder="CD3E, CD3D, CD2", rows=2, max_rows=5,
                                       auto_grow=True, **wide)  # fmt: skip
        self._list.param.watch(self._choose_list, "value")
        self._known = pmui.AutocompleteInput(
            label="or a known set", options=[], case_sensitive=False, min_characters=2, restrict=True,
            search_strategy="includes", placeholder="interferon, ribosome …", **wide,
        )  # fmt: skip
        self._known.param.watch(self._choose_known, "value")
        self._files = SetFilesView(session)
        self._last = pmui.Button(
            label="What spoke for the label", variant="outlined", size="small", margin=(8, 0, 0, 0)
        )
        self._last.on_click(lambda _: self._choose_last())
        self._said = look.html(margin=(4, 0, 0, 0))
        self.panel = pn.Column(
            self._list, self._known, self._files.button, self._files.panel, self._last, self._said,
            sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip
        self.panel.param.watch(lambda event: self._open() if event.new else None, "visible")
        self.watch(self._fill, ["color", "explanation", "outcome", "show"])
        self.watch(self._read_own, ["own_sets"])
        self._fill()

    def destroy(self) -> None:
        """Let go of the session, with all parts."""
        self._files.destroy()
        super().destroy()

    def _open(self) -> None:
        """Read the sets that come with the program, the first time they may be wanted."""
        if self.session.own_sets and not self._own:
            self._read_own()
        if not self._shipped:
            self.session.attempt(
                "gene sets", "Reading gene sets", lambda: read_collections(SHIPPED), self._take_shipped
            )

    def _take_shipped(self, sets: GeneSets) -> None:
        self._shipped = sets
        self._list_known()

    def _read_own(self) -> None:
        """Read the sets of the person's files."""
        files = list(self.session.own_sets)
        self.session.attempt(
            "own sets to colour by", "Reading gene sets", lambda: [(each, own_sets.read(each)) for each in files],
            self._take_own,
        )  # fmt: skip

    def _take_own(self, files: list[tuple[OwnSets, GeneSets]]) -> None:
        self._own = {
            f"{readable(name)} ({each.mark})": genes for each, sets in files for name, genes in sets.items()
        }  # fmt: skip
        self._list_known()

    def _list_known(self) -> None:
        shipped = {readable(name): genes for name, genes in self._shipped.items()}
        self._sets = {**dict(sorted(self._own.items())), **dict(sorted(shipped.items()))}
        self._known.options = list(self._sets)

    def _choose_list(self, event: param.parameterized.Event) -> None:
        text = event.new or ""
        by = self.session.color
        if by.kind == GENES and text.split() == list(genes_named(by.name)[1]):
            return
        self._color(text, "")

    def _choose_known(self, event: param.parameterized.Event) -> None:
        genes = self._sets.get(event.new or "")
        if genes is not None:
            self._color(" ".join(sorted(genes)), event.new)

    def _choose_last(self) -> None:
        said = self.session.explanation
        if said is not None and said.signature.of == "gene":
            names = [str(name) for name in said.signature.top(TOP)["gene"]]
            self._color(" ".join(names), f"Top {len(names)} for {said.toward}")

    def _color(self, text: str, title: str) -> None:
        found, missing = genes_among(text, bringing.genes_in_front(self.session))
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
