"""What the model behind a result answered to reference cells that were left out: what a threshold is judged by."""

from __future__ import annotations

from explorer import keys
from explorer.doubt.examined import Examined
from explorer.doubt.trade import Trade
from explorer.flow import MappingResult, Reference
from explorer.mapping import panels
from explorer.reading.proteins import LEFT_OUT
from explorer.reference import model_folder, read_heads


def left_out_answers(reference: Reference, result: MappingResult) -> dict[str, Examined]:
    """Calibrated answers to left-out reference cells by label level; levels of which none was left out are missing.

    They are those of the model as it was trained, also where it learned from the query before it mapped.

    Raises
    ------
    ReferenceProblem
        If the reference no longer holds the model, or its calibration cannot be read.
    """
    folder = model_folder(panels.reopened(reference, result.provenance.panel), result.method)
    by_rna = folder / keys.RNA_FOLDER
    placed_by_rna = result.provenance.options.get("proteins", LEFT_OUT) == LEFT_OUT
    heads = read_heads(by_rna if placed_by_rna and by_rna.is_dir() else folder)
    return {head.level: head.examined for head in heads if len(head.examined.codes)}


def trades(result: MappingResult, reference: Reference) -> dict[str, Trade]:
    """What the threshold of confidence leaves of a result at each label level, and how right that is.

    Raises
    ------
    ReferenceProblem
        If the reference no longer holds the model, or its calibration cannot be read.
    """
    examined = left_out_answers(reference, result)
    return {level.level: Trade.of(level, examined.get(level.level)) for level in result.labels.levels}
