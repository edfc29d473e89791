"""A stricter threshold of confidence for cells that are mapped already. Knows labels and how sure they are.

What a mapping writes calls a cell unknown by the reference's own rule. Whoever wants fewer and surer labels raises the
threshold: more cells are then unknown, at every label level, and nothing else changes. It cannot be lowered beyond that
rule, since a result does not keep what its unsure cells would have been.
"""

from __future__ import annotations

from dataclasses import replace

from explorer.errors import OptionsProblem
from explorer.flow import UNKNOWN_CONFIDENCE, LabelTransfer, LevelLabels, MappingResult


def with_threshold(labels: LevelLabels, threshold: float) -> LevelLabels:
    """The same labels, with cells of less confidence among the unknown.

    Parameters
    ----------
    labels
        As they were mapped, n cells.
    threshold
        From that of the labels, which changes nothing, to 1.

    Raises
    ------
    OptionsProblem
        If the threshold lies outside.
    """
    require_threshold(threshold, labels.threshold)
    if threshold == labels.threshold:
        return labels
    return replace(labels, unknown=labels.unknown | (labels.confidence < threshold), threshold=threshold)


def require_threshold(threshold: float, least: float = UNKNOWN_CONFIDENCE) -> None:
    """Refuse what cannot be a threshold of labels that were made with the threshold `least`.

    Raises
    ------
    OptionsProblem
        If it lies below that, or above 1.
    """
    if not least <= threshold <= 1:
        raise OptionsProblem(
            f"A threshold of confidence lies between {least} and 1; {threshold} was asked for. Which of the cells of "
            f"less than {least} would carry a label is no longer known."
        )


def labels_with_threshold(labels: LabelTransfer, threshold: float) -> LabelTransfer:
    """The same labels, with cells of less confidence among the unknown at every level.

    Raises
    ------
    OptionsProblem
        If the threshold lies below that of the labels, or above 1.
    """
    levels = tuple(with_threshold(level, threshold) for level in labels.levels)
    is_same = all(level is before for level, before in zip(levels, labels.levels, strict=True))
    return labels if is_same else LabelTransfer(levels, labels.within)


def result_with_threshold(result: MappingResult, threshold: float) -> MappingResult:
    """The same result, with cells of less confidence among the unknown at every label level.

    Raises
    ------
    OptionsProblem
        If the threshold lies below that of the labels, or above 1.
    """
    labels = labels_with_threshold(result.labels, threshold)
    return result if labels is result.labels else replace(result, labels=labels)
