"""Between which labels cells cannot choose, and which samples and labels are sure: sets, tables, mixing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from components.get_link import GetLink
from explorer.app import look
from explorer.app.leaving import downloads
from explorer.app.leaving.tables import names_of, offered_groups
from explorer.app.tab.doubts import COVERAGES
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.views.quality.preserving import PreservingView
from explorer.app.words import about
from explorer.doubt.conformal import kept_promise, prediction_sets
from explorer.doubt.examined import Examined
from explorer.insight.composition import sample_columns
from explorer.insight.mixing import Mixing, mixing
from explorer.insight.sureness import ambiguous_pairs, by_group, set_sizes

MOST_ROWS = 60


class SurenessView(View):
    """Cards with prediction sets, the tables by sample and by label, and batch mixing."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._tokens: list[str] = []
        self._coverage = pmui.RadioButtonGroup(
            options={f"{100 * each:.0f} %": each for each in COVERAGES}, value=session.coverage, size="small",
            margin=(0, 0, 10, 0), sx=look.SEGMENTS,
        )  # fmt: skip
        self._coverage.param.watch(self._choose_coverage, "value")
        self._sets = look.html()
        self._column = pmui.Select(label="Samples", options=[], size="small", width=190, margin=(8, 0, 8, 0))
        self._column.param.watch(lambda _: self._draw_samples(), "value")
        self._by_sample = look.html()
        self._by_label = look.html()
        self._mixing = look.html()
        self._standing = Standing()
        self._preserving = PreservingView(session)
        self.panel = self._layout()
        self.watch(self._draw, ["outcome", "level", "examined", "coverage", "step"])
        self.watch(self._fill, ["outcome", "batch"])
        self._fill()
        self._draw()

    def destroy(self) -> None:
        """Let go of the session, and offer nothing any longer."""
        self._preserving.destroy()
        for token in self._tokens:
            downloads.withdraw(token)
        super().destroy()

    def _layout(self) -> pn.viewable.Viewable:
        card: dict[str, Any] = {"styles": look.CARD, "margin": (0, 0, 16, 0), "sizing_mode": "stretch_width"}
        sets = pn.Column(
            look.html(f"<h2>Prediction sets{about('prediction set')}</h2>", margin=(0, 0, 4, 0)),
            look.html(f'<p class="soft small">{_ABOUT_SETS}</p>', margin=(0, 0, 10, 0)), self._coverage, self._sets,
            **card,
        )  # fmt: skip
        self._samples_box = pn.Column(
            self._head("By sample", "by sample, csv", lambda: offered_groups(self.session, str(self._column.value))),
            self._column, self._by_sample, self._standing, self._mixing, **card,
        )  # fmt: skip
        labels = pn.Column(
            self._head("By label", "by label, csv", lambda: offered_groups(self.session, "")), self._by_label,
            self._preserving.panel, **card,
        )  # fmt: skip
        return pn.Column(sets, self._samples_box, labels, sizing_mode="stretch_width", margin=0)

    def _head(self, title: str, about: str, make: Any) -> pn.viewable.Viewable:
        token = downloads.offer(make)
        self._tokens.append(token)
        link = GetLink(label="Download csv", href=look.route("download") + downloads.offer_query(token), about=about)
        heading = look.html(f"<h2>{title}</h2>", margin=(4, 0, 8, 0))
        return pn.Row(heading, link, sizing_mode="stretch_width", margin=(0, 0, 6, 0))

    def _choose_coverage(self, event: Any) -> None:
        if event.new != self.session.coverage:
            self.session.choose_coverage(event.new)

    # drawing

    def _fill(self) -> None:
        """Offer the columns that may name samples."""
        session = self.session
        if session.outcome is None:
            return
        columns = sample_columns(session.outcome.result.obs)
        first = session.batch if session.batch in columns else next(iter(columns), None)
        kept = self._column.value if self._column.value in columns else first
        self._column.param.update(options=columns, value=kept)
        self._samples_box.visible = bool(columns)
        self._mix()

    def _draw(self) -> None:
        session = self.session
        labels, sets = session.labels_at(session.level), session.sets_at(session.level)
        if labels is None or sets is None or session.step != "quality":  # drawn when she comes back
            return
        self._coverage.value = session.coverage
        examined: Examined | None = session.examined.get(session.level)
        promise = session.standing("examined").text or promise_words(examined, session.coverage)
        self._sets.object = sets_html(sets, labels.classes, examined, session.coverage, promise)
        self._by_label.object = groups_html(by_group(labels, labels.labels, sets), "Label", labels.threshold)
        self._draw_samples()

    def _draw_samples(self) -> None:
        session, column = self.session, self._column.value
        labels, sets = session.labels_at(session.level), session.sets_at(session.level)
        if labels is None or session.outcome is None or not column:
            return
        table = by_group(labels, names_of(session.outcome.result.obs[column]), sets)
        self._by_sample.object = groups_html(table, str(column), labels.threshold)

    def _mix(self) -> None:
        """Measure how batches mix, where their column was named."""
        session, outcome = self.session, self.session.outcome
        self._mixing.object = ""
        if outcome is None or session.batch not in outcome.result.obs:
            return
        result = outcome.result
        codes = pd.factorize(names_of(result.obs[session.batch]))[0].astype(np.int32)
        if codes.max(initial=0) == 0:
            return

        def use(found: Mixing) -> None:
            self._mixing.object = mixing_html(found, session.batch)

        labels = result.labels.first.codes
        session.attempt("mixing", "Measuring how batches mix", lambda: mixing(result.embedding, codes, labels), use)


