"""Maps of a figure, as words ask for them: the same cells, colours and order as on the page."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np

from components.coloring import Categories, Coloring
from components.raster import AS_IN_FILE, RANDOM
from explorer.asking.comparing import cells_told
from explorer.asking.known_sets import named_set
from explorer.asking.painting import (
    AGREEMENT,
    COLUMN,
    CONFIDENCE,
    CONSENSUS,
    GENE,
    GENES,
    LABEL,
    NOVELTY,
    PROTEIN,
    genes_named,
    mean_of,
    name_of_genes,
    of_reference,
    on_scale_of,
)
from explorer.asking.panel_words import SET, Asked
from explorer.asking.scene import Scene
from explorer.drawing.coloring import (
    by_agreement,
    by_column,
    by_confidence,
    by_consensus,
    by_gene,
    by_imputed_protein,
    by_novelty,
)
from explorer.drawing.figures import Picture, split_by
from explorer.errors import AtlasError, OptionsProblem
from explorer.flow import BoolArray, MappingResult
from explorer.methods import METHODS
from explorer.prose import consensus_consequence, consequence
from explorer.reading.pictures import read_picture
from explorer.reference import read_layout


def maps_of(scene: Scene, asked: Asked) -> list[Picture]:
    """The maps of a panel: one, one for each value of the column that splits it, or the reference's beside the query's.

    Raises
    ------
    AtlasError
        If the cells do not have what is asked for.
    """
    result, reference, show = scene.one(asked), scene.reference, asked.text("show", "query")
    below = read_layout(reference, result.method)
    if show == "reference":
        name = _name(scene, asked, in_reference=True)
        picture = Picture(below, _of_reference(scene, asked, name), cells_name=reference.title)
        return [_drawn(replace(picture, title=asked.text("title", _title(scene, asked, name))), asked)]
    name = _name(scene, asked)
    coloring = _styled(_of_query(scene, asked, name, result), asked)
    title = asked.text("title", _title(scene, asked, name))
    picture = Picture(
        result.layout, coloring, None if show == "alone" else below, title=title,
        cells_name=result.provenance.query, background_name=f"reference {reference.title}",
        note=_note(scene, asked, result), selected=_selected(scene, asked),
    )  # fmt: skip
    found = split_by(_drawn(_in_own_picture(scene, asked, picture), asked), scene.obs, asked.text("split"))
    if show == "both":
        beside = None
        with suppress(AtlasError):  # it has nothing of the kind, and is grey
            beside = on_scale_of(coloring, _of_reference(scene, asked, name))
        found.append(_drawn(Picture(below, beside, title="Reference", cells_name=reference.title), asked, hides=False))
    return found


def _drawn(picture: Picture, asked: Asked, *, hides: bool = True) -> Picture:
    """A picture with the settings that hold for any cells."""
    hidden = _hidden(picture.coloring, asked) if hides else ()
    return replace(
        picture, point=asked.number("point"), names=asked.text("names", "no") != "no", hidden=hidden
    )


def _in_own_picture(scene: Scene, asked: Asked, picture: Picture) -> Picture:
    """The same cells where a picture of the query's own has them."""
    key = asked.text("picture")
    if not key:
        return picture
    if scene.query.path is None:
        raise OptionsProblem("Cells handed over in memory have no pictures of their own; leave the picture out.")
    places = read_picture(scene.query.path, key)
    return replace(picture, cells=places, background=None, axes=(f"{key} 1", f"{key} 2"))


# colours


def _name(scene: Scene, asked: Asked, *, in_reference: bool = False) -> str:
    """What is coloured by, as it is called among the cells; a set with its genes."""
    if asked.what == SET:
        return named_set(asked.name, scene.sets)
    if asked.what == GENE:
        return _only(scene.genes(asked.name, in_reference=in_reference))
    if asked.what == GENES:
        found = scene.genes(asked.name, in_reference=in_reference)
        return name_of_genes(f"{len(found)} genes" if len(found) > 1 else found[0], found)
    return asked.name


