"""The words that ask for a panel of a figure, in a shell or a notebook.

    map                                     cells in the colours of their labels
    map:gene=CD14; split=condition          a map of a gene for each condition
    composition:sample                      shares of labels by sample
    dots:CD3D,CD14; by=condition            genes in groups of cells

KIND[:WHAT][; SETTING=VALUE]... Knows words, neither cells nor colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from components.raster import ORDERS
from explorer.asking.painting import AGREEMENT, COLUMN, CONFIDENCE, CONSENSUS, GENE, GENES, LABEL, NOVELTY, PROTEIN
from explorer.drawing.tallies import COMPOSITION, CONFUSION, GENES_BY_GROUP
from explorer.errors import OptionsProblem

MAP, VOLCANO = "map", "volcano"
SET = "set"
PLAIN = (LABEL, CONFIDENCE, NOVELTY, CONSENSUS, AGREEMENT)
NAMED: Mapping[str, str] = {GENE: "CD14", GENES: "CD3D,CD3E", SET: "NAME", PROTEIN: "CD3", COLUMN: "condition"}
"""What colours a map by itself, and what needs a name, with an example of one."""

FORMS: Mapping[str, str] = {
    MAP: f"map:{'|'.join(PLAIN)}, or " + ", ".join(f"map:{kind}={name}" for kind, name in NAMED.items()),
    COMPOSITION: "composition:COLUMN, shares of labels in each of its values",
    CONFUSION: "confusion:COLUMN, labels of your own against predicted ones",
    CONFIDENCE: "confidence, how often it is how high, with the threshold",
    **{kind: f"{kind}:GENE,GENE,..., {title[0].lower()}{title[1:]}" for kind, title in GENES_BY_GROUP.items()},
    VOLCANO: "volcano:COLUMN=VALUE, genes that tell these cells from all others",
}
"""Kinds of panels, and how each is asked for."""

SHOWN = ("query", "alone", "reference", "both")
_GENES = tuple(GENES_BY_GROUP)
SETTINGS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "title": (tuple(FORMS), "written above; none with title="),
    "level": ((MAP, COMPOSITION, CONFUSION, CONFIDENCE, *_GENES), "label level"),
    "method": ((MAP, COMPOSITION, CONFUSION, CONFIDENCE, *_GENES), "of a file of several; the consensus if not given"),
    "split": ((MAP,), "COLUMN: one map for each of its values"),
    "show": ((MAP,), f"{', '.join(SHOWN)}: which cells; query, on the reference, if not given"),
    "picture": ((MAP,), "obsm key of a picture of your own, drawn without the reference"),
    "names": ((MAP,), "names of the categories on the map"),
    "hide": ((MAP,), "categories that are left out, with commas between"),
    "select": ((MAP,), "COLUMN=VALUE: these cells keep their colour, others turn pale"),
    "order": ((MAP,), f"who lies on top: {', '.join(ORDERS)}"),
    "palette": ((MAP,), "of values, such as viridis, cividis, magma, Greys"),
    "scale": ((MAP,), "LOW..HIGH, ends of the colour scale"),
    "point": ((MAP,), "diameter of a cell, mm"),
    "by": (_GENES, "COLUMN that groups cells; the labels if not given"),
    "against": ((VOLCANO,), "another value of the column; all other cells if not given"),
    "within": ((VOLCANO,), "COLUMN=VALUE: only these cells are looked at"),
    "test": ((VOLCANO,), "wilcoxon or t"),
    "sample": ((VOLCANO,), "COLUMN: samples are compared, not cells"),
    "donor": ((VOLCANO,), "COLUMN of the samples' donors, to compare in pairs"),
}
"""What may be said of a panel: of which kinds, and what it means."""


@dataclass(frozen=True)
class Asked:
    """One panel, as words ask for it.

    Attributes
    ----------
    kind
        One of `FORMS`.
    what
        What colours a map: one of `PLAIN` or `NAMED`; empty for charts.
    name
        Of the gene, column or whatever else is asked for; several genes with commas or spaces between.
    said
        Settings by name, as they were written.
    """

    kind: str
    what: str = ""
    name: str = ""
    said: Mapping[str, str] = field(default_factory=dict)

    def text(self, setting: str, otherwise: str = "") -> str:
        """A setting, or what holds where it was not given."""
        return self.said.get(setting, otherwise)

    def listed(self, setting: str) -> tuple[str, ...]:
        """The names of a setting that lists them."""
        return tuple(name.strip() for name in self.text(setting).split(",") if name.strip())

    def number(self, setting: str) -> float | None:
        """A setting that is a number above 0; `None` where it was not given.

        Raises
        ------
        OptionsProblem
            If it is none.
        """
        return _number(setting, self.text(setting)) if setting in self.said else None

    def ends(self, setting: str) -> tuple[float, float] | None:
        """A setting that holds two numbers in rising order, LOW..HIGH; `None` where it was not given.

        Raises
        ------
        OptionsProblem
            If it holds none.
        """
        if setting not in self.said:
            return None
        low, _, high = self.text(setting).partition("..")
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = (0.0, 0.0)
        if not ends[0] < ends[1]:
            raise OptionsProblem(
                f"{setting}={self.text(setting)} holds no two rising numbers. Write for instance {setting}=0..3"
            )
        return ends


def read_panel(words: str) -> Asked:
    """What is asked for by the words of one panel.

    Raises
    ------
    OptionsProblem
        If there is no such kind of panel or setting, or something needs a name.
    """
    head, *settings = (part.strip() for part in words.split(";"))
    kind, _, rest = (part.strip() for part in head.partition(":"))
    if kind not in FORMS:
        raise OptionsProblem(f"A panel is one of {', '.join(FORMS)}; {kind!r} was asked for. {_hint(head)}")
    asked = _map_of(rest) if kind == MAP else Asked(kind, name=rest)
    if kind not in (MAP, CONFIDENCE) and not rest:
        raise OptionsProblem(f"A panel of the kind {kind} needs to know of what: {FORMS[kind]}.")
    return replace(asked, said=dict(_setting(kind, words) for words in settings if words))


def settings_of(kind: str) -> tuple[str, ...]:
    """Names of what may be said of a kind of panel."""
    return tuple(name for name, (kinds, _) in SETTINGS.items() if kind in kinds)


def panel_help() -> str:
    """Kinds of panels and their settings, as lines of help."""
    kinds = [f"  {form}" for form in FORMS.values()]
    settings = [f"  {name:<8} {told}{_only(kinds_of)}" for name, (kinds_of, told) in SETTINGS.items()]
    return "\n".join([
        "panels (KIND[:WHAT][; SETTING=VALUE]..., in quotes):", *kinds, "", "settings of panels:", *settings, "",
        "for instance:", "  --panel map --panel 'map:gene=ISG15; split=condition' --panel 'dots:CD14,LYZ,CD3D'",
    ])  # fmt: skip


def _hint(head: str) -> str:
    """What may have been meant by words that ask for no kind of panel."""
    what, _, name = head.replace("=", ":", 1).partition(":")
    if what in (*PLAIN, *NAMED):
        return f"Do you mean {MAP}:{what}{f'={name}' if name else ''}?"
    return "All that panels can be is told by: atlas-explorer figure --panels"


def _only(kinds: tuple[str, ...]) -> str:
    return "" if len(kinds) > len(_GENES) else f" ({'genes' if kinds == _GENES else ', '.join(kinds)})"


def _map_of(rest: str) -> Asked:
    what, _, name = (part.strip() for part in rest.partition("="))
    what = what or LABEL
    if what not in (*PLAIN, *NAMED):
        raise OptionsProblem(f"A map is coloured by {', '.join((*PLAIN, *NAMED))}; {what!r} was asked for.")
    if what in NAMED and not name:
        raise OptionsProblem(f"{MAP}:{what} needs a name, such as {MAP}:{what}={NAMED[what]}")
    if what in PLAIN and name:
        raise OptionsProblem(f"{MAP}:{what} takes no name; {name!r} was given. Write {MAP}:{what}")
    return Asked(MAP, what, name)


def _setting(kind: str, words: str) -> tuple[str, str]:
    name, _, value = (part.strip() for part in words.partition("="))
    if name not in settings_of(kind):
        raise OptionsProblem(f"A panel of {kind} has no setting {name!r}; it has {', '.join(settings_of(kind))}.")
    if not value and name not in ("names", "title"):
        raise OptionsProblem(f"The setting {name} of a panel needs a value: {name}=..., {SETTINGS[name][1]}.")
    if name == "show" and value not in SHOWN:
        raise OptionsProblem(f"A map shows {', '.join(SHOWN)}; show={value} was asked for.")
    if name == "order" and value not in ORDERS:
        raise OptionsProblem(f"The order of cells is {', '.join(ORDERS)}; order={value} was asked for.")
    return name, value


def _number(setting: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise OptionsProblem(f"{setting}={text} is no number above 0.")
    return value