def promise_words(examined: Examined | None, coverage: float) -> str:
    """What sets promise."""
    if examined is None:
        return "No reference cell was left out of training: sets are the likeliest labels, with no promise."
    kept = kept_promise(examined, coverage)
    more = f"; {100 * coverage:.0f} % were asked for, but single labels are right that often"
    why = more if kept > coverage + 0.01 else ""
    return (
        f"Sets hold the true label of {100 * kept:.0f} % of the cells of another batch of the reference{why}. Cells of "
        "a type that it lacks have no true label."
    )


def sets_html(
    sets: np.ndarray, classes: tuple[str, ...], examined: Examined | None, coverage: float, promise: str
) -> str:
    """How many labels fit a cell, and which ones fit together, as HTML."""
    own = set_sizes(sets)
    known = None
    if examined is not None:
        known = set_sizes(prediction_sets(examined.probabilities, examined, coverage))
    rows = []
    for i, name in enumerate(("1 label", "2 labels", "3 labels", "4 and more")):
        beside = f'<td class="right soft">{look.share(known[i], 1)}</td>' if known is not None else ""
        rows.append(
            f"<tr><td>{name}</td><td><div class='meter'><i style='width:{100 * own[i]:.1f}%'></i></div></td>"
            f'<td class="right">{look.share(own[i], 1)}</td>{beside}</tr>'
        )
    beside = '<th class="right">left-out reference cells</th>' if known is not None else ""
    sizes = (
        f'<table class="plain sizes"><thead><tr><th>In the set</th><th></th><th class="right">your cells</th>{beside}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
    note = f'<p class="soft small more">{look.text(promise)}</p>'
    return f'<div class="two">{sizes}{pairs_html(ambiguous_pairs(sets, classes), len(sets))}</div>{note}'


def pairs_html(pairs: pd.DataFrame, n: int) -> str:
    """Labels that share a set, as HTML."""
    if pairs.empty:
        return '<p class="soft">Every set holds one label: no cell hesitates between two.</p>'
    rows = "".join(
        f"<tr><td>{look.text(first)} <span class='soft'>or</span> {look.text(second)}</td>"
        f'<td class="right">{cells:,}</td><td class="right">{look.share(cells, n)}</td></tr>'
        for first, second, cells in pairs[["first", "second", "cells"]].to_numpy(object).tolist()
    )
    return (
        '<table class="plain"><thead><tr><th>Most often in doubt between</th><th class="right">cells</th>'
        f'<th class="right">share</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def groups_html(table: pd.DataFrame, title: str, threshold: float) -> str:
    """A table by sample or by label, as HTML."""
    shown = table.head(MOST_ROWS)
    rows = "".join(_group_row(row) for row in shown.to_dict("records"))
    heads = ("cells", "median confidence", "median novelty", f"kept at {threshold:.2f}", "less sure", "too far",
             "labels in set, median")  # fmt: skip
    head = "".join(f'<th class="right">{name}</th>' for name in heads)
    more = f'<p class="soft small">{len(table) - len(shown):,} more in the csv.</p>' if len(table) > len(shown) else ""
    return (
        f'<table class="plain dense"><thead><tr><th>{look.text(title)}</th>{head}</tr></thead><tbody>{rows}</tbody>'
        f"</table>{more}"
    )


def _group_row(row: Mapping[Any, Any]) -> str:
    medians = (f"{row[name]:.2f}" for name in ("confidence", "novelty"))
    shares = (look.share(row[name], 1) for name in ("kept", "unsure", "far"))
    numbers = (f"{row['cells']:,}", *medians, *shares, f"{row['set_size']:g}")
    cells = "".join(f'<td class="right">{number}</td>' for number in numbers)
    return f"<tr><td>{look.text(row['group'])}</td>{cells}</tr>"


def mixing_html(found: Mixing, column: str) -> str:
    """How batches mix, as HTML."""
    told = "mix well" if found.ratio > 0.8 else "mix in part" if found.ratio > 0.4 else "lie apart"
    return (
        f'<p class="more">Batches {told}: {100 * found.foreign:.0f} % of a cell\'s 30 nearest cells come '
        f"from another {look.text(column)}; {100 * found.expected_foreign:.0f} % would if it did not matter within "
        f'labels ({found.cells:,} cells asked).</p><p class="soft small">Batches that lie apart may differ by a '
        "treatment or a tissue, which is what you want to see, or by how they were made.</p>"
    )


_ABOUT_SETS = (
    "All labels that fit a cell, so many that the true one is among them as often as promised. One label: the cell is "
    "settled. Two: it is one of them, and the data do not say which."
)
