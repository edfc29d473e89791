"""Labels at all levels of a reference, such that levels that lie in one another do not contradict each other.

Knows a trained method and embedded cells; does not know files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from explorer.doubt.labels import LevelHead, log_answers, transfer_level
from explorer.doubt.nesting import Nested, coarse_first, likeliest_path, nesting
from explorer.errors import OptionsProblem
from explorer.flow import (
    AlignedCells,
    BoolArray,
    Embedding,
    IntArray,
    LabelTransfer,
    LevelLabels,
    Neighbors,
)
from explorer.mapping.models import TrainedMethod

LEFT_OUT_BATCHES, QUANTILE = "left-out", "quantile"
UNKNOWN_RULES = (LEFT_OUT_BATCHES, QUANTILE)


class Agreeing(Enum):
    """How levels that lie in one another are kept from contradicting each other."""

    JOINTLY = "all levels have a say"
    COARSE_FIRST = "the coarse decides"
    NOT = "each level by itself"


@dataclass(frozen=True)
class Labelling:
    """How cells are to be labelled.

    Attributes
    ----------
    by_quantile
        Whether the 99 % quantile of held-out cells makes a cell unknown, not what leaving batches out has taught.
    """

    agreeing: Agreeing = Agreeing.JOINTLY
    by_quantile: bool = False


def told_of_added(heads: Sequence[LevelHead], labels: LabelTransfer) -> tuple[str, ...]:
    """How little is known of labels that a user has added to a reference, one sentence each that any cell got."""
    told = []
    for head in heads:
        found, old = labels.level(head.level), len(head.classes) - head.held_out.added
        for code in range(old, len(head.classes)):
            cells, n = int((found.codes == code).sum()), len(head.held_out.both[code])
            if cells:
                told.append(
                    f"{cells:,} cells got the label {head.classes[code]} at {head.level}, which was added to the "
                    f"reference with {n:,} cells: how novel a cell is to it is told from these alone, and no finer "
                    f"than 1 in {n + 1:,}."
                )
    return tuple(told)


def labelling(hierarchical: bool, independent: bool, unknown: str) -> Labelling:
    """What the options of a mapping ask for.

    Raises
    ------
    OptionsProblem
        If levels are to be labelled both coarse first and each by itself, or there is no such rule for the unknown.
    """
    if hierarchical and independent:
        raise OptionsProblem(
            "Levels can be labelled coarse first, or each by itself, but not both. Choose one; if none is chosen, they "
            "agree and all have a say."
        )
    if unknown not in UNKNOWN_RULES:
        raise OptionsProblem(
            f"There is no rule {unknown!r} for the unknown; choose one of: {', '.join(UNKNOWN_RULES)}."
        )
    agreeing = Agreeing.NOT if independent else Agreeing.COARSE_FIRST if hierarchical else Agreeing.JOINTLY
    return Labelling(agreeing, unknown == QUANTILE)


def label_levels(
    trained: TrainedMethod,
    cells: AlignedCells,
    embedding: Embedding,
    neighbors: Neighbors,
    asked: Labelling,
    found: BoolArray,
) -> LabelTransfer:
    """Label cells at every level, in the order of the reference.

    Parameters
    ----------
    cells, embedding, neighbors
        n x g, float32 (n, d), and their nearest reference cells.
    found
        bool (g,), genes that the query holds.
    """
    at = {head.level: i for i, head in enumerate(trained.heads)}
    nested = levels_within(trained)
    settled = _settled(trained, embedding, neighbors, nested) if asked.agreeing is Agreeing.JOINTLY else {}
    done: dict[str, LevelLabels] = {}
    for level in coarse_first(nested, tuple(at)):
        near, allowed = neighbors, None
        if level in nested and asked.agreeing is Agreeing.COARSE_FIRST:
            above = done[nested[level].within].codes
            of_above = trained.members[at[nested[level].within]]
            near = of_above.neighbors(embedding.values, above, neighbors.indices.shape[1])
            allowed = nested[level].inside[above]
        done[level] = transfer_level(
            trained.heads[at[level]],
            cells,
            embedding,
            near,
            trained.members[at[level]],
            found,
            allowed=allowed,
            settled=settled.get(level),
            by_quantile=asked.by_quantile,
        )
    return LabelTransfer(tuple(done[level] for level in at), {fine: of.within for fine, of in nested.items()})


def unknown_rule(asked: Labelling) -> str:
    """What makes a cell unknown, by name."""
    return QUANTILE if asked.by_quantile else LEFT_OUT_BATCHES


def levels_within(trained: TrainedMethod) -> dict[str, Nested]:
    """Which label levels of a reference lie in which, by the name of the finer one."""
    codes = {head.level: members.codes for head, members in zip(trained.heads, trained.members, strict=True)}
    return nesting(codes, {head.level: len(head.classes) for head in trained.heads})


def _settled(
    trained: TrainedMethod, embedding: Embedding, neighbors: Neighbors, nested: Mapping[str, Nested]
) -> dict[str, IntArray]:
    """The labels that all levels together find likeliest, at the levels that lie in one another or hold others."""
    together = set(nested) | {of.within for of in nested.values()}
    scores = {
        head.level: log_answers(head, embedding, neighbors, members)
        for head, members in zip(trained.heads, trained.members, strict=True)
        if head.level in together
    }
    return likeliest_path(scores, nested)
