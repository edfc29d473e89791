"""What belongs to the page as a whole: theme, Back and Forward, undo and redo by key, what is read out. Unseen."""

from __future__ import annotations

import param
from panel.custom import JSComponent


class PageRoot(JSComponent):
    """Keeps `data-theme` of the root element at "dark" or "light", says where Back and Forward lead, hears two keys.

    Parameters
    ----------
    dark
        Whether the page is dark; as this browser left it, where that is remembered.
    memory
        Name under which the browser remembers whether the page is dark; "" remembers nothing.
    went_to
        The query part of the address after Back or Forward: `{"search": "?…", "at": ms}`.
    undo, redo
        When Ctrl-Z and Ctrl-Y (or Shift-Ctrl-Z, on a Mac Command) were pressed last: `{"at": ms}`. Not while typing,
        where these keys are the field's own.
    said
        What screen readers read out when it changes, once they have come to an end with what they read.
    """

    dark = param.Boolean(default=False)
    memory = param.String(default="")
    went_to = param.Dict(default={})
    undo = param.Dict(default={})
    redo = param.Dict(default={})
    said = param.String(default="")

    _esm = """
    export function render({model}) {
      const tell = () => { document.documentElement.dataset.theme = model.dark ? "dark" : "light" };
      const went = () => { model.went_to = {search: window.location.search, at: Date.now()} };
      const heard = document.createElement("div");
      heard.setAttribute("role", "status");
      heard.setAttribute("aria-keyshortcuts", "Control+Z Control+Y");
      heard.style.cssText = "position:absolute;top:0;left:0;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)";
      document.body.append(heard);
      model.on("said", () => { heard.textContent = model.said });
      model.on("dark", () => {
        tell();
        if (model.memory) window.localStorage.setItem(model.memory, model.dark ? "dark" : "light");
      });
      window.addEventListener("popstate", went);
      const press = (event) => {
        const key = event.key.toLowerCase();
        if (!(event.ctrlKey || event.metaKey) || event.altKey || !["z", "y"].includes(key)) return;
        const at = event.composedPath()[0];
        const types = /^(TEXTAREA|SELECT)$/.test(at.tagName)
          || (at.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(at.type));
        if (at.isContentEditable || types) return;
        event.preventDefault();
        model[key === "y" || event.shiftKey ? "redo" : "undo"] = {at: Date.now()};
      };
      document.addEventListener("keydown", press);
      model.on("remove", () => {
        heard.remove();
        window.removeEventListener("popstate", went);
        document.removeEventListener("keydown", press);
      });
      const kept = model.memory ? window.localStorage.getItem(model.memory) : null;
      if (kept !== null) model.dark = kept === "dark";
      tell();
      heard.textContent = model.said;
      return document.createElement("span");
    }
    """
