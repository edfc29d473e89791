"""Provenance as a nested table of plain values, as AnnData keeps it in uns, and back.

Knows which types every AnnData version reads; does not know files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from explorer.beside import ConditionEmbedding, Light, Signal, Verdict
from explorer.provenance import Coverage, Panel, Provenance


def provenance_record(provenance: Provenance) -> dict[str, Any]:
    """A nested dict of text, numbers and arrays of one type; what is `None` is left out."""
    panel = None if provenance.panel is None else _as_dict(provenance.panel)
    return storable(_as_dict(provenance) | {"coverage": _as_dict(provenance.coverage), "panel": panel})


def read_provenance(record: Mapping[str, Any]) -> Provenance:
    """Provenance from what `provenance_record` stored and AnnData read back."""
    plain = {field.name: _plain(record.get(field.name)) for field in fields(Provenance)}
    plain["coverage"] = Coverage(**plain["coverage"] | {"missing": tuple(plain["coverage"]["missing"])})
    plain["notices"] = tuple(plain["notices"])
    plain["options"] = plain["options"] or {}
    if plain["panel"] is not None:
        plain["panel"] = Panel(**plain["panel"] | {"genes": tuple(plain["panel"]["genes"])})
    return Provenance(**plain)


def conditions_record(conditions: Sequence[ConditionEmbedding]) -> dict[str, Any]:
    """Condition embeddings by their number; a column's name may hold what a file's keys may not."""
    return {
        str(at): {
            "column": condition.column,
            "names": np.asarray(condition.names, dtype=object),
            "values": condition.values,
            "from_query": condition.from_query,
        }
        for at, condition in enumerate(conditions)
    }


def read_conditions(record: Mapping[str, Any]) -> tuple[ConditionEmbedding, ...]:
    """Condition embeddings from what `conditions_record` stored and AnnData read back."""
    return tuple(
        ConditionEmbedding(
            str(record[at]["column"]),
            np.asarray(record[at]["names"], dtype=object),
            np.asarray(record[at]["values"], np.float32),
            np.asarray(record[at]["from_query"], bool),
        )
        for at in sorted(record, key=int)
    )


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict; its lights by their number."""
    lights = {str(at): asdict(light) for at, light in enumerate(verdict.lights)}
    return storable(asdict(verdict) | {"lights": lights})


def read_verdict(record: Mapping[str, Any]) -> Verdict:
    """A verdict from what `verdict_record` stored and AnnData read back."""
    plain = _plain(record)
    lights = [plain["lights"][at] for at in sorted(plain["lights"], key=int)]
    return Verdict(
        Signal(plain["signal"]),
        plain["summary"],
        tuple(plain["causes"]),
        tuple(plain["advice"]),
        tuple(Light(**light | {"signal": Signal(light["signal"])}) for light in lights),
    )


def storable(value: Any) -> Any:
    """A JSON-like value in types that every AnnData version writes and reads."""
    if isinstance(value, Mapping):
        return {str(key): storable(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        if all(isinstance(inner, str) for inner in value):
            return np.array([str(inner) for inner in value], dtype=object)
        if all(isinstance(inner, int | float) for inner in value):
            return np.array(value)
        return json.dumps(value)
    # Subclasses such as members of a StrEnum have no writer of their own.
    return str(value) if isinstance(value, str) else value


def _as_dict(value: Provenance | Coverage | Panel) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: Any) -> Any:
    """numpy scalars and arrays, as AnnData reads them, as Python values."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
