"""Own gene sets: a GMT file dropped into the page or named by its path on the server, and those brought before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.file_drop import FileDrop
from explorer.app import look
from explorer.app.stored import uploads
from explorer.app.stored.own_sets import OwnSets
from explorer.app.tab import bringing
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.views.source import allowed_path
from explorer.settings import settings

_WHAT = "A GMT file: a line a set, with its name, a description and its genes, tabs between. Symbols or Ensembl ids."


class SetFilesView(View):
    """Brings files of gene sets and lists those of the project.

    Attributes
    ----------
    button
        Unfolds the panel, to be placed among other choices.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.button = pmui.Button(
            label="Bring own sets", icon="upload_file", variant="text", size="small", margin=(8, 8, 4, 0)
        )
        self.button.on_click(self._fold)
        self._drop = FileDrop(
            url=look.route("upload"), accept=list(uploads.OF_SETS), label="Drop a .gmt file", hint="or .gmt.gz",
            max_size=uploads.SET_BYTES, min_height=104, sizing_mode="stretch_width", margin=(4, 0, 0, 0),
        )  # fmt: skip
        self._drop.param.watch(self._uploaded, "state")
        self._path = pmui.TextInput(label="Path on the server", size="small", sizing_mode="stretch_width",
                                    margin=(8, 6, 0, 0))  # fmt: skip
        open_path = pmui.Button(label="Open", variant="outlined", size="small", margin=(9, 0, 0, 0))
        open_path.on_click(self._open_path)
        self._standing = Standing()
        self._list = pn.Column(sizing_mode="stretch_width", margin=0)
        by_path = [pn.Row(self._path, open_path, sizing_mode="stretch_width", margin=0)] * bool(settings().server_paths)
        self.panel = pn.Column(
            look.html(f'<p class="small soft">{_WHAT}</p>', margin=(4, 0, 0, 0)), self._drop, *by_path, self._standing,
            self._list, sizing_mode="stretch_width", margin=0, max_width=460, visible=False,
        )  # fmt: skip
        self.watch(self._draw, ["own_sets"])
        self.watch(lambda: self._standing.display(session.standing(bringing.TOPIC)), ["status"])
        self._draw()

    def _fold(self, _: Any) -> None:
        self.panel.visible = not self.panel.visible

    def _uploaded(self, event: param.parameterized.Event) -> None:
        if event.new != "done":
            return
        id, name = str(self._drop.response["id"]), str(self._drop.response["name"])
        self._drop.reset()
        bringing.bring(self.session, lambda: uploads.upload_path(id, uploads.suffix_of(name)), name)

    def _open_path(self, _: Any) -> None:
        asked = str(self._path.value_input or self._path.value)
        bringing.bring(self.session, lambda: allowed_path(asked), Path(asked).name)

    def _draw(self) -> None:
        self._list.objects = [self._row(each) for each in self.session.own_sets]

    def _row(self, own: OwnSets) -> pn.viewable.Viewable:
        known = f"{own.found:,} of its {own.genes:,} genes are among these cells"
        words = look.html(f'<p class="small">{look.text(own.told)}: {known}.</p>', margin=(6, 0, 0, 0))
        remove = pmui.IconButton(icon="close", size="small", margin=0, description=f"Remove {own.name}")
        remove.on_click(lambda _: bringing.put_away(self.session, own.checksum))
        return pn.Row(words, remove, sizing_mode="stretch_width", margin=0)
