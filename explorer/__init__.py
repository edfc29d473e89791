"""Atlas Explorer: map single-cell data onto a reference atlas, see how sure the answer is and why.

From a notebook or a script:

    import explorer
    query = explorer.open_query("mine.h5ad")
    reference = explorer.open_reference("pbmc.atlas")
    result = explorer.map_query(query, reference)
    explorer.write_h5ad(result, query, "mine_mapped.h5ad")
    explorer.draw_figure(query, reference, result, ["map", "map:gene=CD14", "composition:sample"])
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "Look": "explorer.drawing.composing",
    "build_reference": "explorer.building.fitting",
    "draw_figure": "explorer.asking.picturing",
    "explain_cells": "explorer.mapping.corridor",
    "explain_label": "explorer.asking.explaining",
    "judged": "explorer.asking.judging",
    "judged_together": "explorer.asking.judging",
    "label_points": "explorer.asking.prototypes",
    "left_out_answers": "explorer.mapping.left_out",
    "map_all": "explorer.mapping.several",
    "map_query": "explorer.mapping.corridor",
    "methods_paragraph": "explorer.prose",
    "open_query": "explorer.reading.query",
    "open_reference": "explorer.reference",
    "open_result": "explorer.asking.opening",
    "panels_of": "explorer.asking.picturing",
    "read_agreed": "explorer.writing.agreed_files",
    "read_result": "explorer.writing.export",
    "refine": "explorer.doubt.refinement",
    "refit_shared": "explorer.building.refitting",
    "result_with_threshold": "explorer.doubt.thresholds",
    "signature_of_cells": "explorer.asking.reasons",
    "signatures_of_labels": "explorer.asking.reasons",
    "tapped_cell": "explorer.asking.tapped",
    "trades": "explorer.mapping.left_out",
    "unknowns": "explorer.insight.unknowns",
    "wanted_threshold": "explorer.doubt.risk",
    "write_agreed": "explorer.writing.agreed_files",
    "write_agreed_csv": "explorer.writing.agreed_files",
    "write_csv": "explorer.writing.export",
    "write_disputed": "explorer.writing.agreed_files",
    "write_figure": "explorer.asking.picturing",
    "write_h5ad": "explorer.writing.export",
    "write_paragraph": "explorer.prose",
    "write_probabilities": "explorer.writing.all_classes",
    "write_report": "explorer.asking.reporting",
    "write_script": "explorer.writing.scripting",
    "write_signature": "explorer.writing.export",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    # a server runs this file for every app it starts: torch and its kin are imported when a name is first used
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'explorer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
