"""A link to a file that is made when asked for: says that it is being made, and if that failed."""

from __future__ import annotations

from typing import Any, ClassVar

import param
from panel.custom import JSComponent


class GetLink(JSComponent):
    """Looks like any download, but tells how long the making takes; for files that fit into the browser's memory.

    Parameters
    ----------
    label
        What it says.
    href
        Address of the file; "" shows the link as not to be pressed.
    about
        What the file is, for those who hear the page; "" where the label says it.
    primary
        Whether it is the one thing to press here.
    state
        "", "busy" while the file is made and fetched, "done" or "failed".
    """

    label = param.String(default="Download")
    href = param.String(default="")
    about = param.String(default="")
    primary = param.Boolean(default=False)
    state: Any = param.Selector(default="", objects=["", "busy", "done", "failed"])

    _esm = """
    export function render({model}) {
      const root = document.createElement("div");
      const link = document.createElement("a");
      const note = document.createElement("span");
      note.setAttribute("role", "status");
      root.append(link, note);

      const draw = () => {
        link.textContent = model.label;
        if (model.about) link.setAttribute("aria-label", `${model.label}: ${model.about}`);
        link.className = (model.primary ? "primary " : "") + (model.href ? "" : "off");
        if (model.href) link.href = model.href; else link.removeAttribute("href");
      };

      const nameOf = (answer) => {
        const told = /filename\\*=UTF-8''([^;]+)/.exec(answer.headers.get("Content-Disposition") ?? "");
        return told ? decodeURIComponent(told[1]) : "download";
      };

      const fetched = async () => {
        const answer = await fetch(link.href);
        if (!answer.ok) throw new Error(answer.statusText || String(answer.status));
        return {name: nameOf(answer), blob: await answer.blob()};
      };

      const take = async (event) => {
        event.preventDefault();
        if (!model.href || model.state === "busy") return;
        model.state = "busy";
        const began = Date.now();
        const tell = () => {
          const seconds = Math.round((Date.now() - began) / 1000);
          note.textContent = seconds >= 1 ? `being made, ${seconds} s …` : "";
        };
        const clock = setInterval(tell, 500);
        try {
          const {name, blob} = await fetched();
          const address = URL.createObjectURL(blob);
          const hand = document.createElement("a");
          hand.href = address;
          hand.download = name;
          hand.click();
          setTimeout(() => URL.revokeObjectURL(address), 60000);
          note.textContent = "";
          model.state = "done";
        } catch (problem) {
          note.textContent = `could not be made: ${problem.message}`;
          model.state = "failed";
        } finally {
          clearInterval(clock);
        }
      };

      link.addEventListener("click", take);
      for (const name of ["label", "href", "about", "primary"]) model.on(name, draw);
      draw();
      return root;
    }
    """

    _stylesheets: ClassVar[list[str]] = [
        """
        div { display: flex; align-items: center; gap: 10px; font: 500 13px/1.4 Roboto, system-ui, sans-serif; }
        a { display: inline-block; padding: 6px 14px; border-radius: 6px; border: 1px solid var(--ax-line);
            color: var(--ax-ink); background: var(--ax-surface); text-decoration: none; white-space: nowrap; }
        a:hover { border-color: var(--ax-accent); }
        a.primary { background: var(--ax-accent); border-color: var(--ax-accent); color: var(--ax-on-accent); }
        a.off { opacity: 0.5; cursor: default; }
        a:focus-visible { outline: 2px solid var(--ax-accent); outline-offset: 2px; }
        span { font-weight: 400; font-size: 12px; color: var(--ax-soft); }
        span:empty { display: none; }
        """
    ]
