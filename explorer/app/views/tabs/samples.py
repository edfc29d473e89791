"""Samples told apart by what a method has learned of them: components, covariates and genes along, guessed labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import panel_material_ui as pmui
import param

from components.choice_table import ChoiceTable
from components.menu import Menu
from components.scatter import Scatter
from components.theme import MISSING_COLOR, category_colors, value_colors
from explorer.app import look
from explorer.app.answers.sampling import (
    CELLS,
    FROM,
    Classified,
    SampleMap,
    classified,
    conditions_of,
    genes_along,
    methods_that_describe,
    sample_map,
)
from explorer.app.colors.coloring import ColorBy, column_colors
from explorer.app.leaving.downloads import Offered
from explorer.app.leaving.tables import offered_frame
from explorer.app.stored.library import Outcome
from explorer.app.tab import recalling
from explorer.app.tab.mapping_jobs import title_of
from explorer.app.tab.session import Session
from explorer.app.views.base import Standing
from explorer.app.views.tabs.tab import SLIM, TabView, column, part, row, side_by_side
from explorer.app.words import told as told_of
from explorer.errors import OptionsProblem
from explorer.settings import settings

SHOWN_GENES = 20
_NONE = (
    "{method} learns nothing of samples. {others} does: map by it, and its picture of the samples stands here. Its way "
    "“Learn my batches” also describes the samples of your file."
)
_ABOUT = (
    "Each point is a {column}, by the vector that {method} has learned of it. {query}Adjusted R² is the share of a "
    "component's variance that a covariate accounts for, less what chance would."
)
_WITHOUT = "Map in the way “Learn my batches” to see those of your file beside them. "
_WITH = "Diamonds are those of your file. "
_ASSOCIATIONS = [
    {"key": "covariate", "label": "Covariate"},
    {"key": "component", "label": "Component", "align": "right"},
    {"key": "adjusted", "label": "Adjusted R²", "align": "right", "help": told_of("adjusted R2")},
    {"key": "samples", "label": "n", "align": "right"},
]
_GENES = [
    {"key": "gene", "label": "Gene"},
    {"key": "r", "label": "r", "align": "right"},
    {"key": "p", "label": "p", "align": "right"},
    {"key": "q", "label": "q", "align": "right"},
]


class SamplesView(TabView):
    """The picture of samples, with covariates as colours."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._found: SampleMap | None = None
        self._along: pd.DataFrame | None = None
        self._has_looked = False  # whether the method was found to describe samples, or not to
        self._asked: tuple[Any, ...] = ()
        self._color = Menu(label="Colour", options=[FROM], value=FROM, size="small", width=170,
                                  margin=(8, 10, 4, 0), sx=SLIM)  # fmt: skip
        self._component = Menu(label="Genes along", options={}, size="small", width=130, margin=(8, 6, 4, 0),
                                      sx=SLIM)  # fmt: skip
        self._ask_genes = pmui.Button(label="Find genes", variant="outlined", size="small", margin=(8, 10, 4, 0))
        self._ask_genes.on_click(lambda _: self._find_genes())
        self._label = Menu(label="Guess labels of", options=[], size="small", width=170, margin=(8, 10, 4, 0),
                                  sx=SLIM)  # fmt: skip
        self._link = self.link("Samples, csv", self._offer_samples)
        self._gene_link = self.link("Genes, csv", self._offer_genes)
        self._standing, self._reading = Standing(), Standing()
        self._said = look.html(margin=(2, 0, 4, 0))
        self._go = pmui.Button(label="Go to Map", variant="outlined", size="small", margin=(4, 8, 4, 0))
        self._go.on_click(lambda _: setattr(session, "step", "map"))
        self._scatter = Scatter(margin=0, sizing_mode="stretch_width")
        self._scatter.param.watch(self._choose_sample, "picked")
        self._table = ChoiceTable(columns=_ASSOCIATIONS, radio=False, dense=True, margin=0,
                                  sizing_mode="stretch_width")  # fmt: skip
        self._table.param.watch(self._choose_covariate, "value")
        self._genes = ChoiceTable(columns=_GENES, radio=False, dense=True, margin=0, sizing_mode="stretch_width")
        self._genes.param.watch(self._choose_gene, "value")
        self._guessed = look.html(margin=0)
        self._gene_part = part("Genes that go along with the component", self._genes, width=400)
        self._choices = row(self._color, self._component, self._ask_genes, self._label, self._link, self._gene_link)
        self._parts = [
            part("Principal components of the samples", self._scatter, width=430),
            part("What goes along with them", self._table, width=380),
            part("Labels by the nearest samples", self._guessed, width=400),
        ]
        self._body, self._box = side_by_side(), column()
        self.panel = column(self._standing, self._reading, self._box)
        self._color.param.watch(lambda _: self._paint(), "value")
        self._label.param.watch(lambda _: self._guess(), "value")
        self.watch(self._paint, ["paints", "level"])
        self.watch(self._ask, ["outcome", "reference", "method", "show"])
        self.watch(self._stand, ["status"])
        self._ask()

    # what is asked

    @property
    def _outcome(self) -> Outcome | None:
        return self.session.outcome if self.session.front == "query" else None

    def _ask(self) -> None:
        """Find the samples of what is in view, if they are others than those shown."""
        session, outcome = self.session, self._outcome
        reference, job, method = session.reference, session.job, session.method
        if reference is None:
            return
        asked = (reference.checksum, outcome.job if outcome is not None else "", method)
        if asked == self._asked:
            return
        self._asked, self._found, self._along, self._has_looked = asked, None, None, False
        session.forget("genes of samples", "labels of samples")
        batch = job.mapping.batch if outcome is not None and job is not None else None

        def work() -> SampleMap | None:
            found = conditions_of(reference, outcome, method, settings().device)
            return sample_map(reference, outcome, found[0], batch) if found else None

        session.attempt("samples", "Reading the samples", work, self._take_in)
        self._draw()

    def _take_in(self, found: SampleMap | None) -> None:
        self._found, self._has_looked = found, True
        if found is not None:
            covariates = [str(name) for name in found.covariates.columns]
            kept = self._color.value if self._color.value in covariates else FROM
            self._color.param.update(options=covariates, value=kept)
            shares = found.components.explained
            options = {f"PC{i + 1} ({look.share(float(share), 1)})": i for i, share in enumerate(shares)}
            self._component.param.update(options=options, value=0)
            self._label.param.update(options=list(found.labelled), value=next(iter(found.labelled), None))
            self._recall_genes()
        self._guess()
        self._draw()

    def _find_genes(self) -> None:
        session, found, outcome = self.session, self._found, self._outcome
        reference, component = session.reference, int(self._component.value or 0)
        place = recalling.place_of(session, self._kept_as)

        def use(along: pd.DataFrame) -> None:
            self._take_genes(component, along)
            recalling.keep(session, place, {"component": component, "genes": along})

        if found is not None and reference is not None:
            session.pursue(
                "genes of samples", "Reading genes",
                lambda progress: genes_along(found, reference, outcome, component, progress), use,
            )  # fmt: skip

    @property
    def _kept_as(self) -> str:
        """What the genes of these samples are kept as; of a reference, each method has samples of its own."""
        return f"genes of samples, {self.session.method}"

    def _recall_genes(self) -> None:
        name = self._kept_as

        def use(kept: dict[str, Any]) -> None:
            if name == self._kept_as and kept["component"] in self._component.options.values():
                self._take_genes(kept["component"], kept["genes"])

        recalling.recall(self.session, name, "genes of samples", use)

    def _take_genes(self, component: int, along: pd.DataFrame) -> None:
        self._component.value, self._along = component, along
        self._draw()

    def _guess(self) -> None:
        """Label samples by their neighbours, by the covariate chosen."""
        found, column = self._found, self._label.value
        if found is None or not column:
            self._guessed.object = (
                '<p class="small soft">No covariate names at least two groups of samples, so there is nothing to guess '
                "by.</p>"
            )
            return
        try:
            self._guessed.object = guessed_html(classified(found, column))
        except OptionsProblem as problem:
            self._guessed.object = f'<p class="small soft">{look.text(problem)}</p>'

    # what is chosen

    def _choose_sample(self, event: param.parameterized.Event) -> None:
        """Select the cells of a sample that is in front."""
        found, session = self._found, self.session
        if found is not None and event.new:
            at = found.names.index(event.new["name"])
            is_front = bool(found.from_query[at]) == (session.front == "query")
            codes = found.codes[1 if found.from_query[at] else 0]
            if is_front:
                session.select(np.flatnonzero(codes == at))

    def _choose_covariate(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._table.value = ""
            self._color.value = event.new.partition(":")[2]

    def _choose_gene(self, event: param.parameterized.Event) -> None:
        if event.new:
            self._genes.value = ""
            self.session.choose_color(ColorBy("gene", event.new))

    # what is drawn

    def _stand(self) -> None:
        self._standing.display(self.session.standing("samples"))
        self._reading.display(self.session.standing("genes of samples"))

    def _draw(self) -> None:
        session, found = self.session, self._found
        has = found is not None
        is_empty = not has and self._has_looked
        genes = [self._gene_part] * (self._along is not None)
        for box, wanted in (
            (self._body, [*genes, *self._parts]),
            (self._box, [self._choices, self._said, self._body] if has else [self._said, self._go] * is_empty),
        ):
            if box.objects != wanted:
                box.objects = wanted
        title = title_of(session.method)
        if found is not None:
            query = _WITH if found.from_query.any() else _WITHOUT
            self._said.object = _said(_ABOUT.format(column=found.column, method=title, query=query))
            self._table.rows = association_rows(found)
            self._paint()
        else:
            self._said.object = (
                _said(_NONE.format(method=title, others=" or ".join(methods_that_describe()))) if is_empty else ""
            )
        self.show_link(self._link, has)
        self.show_link(self._gene_link, self._along is not None)
        self._genes.rows = [] if self._along is None else gene_rows(self._along)
        self._stand()

    def _paint(self) -> None:
        if self._found is not None:
            covariate = str(self._color.value or FROM)
            self._scatter.param.update(**scatter_of(self._found, covariate, self._known(covariate)))

    def _known(self, covariate: str) -> dict[str, str]:
        """The colours that names of a covariate have on the map."""
        session, reference = self.session, self.session.reference
        if reference is None:
            return {}
        return column_colors(covariate, session.outcome, reference, session.level, session.paints)

    # what is taken home

    def _offer_samples(self) -> Offered:
        if self._found is None:
            raise OptionsProblem("No samples are described here. Look at a method that learns of them.")
        return offered_frame(self.session, "samples", sample_table(self._found))

    def _offer_genes(self) -> Offered:
        if self._along is None:
            raise OptionsProblem("No genes were found yet. Press 'Find genes' first.")
        return offered_frame(self.session, f"genes along PC{int(self._component.value or 0) + 1}", self._along)


def scatter_of(found: SampleMap, covariate: str, known: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The first two components coloured by a covariate, as parameters of `Scatter`."""
    scores, shares = found.components.scores, found.components.explained
    y = scores[:, 1] if scores.shape[1] > 1 else np.zeros(len(scores), np.float32)
    titles = [f"PC{i + 1}, {look.share(float(shares[i]), 1)} of variance" for i in range(min(2, len(shares)))]
    colors, legend = colors_of(found.covariates[covariate], known)
    shapes = [{"name": "your file", "shape": "diamond"}] if found.from_query.any() and covariate != FROM else []
    return {
        "names": list(found.names),
        "x": [float(value) for value in scores[:, 0]],
        "y": [float(value) for value in y],
        "colors": colors,
        "notes": [
            f"{covariate}: {value}\n{cells:,} cells"
            for value, cells in zip(found.covariates[covariate], found.covariates[CELLS], strict=True)
        ],
        "marked": found.from_query.tolist(),
        "x_title": titles[0],
        "y_title": titles[1] if len(titles) > 1 else "",
        "legend": [*legend, *shapes],
    }


def colors_of(
    column: pd.Series, known: Mapping[str, str] | None = None
) -> tuple[list[str], list[dict[str, str]]]:
    """A colour a sample, and the legend: names in known colours or the palette's, numbers from low to high."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(np.float64, na_value=np.nan)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        palette = value_colors()
        place = (values - low) / ((high - low) or 1) * (len(palette) - 1)
        colors = [MISSING_COLOR if np.isnan(at) else palette[int(at)] for at in place]
        return colors, [{"name": f"{low:.3g}", "color": palette[0]}, {"name": f"{high:.3g}", "color": palette[-1]}]
    names = sorted(column.dropna().astype(str).unique())
    of = dict(zip(names, category_colors(names, known), strict=True))
    colors = [MISSING_COLOR if pd.isna(value) else of[str(value)] for value in column]
    return colors, [{"name": name, "color": color} for name, color in of.items()]


def association_rows(found: SampleMap) -> list[dict[str, str]]:
    """Covariates beside components as rows of a table; those that cannot be told with so few samples say so."""
    return [
        {
            "id": f"{told['component']}:{told['covariate']}",
            "covariate": str(told["covariate"]),
            "component": f"PC{told['component']}",
            "adjusted": "too few" if pd.isna(told["adjusted_r2"]) else f"{told['adjusted_r2']:.2f}",
            "samples": str(told["samples"]),
        }
        for told in found.associations.to_dict("records")
    ]


def gene_rows(along: pd.DataFrame) -> list[dict[str, str]]:
    """The genes that go along most, as rows of a table."""
    return [
        {"id": str(told["gene"]), "gene": str(told["gene"]), "r": f"{told['r']:+.2f}", "p": f"{told['p']:.2g}",
         "q": f"{told['q']:.2g}"}
        for told in along.head(SHOWN_GENES).to_dict("records")
    ]  # fmt: skip


def sample_table(found: SampleMap) -> pd.DataFrame:
    """One row a sample: name, covariates, and its place on every component."""
    table = found.covariates.copy()
    table.insert(0, found.column if found.column not in table else "sample", list(found.names))
    for i, scores in enumerate(found.components.scores.T):
        table[f"PC{i + 1}"] = scores
    return table


def guessed_html(told: Classified) -> str:
    """How well labels are found by neighbours, and those of samples without one, as HTML."""
    scores = told.scores
    said = (
        f"{told.column} of left-out samples is found by their 4 nearest samples with an accuracy of "
        f"{scores.accuracy:.2f} (macro-F1 {scores.macro_f1:.2f}; {len(scores.guessed)} samples)."
    )
    lines = "".join(
        f'<tr><td>{look.text(each["sample"])}</td><td>{look.text(each["label"])}</td>'
        f'<td class="right">{each["share"]:.2f}</td></tr>'
        for each in told.guessed.to_dict("records")
    )
    head = '<thead><tr><th>Sample</th><th>Guessed</th><th class="right">share of votes</th></tr></thead>'
    table = f'<table class="plain dense">{head}<tbody>{lines}</tbody></table>' if lines else ""
    return f"{_said(said)}{table}"


def _said(words: str) -> str:
    return f'<p class="small soft">{look.text(words)}</p>'
