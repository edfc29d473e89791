"""The steps of a piece of work, across the top of a page: always reversible, each with its state.

Knows keys, labels and states, not what the steps do.
"""

from __future__ import annotations

from typing import ClassVar

import param
from panel.custom import JSComponent

STATES = ("todo", "ready", "running", "mind", "problem")


class Steps(JSComponent):
    """A row of steps; a click, an arrow key or its number on the keyboard makes one active.

    Parameters
    ----------
    steps
        One dict a step: `key`, `label`, `detail` (a few words on where it stands) and `state`, one of `STATES`.
        All of it is shown as text, never as HTML.
    active
        `key` of the step in front of the person.
    """

    steps = param.List(default=[], item_type=dict)
    active = param.String(default="")

    _esm = """
    const MARKS = {ready: "✓", mind: "!", problem: "×", running: ""};

    export function render({model}) {
      const bar = document.createElement("nav");
      bar.setAttribute("aria-label", "Steps");

      const draw = () => {
        const held = bar.contains(bar.getRootNode().activeElement)
          ? bar.getRootNode().activeElement?.dataset.key : null;
        bar.replaceChildren(...model.steps.map((step, i) => {
          const button = document.createElement("button");
          button.type = "button";
          button.dataset.key = step.key;
          button.className = `step ${step.state}` + (step.key === model.active ? " active" : "");
          if (step.key === model.active) button.setAttribute("aria-current", "step");
          button.title = `${step.label}: ${step.detail || "not started"} (key ${i + 1})`;
          const mark = document.createElement("span");
          mark.className = "mark";
          mark.textContent = MARKS[step.state] ?? String(i + 1);
          const words = document.createElement("span");
          words.className = "words";
          const label = document.createElement("span");
          label.className = "label";
          label.textContent = step.label;
          const detail = document.createElement("span");
          detail.className = "detail";
          detail.textContent = step.detail || "";
          words.append(label, detail);
          button.append(mark, words);
          button.addEventListener("click", () => { model.active = step.key; });
          return button;
        }));
        if (held) bar.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
      };

      const move = (event) => {
        const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
        if (!by) return;
        const buttons = [...bar.querySelectorAll("button")];
        const at = buttons.indexOf(bar.getRootNode().activeElement);
        buttons[(at + by + buttons.length) % buttons.length].focus();
        event.preventDefault();
      };

      const number = (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const at = event.composedPath()[0];
        if (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
        const step = model.steps[Number(event.key) - 1];
        if (step) model.active = step.key;
      };

      bar.addEventListener("keydown", move);
      document.addEventListener("keydown", number);
      model.on("steps", draw);
      model.on("active", draw);
      model.on("remove", () => document.removeEventListener("keydown", number));
      draw();
      return bar;
    }
    """

    _stylesheets: ClassVar[list[str]] = [
        """
        nav { font-family: Roboto, system-ui, sans-serif; display: flex; gap: 2px; height: 48px; align-items: stretch; }
        .step {
          display: flex; align-items: center; gap: 8px; padding: 0 14px 0 10px; margin: 0;
          border: 0; border-bottom: 2px solid transparent; background: none; cursor: pointer; text-align: left;
          font: inherit; color: var(--ax-soft); white-space: nowrap;
        }
        @media (max-width: 1360px) { .step { padding: 0 9px 0 7px; gap: 6px; } }
        .step:hover { background: var(--ax-raised); }
        .step:focus-visible { outline: 2px solid var(--ax-accent); outline-offset: -3px; }
        .step.active { color: var(--ax-ink);
                       border-bottom-color: var(--ax-accent); }
        .mark {
          width: 20px; height: 20px; border-radius: 50%; font-size: 12px; line-height: 20px; text-align: center;
          box-sizing: border-box; font-weight: 600; flex: none;
          box-shadow: inset 0 0 0 1px var(--ax-line);
        }
        .ready .mark { background: var(--ax-ok); color: var(--ax-surface); box-shadow: none; }
        .mind .mark { background: var(--ax-warn); color: var(--ax-surface); box-shadow: none; }
        .problem .mark { background: var(--ax-error); color: var(--ax-surface); box-shadow: none; }
        .running .mark {
          box-shadow: none; border: 2px solid var(--ax-line);
          border-top-color: var(--ax-accent); animation: turn 1s linear infinite;
        }
        @keyframes turn { to { transform: rotate(360deg); } }
        @media (prefers-reduced-motion: reduce) { .running .mark { animation-duration: 6s; } }
        .words { display: flex; flex-direction: column; line-height: 1.25; min-width: 56px; }
        .label { font-size: 14px; font-weight: 600; }
        .detail { font-size: 12px; color: var(--ax-soft); max-width: 130px; min-height: 15px;
                  overflow: hidden; text-overflow: ellipsis; }
        """
    ]
