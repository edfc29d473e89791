"""What belongs to the page as a whole: its theme, and the browser's Back and Forward. Shows nothing."""

from __future__ import annotations

import param
from panel.custom import JSComponent


class PageRoot(JSComponent):
    """Keeps `data-theme` of the root element at "dark" or "light", and says where Back and Forward lead.

    Parameters
    ----------
    dark
        Whether the page is dark.
    went_to
        The query part of the address after Back or Forward: `{"search": "?…", "at": ms}`.
    """

    dark = param.Boolean(default=False)
    went_to = param.Dict(default={})

    _esm = """
    export function render({model}) {
      const tell = () => { document.documentElement.dataset.theme = model.dark ? "dark" : "light" };
      const went = () => { model.went_to = {search: window.location.search, at: Date.now()} };
      model.on("dark", tell);
      window.addEventListener("popstate", went);
      model.on("remove", () => window.removeEventListener("popstate", went));
      tell();
      return document.createElement("span");
    }
    """
