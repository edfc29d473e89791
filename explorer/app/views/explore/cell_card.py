"""The cell that was clicked: what it is called and how surely, what it lies near, and which genes stand out in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import panel as pn
import param

from components.dossier import Dossier
from explorer import keys
from explorer.app import look
from explorer.app.colors.coloring import ColorBy
from explorer.app.stored.library import Outcome
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing, View
from explorer.app.words import about
from explorer.asking.tapped import tapped_cell
from explorer.doubt.conformal import COVERAGE
from explorer.flow import Reference
from explorer.insight.of_a_cell import CellCard, LevelOfCell
from explorer.jobs.asked import query_of
from explorer.jobs.specs import MapSpec

SHOWN_NEIGHBORS = 5
SHOWN_GENES = 6
_HINT = "Click a cell on the map."
_BY_LABEL = "Click to colour by the labels of this level"
_BY_GENE = "Click to colour by this gene"
_ABOVE, _BELOW = "Genes above what its label expects", "Genes below what its label expects"
_HIGHEST = "Its highest genes"


class CellCardView(View):
    """The card of one cell in front; empty until one is clicked."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._row: int | None = None
        self._hint = look.html(f'<p class="soft small">{_HINT}</p>')
        self._standing = Standing()
        self._card = Dossier(sizing_mode="stretch_width", margin=0)
        self._card.param.watch(lambda _: self.show(None), "closed")
        self._card.param.watch(self._pick, "picked")
        self.panel = pn.Column(
            look.html(f"<h3>Cell{about('cell card')}</h3>", margin=(0, 0, 4, 0)), self._hint, self._standing,
            self._card, sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.watch(lambda: self._standing.display(session.standing("cell")), ["status"])
        self.watch(lambda: self.show(None), ["show", "reference", "project"])
        self.watch(lambda: self.show(self._row), ["outcome"])

    @property
    def is_open(self) -> bool:
        """Whether it tells of a cell."""
        return self._row is not None

    def show(self, row: int | None) -> None:
        """Tell of one cell in front, or of none."""
        session = self.session
        reference, outcome, job = session.reference, session.outcome, session.job
        session.forget("cell")
        self._row = row
        if row is None or reference is None:
            self._put("", [])
        elif session.front == "reference":
            self._put(str(reference.obs.index[row]), [reference_section(reference, row)])
        elif outcome is not None and job is not None:
            spec, own = job.mapping, session.own_label
            session.attempt(
                "cell", "Looking the cell up", lambda: look_up(spec, outcome, reference, row),
                lambda found: self._put(found.name, sections(found, reference, own)),
            )  # fmt: skip

    def _put(self, title: str, shown: list[dict[str, Any]]) -> None:
        self._hint.visible = not shown
        self._card.param.update(title=title, sections=shown)

    def _pick(self, event: param.parameterized.Event) -> None:
        session, told = self.session, event.new
        if not told:
            return
        kind, _, name = told["id"].partition(":")
        if kind == "gene":
            session.choose_color(ColorBy("gene", name))
        else:
            session.choose_color(ColorBy(kind), name)


def look_up(spec: MapSpec, outcome: Outcome, reference: Reference, row: int) -> CellCard:
    """Read what there is to say of one cell; the query's file is opened again for its genes.

    Raises
    ------
    AtlasError
        If the file is gone.
    """
    query = query_of(spec)
    return tapped_cell(query, reference, outcome.result, row, device=spec.device)


def sections(card: CellCard, reference: Reference, own: str) -> list[dict[str, Any]]:
    """A card as sections of `Dossier`: labels, the main level's prototypes and words, neighbours, genes."""
    first = card.levels[0]
    told = [*first.words]
    if own in card.obs:
        told.insert(0, f"Your {own}: {card.obs[own]}.")
    return [
        *(_of_level(level) for level in card.levels),
        {"title": "How sure, and how far", "rows": [], "words": told},
        {
            "title": "Nearest reference cells",
            "rows": [_neighbor(line, reference) for line in card.neighbors.head(SHOWN_NEIGHBORS).to_dict("records")],
        },
        {
            "title": f"Nearest prototypes, {first.level}",
            "rows": [
                {"name": str(near["label"]), "value": f"{near['similarity']:.2f}", "share": float(near["similarity"])}
                for near in first.prototypes.to_dict("records")
            ],
        },
        _of_genes(_ABOVE, card.above),
        _of_genes(_BELOW, card.below),
        _of_genes(_HIGHEST, card.genes),
    ]


def _of_level(level: LevelOfCell) -> dict[str, Any]:
    names = ", ".join(level.prediction_set)
    words = [f"✓ cannot be told apart with a coverage of {COVERAGE:.0%}".replace("%", " %") + f": {names}."]
    return {
        "title": level.level,
        "action": _BY_LABEL,
        "rows": [
            {
                "id": f"label:{level.level}",
                "name": str(told["label"]),
                "value": f"{told['probability']:.2f}",
                "share": float(told["probability"]),
                "marked": bool(told["in_set"]),
            }
            for told in level.labels.to_dict("records")
        ],
        "words": words if len(level.prediction_set) > 1 else [],
    }


def _neighbor(line: Mapping[Any, Any], reference: Reference) -> dict[str, Any]:
    told = {name: str(line[name]) for name in line if name not in ("cell", "similarity") and line[name]}
    label = told.pop(reference.levels[0], "") or "unlabelled"
    others = dict.fromkeys([*told.values(), str(line["cell"])])  # levels may name a cell alike
    return {
        "name": label,
        "value": f"{line['similarity']:.2f}",
        "note": " · ".join(other for other in others if other != label),
    }


def _of_genes(title: str, table: pd.DataFrame) -> dict[str, Any]:
    most = max([*table["observed"], *table["expected"], 1e-9])
    return {
        "title": title,
        "action": _BY_GENE,
        "rows": [
            {
                "id": f"gene:{told['gene']}",
                "name": str(told["gene"]),
                "value": f"{told['observed']:.1f}, expected {told['expected']:.1f}",
                "share": float(told["observed"] / most),
            }
            for told in table.head(SHOWN_GENES).to_dict("records")
        ],
        "words": ["Counts per 10,000."] if len(table) else ["None."],
    }


def reference_section(reference: Reference, row: int) -> dict[str, Any]:
    """What the reference says of one of its cells."""
    shown = dict.fromkeys([*reference.levels, *filter(None, (reference.card["batch"], reference.card["sample"]))])
    obs = reference.obs.iloc[row]
    rows: list[dict[str, Any]] = [{"name": name, "value": str(obs[name])} for name in shown if name in obs]
    if keys.TOTALS in obs:
        rows.append({"name": "Total counts", "value": f"{obs[keys.TOTALS]:,.0f}"})
    for told in rows:
        if told["name"] in reference.levels:
            told["id"] = f"label:{told['name']}"
    return {"title": "Reference cell", "action": _BY_LABEL, "rows": rows}
