"""Below the selection: keep it under a name, and take up again what was kept."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from explorer.app import look
from explorer.app.leaving import downloads
from explorer.app.leaving.gated_files import offered_gated_file
from explorer.app.tab.gates import Gate, in_words
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View


class GatesView(View):
    """Named selections: saved, applied, removed, and handed out as obs columns."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._offer = downloads.offer(lambda: offered_gated_file(session))
        self._recipe = look.html(margin=(6, 0, 0, 0))
        self._name = pmui.TextInput(
            label="Save selection as", size="small", sizing_mode="stretch_width", margin=(8, 8, 0, 0), max_length=80
        )
        self._save = pmui.Button(label="Save", variant="outlined", size="small", margin=(9, 0, 0, 0))
        self._save.on_click(self._keep)
        self._name.param.watch(lambda _: self._draw(), "value_input")
        self._name.param.watch(self._keep, "enter_pressed")
        self._saving = pn.Row(self._name, self._save, sizing_mode="stretch_width", margin=0)
        self._standing = Standing()
        self._list = pn.Column(sizing_mode="stretch_width", margin=(4, 0, 0, 0))
        self._file = look.html(margin=(6, 0, 0, 0))
        self.panel = pn.Column(
            self._recipe, self._saving, self._standing, self._list, self._file, sizing_mode="stretch_width", margin=0
        )
        self.watch(self._draw, ["recipe", "gates", "show", "outcome"])
        self.watch(lambda: self._standing.display(session.standing("selection")), ["status"])
        self._draw()

    def destroy(self) -> None:
        """Let go of the session, and offer the file no longer."""
        downloads.withdraw(self._offer)
        super().destroy()

    def _keep(self, _: Any) -> None:
        self.session.save_gate(self._name.value_input or self._name.value)
        self._name.param.update(value="", value_input="")

    def _draw(self) -> None:
        session = self.session
        self._saving.visible = bool(session.recipe)
        self._recipe.object = f'<p class="small soft">Selected by: {look.text(in_words(session.recipe))}</p>'
        self._recipe.visible = bool(session.recipe)
        gates = [gate for gate in session.gates if gate.cells == session.front]
        self._list.objects = [self._row(gate) for gate in gates]
        has_file = session.outcome is not None and any(gate.cells == "query" for gate in session.gates)
        address = look.text(look.route("download") + downloads.offer_query(self._offer))
        self._file.object = (
            f'<a class="get" href="{address}" download>Download h5ad with saved selections</a>' if has_file else ""
        )

    def _row(self, gate: Gate) -> pn.viewable.Viewable:
        use = pmui.Button(
            label=gate.title, variant="text", size="small", margin=0, sizing_mode="stretch_width",
            sx={"justifyContent": "flex-start"},
        )  # fmt: skip
        use.on_click(lambda _: self.session.apply_gate(gate.id))
        remove = pmui.IconButton(icon="close", size="small", margin=0, description=f"Remove {gate.title}")
        remove.on_click(lambda _: self.session.forget_gate(gate.id))
        return pn.Row(use, remove, sizing_mode="stretch_width", margin=0)
