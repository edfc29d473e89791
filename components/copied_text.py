"""A paragraph to be taken into a manuscript: the text, and a button that copies it."""

from __future__ import annotations

from typing import ClassVar

import param
from panel.custom import JSComponent


class CopiedText(JSComponent):
    """Shows plain text, never HTML, with a button that puts it on the clipboard.

    Parameters
    ----------
    text
        The paragraph.
    copied
        How often it was copied.
    """

    text = param.String(default="")
    copied = param.Integer(default=0)

    _esm = """
    export function render({model}) {
      const root = document.createElement("div");
      const words = document.createElement("p");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      root.append(words, button);

      const chosen = () => {
        const range = document.createRange();
        range.selectNodeContents(words);
        const selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
      };

      button.addEventListener("click", async () => {
        // a page that was not served over https has no clipboard: the text is selected instead, ready for Ctrl+C
        if (navigator.clipboard && window.isSecureContext) {
          await navigator.clipboard.writeText(model.text).then(() => { button.textContent = "Copied"; }, chosen);
        } else {
          chosen();
          button.textContent = "Selected";
        }
        model.copied += 1;
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });

      const draw = () => { words.textContent = model.text; };
      model.on("text", draw);
      draw();
      return root;
    }
    """

    _stylesheets: ClassVar[list[str]] = [
        """
        div { display: flex; gap: 16px; align-items: flex-start; font: 13px/1.55 Roboto, system-ui, sans-serif;
              color: var(--ax-ink); }
        p { margin: 0; flex: 1; overflow-wrap: anywhere; }
        button { font: inherit; font-weight: 500; padding: 5px 12px; border: 1px solid var(--ax-line);
                 border-radius: 6px; background: var(--ax-surface); color: inherit; cursor: pointer; }
        button:hover, button:focus-visible { border-color: var(--ax-accent); }
        """
    ]
