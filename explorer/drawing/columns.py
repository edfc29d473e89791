"""Which columns of obs can be shown, and as what. Knows tables, no widgets."""

from __future__ import annotations

import pandas as pd

MOST_CATEGORIES = 236
"""More categories than this cannot be told apart on any screen."""


def is_measured(column: pd.Series) -> bool:
    """Whether a column holds measurements, which get a colour scale, not names, which get a colour each."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def usable_columns(obs: pd.DataFrame) -> tuple[str, ...]:
    """Columns that can colour cells: measurements, and names that are few enough to tell apart."""
    return tuple(
        str(name) for name in obs.columns if is_measured(obs[name]) or 1 <= obs[name].nunique() <= MOST_CATEGORIES
    )
