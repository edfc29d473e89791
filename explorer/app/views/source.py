"""Where cells come from: a file dropped into the page, a path on the server, or a bundled one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from components.file_drop import FileDrop
from components.notice import Notice
from explorer.app import look
from explorer.app.stored import library, uploads
from explorer.app.tab.session import Session
from explorer.errors import AtlasError, OptionsProblem
from explorer.settings import settings


class SourcePicker(pn.viewable.Viewer):
    """Ways to bring cells; each ends in a new project."""

    def __init__(self, session: Session, **params: Any) -> None:
        super().__init__(**params)
        self._session = session
        self._drop = FileDrop(
            url=look.route("upload"),
            label="Drop an .h5ad file here",
            hint="Any size; it goes to this server only and is read part by part.",
            max_size=settings().max_upload,
            min_height=150,
            sizing_mode="stretch_width",
            margin=0,
        )
        self._problem = Notice("", kind="error")
        self._drop.param.watch(self._uploaded, "state")
        self._column = pn.Column(self._drop, self._problem, sizing_mode="stretch_width", margin=0)
        if settings().server_paths:
            self._column.append(self._path_row())
        if library.demos():
            self._column.extend(self._demo_rows())

    def _path_row(self) -> pn.viewable.Viewable:
        folders = ", ".join(str(folder) for folder in settings().server_paths)
        self._path = pmui.TextInput(
            label="Path on the server", placeholder=f"inside {folders}", size="small", sizing_mode="stretch_width",
            margin=(8, 0, 0, 0),
        )  # fmt: skip
        button = pmui.Button(label="Open", variant="outlined", margin=(8, 0, 0, 10), align="start")
        button.on_click(self._open_path)
        self._path.param.watch(self._open_path, "enter_pressed")
        return pn.Row(self._path, button, sizing_mode="stretch_width", margin=(8, 0, 0, 0))

    def _demo_rows(self) -> list[pn.viewable.Viewable]:
        rows = [{"id": str(demo.path), "name": demo.title, "note": demo.description} for demo in library.demos()]
        self._demos = ChoiceTable(
            columns=[{"key": "name", "label": "Or start from a demo file"}], rows=rows, radio=False,
            sizing_mode="stretch_width", margin=(14, 0, 0, 0),
        )  # fmt: skip
        self._demos.param.watch(self._open_demo, "value")
        return [self._demos]

    def _uploaded(self, event: param.parameterized.Event) -> None:
        if event.new != "done":
            return
        id, name = self._drop.response["id"], self._drop.response["name"]
        self._drop.reset()
        self._begin(lambda: uploads.upload_path(id), str(name))

    def _open_path(self, _: Any) -> None:
        asked = self._path.value_input or self._path.value
        self._begin(lambda: allowed_path(asked), Path(asked).name)

    def _open_demo(self, event: param.parameterized.Event) -> None:
        demo = library.demo_of(event.new)
        self._demos.value = ""
        if demo is not None:
            self._begin(lambda: demo.path, demo.title)

    def _begin(self, find: Callable[[], Path], name: str) -> None:
        try:
            path = find()
        except AtlasError as problem:
            self._problem.text = str(problem)
            return
        if self._session.reference is None:
            self._problem.text = "There is no reference to map onto yet: see what is said of it on Home."
            return
        self._problem.text = ""
        self._session.begin(path, name.removesuffix(".h5ad"))

    def __panel__(self) -> pn.viewable.Viewable:
        return self._column


def allowed_path(asked: str) -> Path:
    """A path on the server that this server lets people open.

    Raises
    ------
    OptionsProblem
        If it lies outside the allowed folders, or is no file; links are followed first.
    """
    path = Path(asked).expanduser().resolve()
    folders = settings().server_paths
    if not any(path.is_relative_to(folder) for folder in folders):
        listed = ", ".join(str(folder) for folder in folders)
        raise OptionsProblem(f"{asked} lies outside the folders that may be opened here: {listed}.")
    if not path.is_file():
        raise OptionsProblem(f"There is no file {asked} on the server. Check the spelling.")
    return path
