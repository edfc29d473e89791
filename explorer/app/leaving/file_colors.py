"""The colours of the screen for a file that others open. Knows no widgets."""

from __future__ import annotations

from explorer import keys
from explorer.app.colors.coloring import column_colors
from explorer.app.colors.paints import label_paints
from explorer.app.tab.session import Session
from explorer.drawing.columns import is_measured


def file_colors(session: Session) -> dict[str, dict[str, str]]:
    """Colours of the predicted labels, and of own columns that a person chose colours for, by column and category."""
    outcome, reference, paints = session.outcome, session.reference, session.paints
    if outcome is None or reference is None:
        return {}
    result = outcome.result
    levels = [found.level for found in result.labels.levels]
    found = {keys.predicted(level): label_paints(reference, level, paints) for level in levels}
    for column in chosen_columns(session):
        found[column] = column_colors(column, outcome, reference, session.level, paints)
    return found


def chosen_columns(session: Session) -> tuple[str, ...]:
    """Columns of names that the query brought and a person chose colours for."""
    if session.outcome is None:
        return ()
    obs = session.outcome.result.obs
    columns = dict.fromkeys(column for column, _, _ in session.paints.chosen)
    return tuple(name for name in columns if name in obs and not is_measured(obs[name]))
