"""Genes as a person names them: by symbol, Ensembl id or the common name of their protein. Knows no widgets."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np

from explorer.reading.matching import ensembl_of, symbols_of, unversioned
from explorer.settings import ASSETS

_COMMON = ASSETS / "genes" / "common_names.csv"
_WITH_SYMBOL = re.compile(r"^.*\((?P<symbol>[^()]+)\)$")
_BETWEEN = re.compile(r"[\s,;]+")


@cache
def common_names() -> dict[str, str]:
    """Symbol by the common name of the protein, e.g. "CD20": "MS4A1"."""
    with _COMMON.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["symbol"] for row in csv.DictReader(file)}


def suggestions(genes: Sequence[str]) -> list[str]:
    """What a search box completes: the genes, and common names of those among them, as "CD20 (MS4A1)"."""
    known = set(genes)
    return [*genes, *(f"{name} ({symbol})" for name, symbol in common_names().items()
                      if symbol in known and name not in known)]  # fmt: skip


def find_gene(text: str, genes: tuple[str, ...]) -> str | None:
    """The gene that a text names; `None` if there is none among `genes`.

    Tried in this order: the name itself, in any case; a suggestion; an Ensembl id or, for cells named by those, a
    symbol; a common name.
    """
    at, asked = _by_capitals(genes), text.strip()
    if suggested := _WITH_SYMBOL.match(asked):
        asked = suggested["symbol"]
    plain = unversioned(asked)
    names = np.array([plain.upper()], dtype=object)
    common = {name.upper(): symbol for name, symbol in common_names().items()}.get(plain.upper(), "")
    tried = (asked, plain, str(symbols_of(names)[0]), str(ensembl_of(names)[0]), common)
    return next((at[name.upper()] for name in tried if name.upper() in at), None)


def genes_among(text: str, genes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Genes that a list names, each once, and the names that are none of `genes`; commas, spaces or lines between."""
    found: dict[str, None] = {}
    missing = []
    for name in filter(None, _BETWEEN.split(text)):
        gene = find_gene(name, genes)
        if gene is None:
            missing.append(name)
        else:
            found[gene] = None
    return list(found), missing


@lru_cache(maxsize=4)
def _by_capitals(genes: tuple[str, ...]) -> dict[str, str]:
    return {gene.upper(): gene for gene in reversed(genes)}
