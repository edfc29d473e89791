"""Tells the document whether it is dark, so that its style sheet can choose the tokens. Shows nothing."""

from __future__ import annotations

import param
from panel.custom import JSComponent


class PageTheme(JSComponent):
    """Keeps `data-theme` of the page's root element at "dark" or "light"."""

    dark = param.Boolean(default=False)

    _esm = """
    export function render({model}) {
      const tell = () => { document.documentElement.dataset.theme = model.dark ? "dark" : "light" };
      model.on("dark", tell);
      tell();
      return document.createElement("span");
    }
    """
