"""What samples and conditions are made of: labels by sample, with how sure the shares are; follows the selection."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import panel_material_ui as pmui
import param

from components.coloring import Categories
from components.interval_bars import IntervalBars
from components.menu import Menu
from explorer.app import look
from explorer.app.answers.shares import (
    Asked,
    Composed,
    cards,
    compose,
    condition_columns,
    of_samples,
    percent,
    scale_of,
)
from explorer.app.colors.coloring import label_categories
from explorer.app.leaving.confusion import named_columns
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.stored import library
from explorer.app.tab.session import Session
from explorer.app.tab.status import Phase
from explorer.app.views.base import Standing
from explorer.app.views.tabs.tab import SLIM, TabView, column, row, said
from explorer.app.words import about
from explorer.errors import OptionsProblem
from explorer.flow import Reference
from explorer.insight.composition import NO_VALUE, sample_columns

_NAME = "Composition"  # under which its choices are kept
_NO_CONDITION, _NO_DONOR = "(none)", "(not in pairs)"
_TABLE, _SAMPLES, _CONDITIONS = "Table", "Samples", "Conditions"


class CompositionView(TabView):
    """Labels by sample and by condition, as counts, shares and differences; follows the selection."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._found: Composed | None = None
        self._labels: Categories | None = None
        self._is_filling = False
        self._build()
        self.watch(self._fill, ["outcome", "reference", "show", "batch"])
        self.watch(self._count, ["selection", "level", "outcome", "show", "reference"])
        self.watch(self._repaint, ["paints"])
        self.watch(self._stand, ["status"])
        self._fill()

    def _build(self) -> None:
        def select(label: str, width: int, **more: Any) -> Menu:
            return Menu(label=label, size="small", width=width, margin=(8, 8, 4, 0), sx=SLIM, **more)

        self._column = select("By", 150, options=[])
        self._condition = select("Condition", 150, options=[_NO_CONDITION])
        self._of = select("Difference of", 130, options=[])
        self._against = select("against", 130, options=[])
        self._donor = select("Pairs by", 130, options=[_NO_DONOR])
        self._picture = pmui.RadioButtonGroup(
            options=[_SAMPLES, _TABLE], value=_SAMPLES, size="small", margin=(8, 8, 4, 0), sx=look.SEGMENTS
        )
        self._link = self.link("Shares, csv", self._offered)
        self._about = look.html(margin=(2, 0, 4, 0))
        self._standing = Standing()
        self._bars = IntervalBars(sizing_mode="stretch_width", margin=(2, 12, 10, 0),
                                  empty="No cell of those selected carries a label.")  # fmt: skip
        self._table = look.html(margin=(0, 0, 8, 0))
        self._difference = look.html(margin=(0, 0, 10, 0))
        self._body = column(self._bars)
        self._column.param.watch(lambda _: self._fill_conditions(), "value")
        self._condition.param.watch(lambda _: self._fill_values(), "value")
        for part in (self._of, self._against, self._donor):
            part.param.watch(lambda _: self._count(), "value")
        self._picture.param.watch(lambda _: self._draw(), "value")
        for choice in self._choices.values():
            choice.param.watch(lambda _: self._keep_choices(), "value")
        self._bars.param.watch(self._select, "picked")
        choices = row(self._column, self._condition, self._of, self._against, self._donor, self._picture)
        self.panel = column(choices, said(self._about, self._link), self._standing, self._body)

    # choices

    @property
    def _choices(self) -> dict[str, Any]:
        return {"by": self._column, "condition": self._condition, "of": self._of, "against": self._against,
                "pairs": self._donor, "picture": self._picture}  # fmt: skip

    def _keep_choices(self) -> None:
        if not self._is_filling:
            chosen = {name: choice.value for name, choice in self._choices.items()}
            self.session.tab_choices = {**self.session.tab_choices, _NAME: chosen}

    def _kept(self, name: str, offered: Collection[str]) -> str | None:
        """What was chosen last, in this page or before, if it is offered now."""
        last = (self.session.tab_choices.get(_NAME, {}).get(name), self._choices[name].value)
        return next((value for value in last if value in offered), None)

    @property
    def _obs(self) -> pd.DataFrame | None:
        session = self.session
        if session.front == "query" and session.outcome is not None:
            return session.outcome.result.obs
        return session.reference.obs if session.reference is not None else None

    def _fill(self) -> None:
        obs, session = self._obs, self.session
        if obs is None or session.reference is None:
            return
        columns = sample_columns(obs)
        card = session.reference.card
        wanted = session.batch if session.front == "query" else card.get("sample") or card.get("batch")
        first = wanted if wanted in columns else columns[0] if columns else None
        before = session.tab_choices.get(_NAME, {}).get("by")
        self._is_filling = True  # what is filled in is nobody's choice
        self._column.param.update(options=columns, value=before if before in columns else first)
        self._fill_conditions()
        self._is_filling = False

    def _fill_conditions(self) -> None:
        obs, sample = self._obs, self._column.value
        found: tuple[str, ...] = ()
        donors: tuple[str, ...] = ()
        if obs is not None and sample in obs:
            found = condition_columns(obs, sample, named_columns(obs))
            donors = found
        options = [_NO_CONDITION, *found]
        kept = self._kept("condition", options) or _NO_CONDITION
        self._condition.param.update(options=options, value=kept, visible=len(options) > 1)
        pairs = [_NO_DONOR, *donors]
        self._donor.param.update(options=pairs, value=self._kept("pairs", pairs) or _NO_DONOR)
        self._fill_values()

    def _fill_values(self) -> None:
        obs, sample, condition = self._obs, self._column.value, self._condition.value
        has = obs is not None and sample in obs and condition != _NO_CONDITION and condition in obs
        values = list(dict.fromkeys(of_samples(obs, sample, condition).values())) if has and obs is not None else []
        if values:
            of = self._kept("of", values) or values[0]
            others = [value for value in values if value != of]
            against = self._kept("against", others) or others[0]
            self._of.param.update(options=values, value=of)
            self._against.param.update(options=values, value=against)
        for part in (self._of, self._against):
            part.visible = has
        self._donor.visible = has and len(self._donor.options) > 2
        pictures = [_SAMPLES, _CONDITIONS, _TABLE] if has else [_SAMPLES, _TABLE]
        self._picture.param.update(options=pictures, value=self._kept("picture", pictures) or _SAMPLES)
        self._count()

    @property
    def _asked(self) -> Asked:
        if not self._of.visible:
            return Asked(self._column.value)
        donor = self._donor.value if self._donor.visible and self._donor.value != _NO_DONOR else ""
        return Asked(self._column.value, self._condition.value, self._of.value, self._against.value, donor)

    def _count(self) -> None:
        obs, session = self._obs, self.session
        if obs is None or session.reference is None or self._column.value not in obs:
            self._found = None
            self._draw()
            return
        labels = self._labels_now(session.reference)
        asked, rows = self._asked, session.selection
        session.attempt(
            "composition",
            "Counting",
            lambda: compose(labels, obs, asked, rows),
            lambda found: self._take_in(labels, found),
        )

    def _labels_now(self, reference: Reference) -> Categories:
        session = self.session
        return label_categories(reference, session.outcome, session.level, session.front, session.paints)

    def _repaint(self) -> None:
        """Draw what was counted in other colours."""
        if self._labels is not None and self.session.reference is not None:
            self._labels = self._labels_now(self.session.reference)
            self._draw()

    def _take_in(self, labels: Categories, found: Composed) -> None:
        self._labels, self._found = labels, found
        self._draw()

    def _select(self, event: param.parameterized.Event) -> None:
        """Select the cells of a bar: of one label in one sample, or in all of a condition."""
        obs, labels = self._obs, self._labels
        if not event.new or obs is None or labels is None or event.new["card"] not in labels.names:
            return
        column = self._condition.value if self._picture.value == _CONDITIONS else self._column.value
        named = obs[column].astype(object).where(obs[column].notna(), NO_VALUE).astype(str).to_numpy(object)
        inside = np.asarray(labels.codes) == labels.names.index(event.new["card"])
        rows = np.flatnonzero(inside & (named == event.new["bar"]))
        self.session.select(rows if len(rows) else None)

    # drawing

    def _stand(self) -> None:
        standing = self.session.standing("composition")
        self._standing.display(standing)
        self._body.visible = self._found is not None and standing.phase is not Phase.FAILED

    def _draw(self) -> None:
        found, labels = self._found, self._labels
        self._stand()
        self.show_link(self._link, found is not None)
        if found is None or labels is None:
            self._about.object = '<p class="soft">These cells have no column that names samples.</p>'
            return
        self._about.object = self._words(found)
        picture = self._picture.value
        by_condition = picture == _CONDITIONS and found.by_condition is not None
        shown = found.by_condition if by_condition and found.by_condition is not None else found.by_sample
        if picture == _TABLE:
            self._table.object = composition_html(found.counts, labels)
            wanted: list[Any] = [self._table]
        else:
            of = "condition" if by_condition else "sample"
            self._bars.param.update(cards=cards(shown, labels, of), top=scale_of(shown) if len(shown) else 1.0)
            wanted = [self._bars]
        if self._asked.condition and picture != _SAMPLES:
            self._difference.object = difference_html(found, self._asked)
            wanted.append(self._difference)
        if self._body.objects != wanted:
            self._body.objects = wanted

    def _words(self, found: Composed) -> str:
        session, project = self.session, self.session.project
        demo = library.demo_of(project.query) if project is not None and session.front == "query" else None
        known = (demo.note,) if demo is not None and demo.note else found.drawn
        scope = "the selected cells" if session.selection is not None else "all cells"
        bars = {
            _SAMPLES: f"Share of each label in {scope} of a sample; whiskers: 95 % interval over its cells (Wilson).",
            _CONDITIONS: f"Mean share over samples, of {scope}; whiskers: 95 % interval over samples, not cells (t).",
            _TABLE: f"Cells, and share of the sample, of {scope}.",
        }[self._picture.value]
        mind = "".join(f' <span class="mind">{look.text(each)}</span>' for each in (*known, *found.told))
        meant = about("share interval") if self._picture.value == _SAMPLES else ""
        return f'<p class="soft small">{bars}{meant}{mind}</p>'

    def _offered(self) -> Offered:
        found, picture = self._found, self._picture.value
        if found is None:
            raise OptionsProblem("Nothing is counted yet. Choose a column that names samples first.")
        if picture == _CONDITIONS and found.difference is not None:
            what = f"difference of {self._of.value} and {self._against.value}"
            return offered_frame(self.session, what, found.difference)
        if picture == _CONDITIONS and found.by_condition is not None:
            return offered_frame(self.session, f"shares by {self._condition.value}", found.by_condition)
        return offered_frame(self.session, f"shares by {self._column.value}", found.by_sample)


