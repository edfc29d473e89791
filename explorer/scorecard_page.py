"""An evaluation as one page that needs nothing else: tables, pictures, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def page(scorecard: Mapping[str, Any]) -> str:
    """HTML text."""
    return f"<!doctype html><title>{scorecard['provenance']['file']}</title>"
