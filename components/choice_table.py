"""A table in which rows can be chosen or opened. Knows columns and rows of text, not what they mean."""

from __future__ import annotations

from typing import ClassVar

import param
from panel.custom import JSComponent


class ChoiceTable(JSComponent):
    """Rows of text, one or several of which are chosen; every cell is shown as text, never as HTML.

    Parameters
    ----------
    columns
        One dict a column: `key`, `label`, and optionally `align` ("right" for numbers), `width` (CSS) and `help` (a
        sentence or two that a small i beside the label opens).
    rows
        One dict a row: `id`, a value for each column key, and optionally `note` (a second, smaller line in the
        first column), `badge` (a word or two behind the first column's text), `disabled` (a reason, shown on hover)
        and `action` (a button of its own, "" for none), which stands out where the row is `offered`.
    value
        `id` of the chosen row; "" for none.
    many
        Whether rows carry a square mark, because any number of them can be chosen: those in `values`.
    values
        `id`s of the chosen rows, in the order of the rows.
    radio
        Whether rows carry a round mark, because one of them is to be chosen; else a row is simply opened.
    dense
        Whether rows stand close together.
    action
        Label of a button at the end of each row; "" for none. Pressing it raises `acted` with the row's id.
    """

    columns = param.List(default=[], item_type=dict)
    rows = param.List(default=[], item_type=dict)
    value = param.String(default="")
    many = param.Boolean(default=False)
    values = param.List(default=[], item_type=str)
    radio = param.Boolean(default=True)
    dense = param.Boolean(default=False)
    action = param.String(default="")
    acted = param.Dict(default={})

    _esm = """
    export function render({model}) {
      const table = document.createElement("table");

      const cell = (tag, text, column) => {
        const element = document.createElement(tag);
        element.textContent = text ?? "";
        if (column.align) element.style.textAlign = column.align;
        if (column.align && tag === "td") element.style.whiteSpace = "nowrap";
        if (column.width) element.style.width = column.width;
        return element;
      };

      const hasActions = () => model.action || model.rows.some((row) => row.action);

      const isChosen = (row) => model.many ? model.values.includes(row.id) : row.id === model.value;

      const choose = (row) => {
        if (row.disabled) return;
        if (!model.many) {
          model.value = row.id;
          return;
        }
        const wanted = (other) => other.id === row.id ? !isChosen(row) : isChosen(other);
        model.values = model.rows.filter(wanted).map((other) => other.id);
      };

      const line = (row) => {
        const tr = document.createElement("tr");
        tr.dataset.id = row.id;
        tr.addEventListener("click", () => choose(row));
        tr.addEventListener("keydown", (event) => {
          if (event.target === tr && (event.key === "Enter" || event.key === " ")) {
            choose(row);
            event.preventDefault();
          }
        });
        tr.tabIndex = row.disabled ? -1 : 0;
        tr.setAttribute("role", model.many ? "checkbox" : model.radio ? "radio" : "link");
        tr.setAttribute("aria-checked", String(isChosen(row)));
        tr.className = [["chosen", isChosen(row)], ["disabled", row.disabled], ["offered", row.offered]]
          .filter(([, holds]) => holds).map(([name]) => name).join(" ");
        if (row.disabled) tr.title = row.disabled;
        if (model.radio || model.many) {
          const mark = document.createElement("td");
          mark.className = model.many ? "mark square" : "mark";
          mark.append(document.createElement("i"));
          tr.append(mark);
        }
        model.columns.forEach((column, i) => {
          const td = cell("td", row[column.key], column);
          if (i === 0 && row.badge) {
            const badge = document.createElement("span");
            badge.className = "badge";
            badge.textContent = row.badge;
            td.append(" ", badge);
          }
          if (i === 0 && row.note) {
            const note = document.createElement("div");
            note.className = "note";
            note.textContent = row.note;
            td.append(note);
          }
          tr.append(td);
        });
        if (hasActions()) {
          const td = document.createElement("td");
          td.className = "action";
          tr.append(td);
          const label = row.action ?? model.action;
          if (!label) return tr;
          const button = document.createElement("button");
          button.type = "button";
          button.textContent = label;
          button.setAttribute("aria-label", `${label} ${row[model.columns[0].key]}`);
          button.addEventListener("click", (event) => {
            event.stopPropagation();
            model.acted = {id: row.id, at: Date.now()};
          });
          td.append(button);
        }
        return tr;
      };

      const help = (column, place) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "about";
        button.textContent = "i";
        button.setAttribute("popovertarget", place);
        button.setAttribute("aria-label", `What is ${column.label.toLowerCase()}?`);
        const told = document.createElement("span");
        Object.assign(told, {className: "told", id: place, popover: "auto", textContent: column.help});
        told.setAttribute("role", "note");
        const words = column.label.split(" ");
        const last = document.createElement("span");  // never parted from its i
        last.style.whiteSpace = "nowrap";
        last.append(words.pop(), button);
        return [words.map((word) => word + " ").join(""), last, told];
      };

      const draw = () => {
        const shadow = table.getRootNode();
        const held = shadow.activeElement?.closest("tr")?.dataset.id;
        const head = document.createElement("tr");
        if (model.radio || model.many) head.append(document.createElement("th"));
        model.columns.forEach((column, i) => {
          const th = cell("th", column.help ? "" : column.label, column);
          if (column.help) th.append(...help(column, `help-${i}`));
          head.append(th);
        });
        if (hasActions()) head.append(document.createElement("th"));
        const thead = document.createElement("thead");
        thead.append(head);
        const tbody = document.createElement("tbody");
        if (model.many) tbody.setAttribute("role", "group");
        else if (model.radio) tbody.setAttribute("role", "radiogroup");
        tbody.append(...model.rows.map(line));
        table.className = model.dense ? "dense" : "";
        table.replaceChildren(thead, tbody);
        if (held) tbody.querySelector(`[data-id="${CSS.escape(held)}"]`)?.focus();
      };

      const drawn = ["columns", "rows", "value", "many", "values", "radio", "dense", "action"];
      for (const name of drawn) model.on(name, draw);
      draw();
      return table;
    }
    """

    _stylesheets: ClassVar[list[str]] = [
        """
        :host { overflow-x: auto; }
        table { font: 13px/1.45 Roboto, system-ui, sans-serif; border-collapse: collapse; width: 100%;
                color: var(--ax-ink); }
        th { text-align: left; font-weight: 500; font-size: 12px; color: var(--ax-soft);
             padding: 6px 10px; border-bottom: 1px solid var(--ax-line); vertical-align: bottom; }
        td { padding: 7px 10px; border-bottom: 1px solid var(--ax-line); vertical-align: top;
             font-variant-numeric: tabular-nums; }
        .dense td, .dense th { padding: 3px 6px; }
        tbody tr { cursor: pointer; }
        tbody tr:hover td { background: var(--ax-raised); }
        tbody tr.chosen td { background: var(--ax-tint); }
        tbody tr.disabled { cursor: default; color: var(--ax-soft); }
        tr:focus-visible { outline: 2px solid var(--ax-accent); outline-offset: -2px; }
        .note { font-size: 12px; color: var(--ax-soft); margin-top: 2px; line-height: 1.4; }
        .mark { width: 18px; padding-right: 0; }
        .mark i { display: block; width: 14px; height: 14px; margin-top: 1px; border-radius: 50%;
                  box-sizing: border-box;
                  border: 2px solid var(--ax-soft); }
        .chosen .mark i { border: 5px solid var(--ax-accent); }
        .square i { border-radius: 3px; position: relative; }
        .chosen .square i { background: var(--ax-accent); border-width: 2px; }
        .chosen .square i::after { content: ""; position: absolute; left: 3px; top: 0; width: 3px; height: 6px;
                                   border: solid var(--ax-surface); border-width: 0 2px 2px 0;
                                   transform: rotate(45deg); }
        .disabled .mark i { opacity: 0.4; }
        .badge { font-size: 12px; font-weight: 500; margin-left: 4px; padding: 1px 7px; border-radius: 9px;
                 white-space: nowrap; background: var(--ax-tint); color: var(--ax-accent); }
        .action { text-align: right; padding: 3px 8px; white-space: nowrap; }
        .action button { font: inherit; font-size: 12px; border: 0; background: none; cursor: pointer; padding: 4px 8px;
                         border-radius: 4px; color: var(--ax-soft); }
        .action button:hover { background: var(--ax-tint);
                               color: var(--ax-error); }
        :is(.disabled, .offered) .action button { border: 1px solid var(--ax-line); color: var(--ax-accent);
                                                  margin-top: 3px; }
        :is(.disabled, .offered) .action button:hover { color: var(--ax-accent); }
        .about { width: 16px; height: 16px; margin: 0 0 0 5px; padding: 0; border: 1px solid var(--ax-soft);
                 border-radius: 50%; background: none; color: var(--ax-soft); cursor: pointer; vertical-align: 1px;
                 font: italic 600 12px/14px Georgia, serif; }
        .about:hover { color: var(--ax-accent); border-color: var(--ax-accent); }
        .about:focus-visible { outline: 2px solid var(--ax-accent); outline-offset: 2px; }
        .told { position: fixed; inset: auto; position-area: bottom span-left; width: 300px; margin: 6px 0;
                box-sizing: border-box; padding: 10px 12px; border: 1px solid var(--ax-line); border-radius: 8px;
                background: var(--ax-surface); color: var(--ax-ink); box-shadow: 0 6px 24px rgb(0 0 0 / 22%);
                font: 400 13px/1.45 Roboto, system-ui, sans-serif; white-space: normal; text-align: left; }
        @supports not (position-area: bottom) { .told { inset: 0; margin: auto; height: fit-content; } }
        """
    ]