def difference_html(found: Composed, asked: Asked) -> str:
    """How much more of each label one condition has than the other, or why that cannot be said."""
    table = found.difference
    if table is None:
        return f'<p class="small mind">{look.text(found.problem)}</p>' if found.problem else ""
    lines = "".join(
        f"<tr><td>{look.text(told['label'])}</td>"
        + "".join(
            f'<td class="right">{figure}</td>'
            for figure in (
                percent(told["share"]), percent(told["share_against"]), _points(told["difference"]),
                f"{_points(told['low'])} to {_points(told['high'])}", _p(told["p"]), _p(told["adjusted_p"]),
            )
        )
        + "</tr>"
        for _, told in table.iterrows()
    )  # fmt: skip
    heads = (asked.of, asked.against, "difference", "95 % interval", "p", "adjusted p")
    head = "".join(f'<th class="right">{look.text(name)}</th>' for name in heads)
    n, other = (int(table[name].iloc[0]) for name in ("samples", "samples_against")) if len(table) else (0, 0)
    how = f"within {n} donors (paired t)" if asked.donor else f"between {n} and {other} samples (Welch's t)"
    said = f"Differences in percentage points, {how}; p adjusted over labels by Benjamini and Hochberg."
    return (
        f'<p class="small soft">{said}</p><table class="plain dense"><thead><tr><th>Label</th>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table>"
    )


