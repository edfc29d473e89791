"""The file of a project, looked over as the person chose to have it read. Knows no widgets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer.app.before.preflight import Preflight, likely_batch, likely_label, look_over
from explorer.app.stored import library
from explorer.app.tab.mapping_jobs import Mappings
from explorer.app.words import without_flags
from explorer.errors import AtlasError
from explorer.settings import settings


class Inspected(Mappings):
    """What a file holds, and the choices that follow from it."""

    def __init__(self, *args: Any, **params: Any) -> None:
        super().__init__(*args, **params)
        self._columns_unset = self._map_when_ready = False

    def look_first(self, *, map_it: bool) -> None:
        """Look over a file that is new here: its columns are guessed, and it is mapped at once where that was asked."""
        self._columns_unset, self._map_when_ready = True, map_it
        self.look()

    def look(self) -> None:
        """Look the project's file over, with the choices as they are now."""
        if self.project is None or self.reference is None:
            return
        path, reference = Path(self.project.query), self.reference
        reading, refit_shared, in_her_words = self.reading, self.refit_shared, self.in_her_words

        def work() -> Preflight:
            try:
                found = look_over(path, reference, reading, refit_shared=refit_shared)
                return replace(found, problem=in_her_words(found.problem))
            except AtlasError as problem:
                raise type(problem)(in_her_words(str(problem))) from problem

        self.attempt("file", "Reading the file", work, self._take_in)

    def in_her_words(self, text: str) -> str:
        """A sentence without the options of the shell, and with the name that a file had on the person's computer."""
        text = without_flags(text)
        path = Path(self.project.query) if self.project is not None else Path()
        if self.project is None or not path.is_relative_to(settings().uploads):
            return text
        return text.replace(path.name, f"{self.project.title}.h5ad").replace(path.stem, self.project.title)

    def _take_in(self, found: Preflight) -> None:
        if not self._columns_unset:
            self.preflight = found
            return
        self._columns_unset = False
        demo = library.demo_of(self.project.query) if self.project is not None else None
        batch, label = (demo.sample, demo.label) if demo else (likely_batch(found), likely_label(found))
        self.param.update(preflight=found, batch=batch, own_label=label)
        if self._map_when_ready:
            self.start()

    def read_by(self, **wanted: Any) -> None:
        """Read the file otherwise: change `matrix`, `gene_names`, `orthologs` or `refit_shared`."""
        self.param.update(**wanted)
        self.look()
