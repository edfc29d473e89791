"""Finds a gene set by its name, among those that come with the program or in GMT files of one's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from explorer.asking.painting import name_of_genes
from explorer.errors import OptionsProblem
from explorer.genesets import SHIPPED, collection_file, read_gmt, readable

_NUMBER = re.compile(r" *go:\d+$", re.IGNORECASE)
_DIGITS = 8      # of a checksum that are shown
_NEAR, _ALIKE = 5, 0.5


def named_set(name: str, collections: Sequence[str] = ()) -> str:
    """A gene set as the name of a colour, as `explorer.asking.painting.name_of_genes` writes it.

    Parameters
    ----------
    name
        Of the set, as its file has it or as one would write it: "REACTOME_INTERFERON_SIGNALING" or "interferon
        signaling". The first that fits counts.
    collections
        GMT files, or names of those that come with the program; all of the latter if none is given. The name of a
        set of one's own carries its file and the first digits of the file's SHA-256.

    Raises
    ------
    OptionsProblem
        If there is no such set; sets of similar names are told.
    FileProblem
        If a collection does not exist or is no GMT file.
    """
    wanted, known = _plain(name), dict[str, str]()
    for collection in collections or tuple(SHIPPED):
        file = collection_file(collection)
        for own, genes in read_gmt(file).items():
            if own == name or _plain(own) == wanted:
                brought = f" ({file.name} {_checksum(file)})" if collection not in SHIPPED else ""
                return name_of_genes(_title(own) + brought, sorted(genes))
            known.setdefault(_plain(own), _title(own))
    told = ", ".join(collections or SHIPPED)
    near = [each for each in known if all(word in each for word in wanted.split())][:_NEAR]
    near = near or get_close_matches(wanted, known, _NEAR, _ALIKE)
    hint = f" Near are: {'; '.join(known[each] for each in near)}." if near else ""
    raise OptionsProblem(
        f"There is no gene set {name!r} in {told}.{hint} Name one of these, a GMT file that holds it, or the genes "
        "themselves: map:genes=CD3D,CD3E"
    )


def _title(name: str) -> str:
    return _NUMBER.sub("", readable(name)).strip()


def _plain(name: str) -> str:
    """A name without prefix, number, capitals and signs, to compare names by."""
    return " ".join(re.findall(r"[^\W_]+", _title(name).lower()))


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:_DIGITS]