def _points(difference: float) -> str:
    return "-" if pd.isna(difference) else f"{100 * difference:+.1f}"


def _p(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.2g}"


def composition_html(counts: pd.DataFrame, labels: Categories) -> str:
    """The table, with a swatch for each label."""
    head = "".join(f'<th class="right">{look.text(name)}</th>' for name in counts.columns)
    values = counts.to_numpy()
    totals = values.sum(axis=0)
    body = "".join(
        _label_row(labels.names[code], labels.colors[code], row, totals)
        for code, row in zip(counts.index.tolist(), values, strict=True)
    )
    sums = "".join(f'<td class="right">{total:,}</td>' for total in (*totals, totals.sum()))
    return (
        f'<table class="plain dense"><thead><tr><th>Label</th>{head}<th class="right">all</th></tr></thead>'
        f'<tbody>{body}<tr class="sum"><td>all</td>{sums}</tr></tbody></table>'
    )


def _label_row(name: str, color: str, row: np.ndarray, totals: np.ndarray) -> str:
    swatch = f'<i class="swatch" style="background:{look.text(color)}"></i>'
    cells = "".join(
        f'<td class="right">{n:,} <span class="soft">{look.share(n, total)}</span></td>'
        for n, total in zip(row, totals, strict=True)
    )
    return f'<tr><td>{swatch}{look.text(name)}</td>{cells}<td class="right">{row.sum():,}</td></tr>'