def _only(found: list[str]) -> str:
    if len(found) > 1:
        listed = ",".join(found)
        raise OptionsProblem(f"map:gene shows one; {listed} were named. Write map:genes={listed} for their mean.")
    return found[0]


def _title(scene: Scene, asked: Asked, name: str) -> str:
    level = scene.level_of(asked)
    if asked.what == LABEL and asked.text("show") == "reference":
        return f"Reference, {level}"
    by = f", {METHODS[asked.text('method')].card.title}" if asked.text("method") in METHODS else ""
    told = {
        LABEL: f"Consensus {level}" if scene.is_consensus(asked) else f"Predicted {level}{by}",
        CONFIDENCE: f"Confidence{by}", NOVELTY: f"Novelty{by}", CONSENSUS: f"Consensus {level}",
        AGREEMENT: f"Agreement of methods, {level}",
    }  # fmt: skip
    return told.get(asked.what, genes_named(name)[0] if asked.what in (SET, GENES) else name)


def _of_query(scene: Scene, asked: Asked, name: str, result: MappingResult) -> Coloring:
    level, labels = scene.level_of(asked), scene.labels(asked)
    if asked.what == LABEL:
        return scene.named_labels(asked)
    if asked.what == CONFIDENCE:
        return by_confidence(labels)
    if asked.what == NOVELTY:
        return by_novelty(labels)
    if asked.what == CONSENSUS:
        return by_consensus(scene.consensus(level).labels, scene.label_colors(asked))
    if asked.what == AGREEMENT:
        return by_agreement(scene.consensus(level).agreement, level)
    if asked.what == GENE:
        return by_gene(name, scene.values([name])[name].to_numpy(np.float32))
    if asked.what == PROTEIN:
        return by_imputed_protein(result.proteins, name)
    if asked.what == COLUMN:
        return by_column(scene.obs, name, {**scene.label_colors(asked), **scene.brought(name)})
    return mean_of(name, scene.query)


def _of_reference(scene: Scene, asked: Asked, name: str) -> Coloring:
    kind = GENES if asked.what == SET else asked.what
    found = of_reference(scene.reference, kind, name, scene.level_of(asked), scene.label_colors(asked))
    return _styled(found, asked)


def _styled(coloring: Coloring, asked: Asked) -> Coloring:
    """A colouring with the order, palette and scale that were asked for."""
    order, palette, ends = asked.text("order"), asked.text("palette"), asked.ends("scale")
    if isinstance(coloring, Categories):
        if palette or ends or order not in ("", RANDOM, AS_IN_FILE):
            raise OptionsProblem(
                f"palette, scale and an order by value go with values; {coloring.title} tells names. Leave them out."
            )
        return replace(coloring, order=order or coloring.order)
    if palette and palette not in mpl.colormaps:
        raise OptionsProblem(f"There is no palette {palette!r}. Choose viridis, cividis, magma, inferno or Greys.")
    changes: dict[str, Any] = {"order": order, "colormap": palette, "limits": ends}
    return replace(coloring, **{name: value for name, value in changes.items() if value})


def _hidden(coloring: Coloring | None, asked: Asked) -> tuple[int, ...]:
    names = asked.listed("hide")
    if not names:
        return ()
    if not isinstance(coloring, Categories):
        raise OptionsProblem("Cells are hidden by the names that colour them; this map shows values. Leave out hide.")
    for name in names:
        if name not in coloring.names:
            raise OptionsProblem(f"There is no {name!r} to hide; there are {', '.join(coloring.names)}.")
    return tuple(coloring.names.index(name) for name in names)


def _selected(scene: Scene, asked: Asked) -> BoolArray | None:
    told = asked.text("select")
    return cells_told(scene.obs, told) if told else None


def _note(scene: Scene, asked: Asked, result: MappingResult) -> str:
    """What the threshold does, for maps that it speaks of."""
    level = scene.level_of(asked)
    if asked.what == CONSENSUS or (asked.what in (LABEL, CONFIDENCE) and scene.is_consensus(asked)):
        return consensus_consequence(scene.consensus(level))
    return consequence(result, level) if asked.what in (LABEL, CONFIDENCE) else ""
