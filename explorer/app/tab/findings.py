"""What was found about the cells in front by asking: markers, signatures, gene sets. Part of a session; no widgets."""

from __future__ import annotations

from typing import Any

import param

from explorer.app.answers.marking import Found
from explorer.app.answers.pathways import Sets
from explorer.app.answers.speaking import Spoken

ASKED = ("markers", "signatures", "sets")
"""Topics of what is asked here."""

NOTHING_FOUND = {"markers": None, "spoken": None, "sets": None}
"""The answers before anything was asked."""


class Findings(param.Parameterized):
    """Answers that several tabs and files share."""

    markers = param.ClassSelector(class_=Found, default=None, allow_None=True, doc="Genes compared last.")
    spoken = param.ClassSelector(class_=Spoken, default=None, allow_None=True, doc="Signatures asked for last.")
    sets = param.ClassSelector(class_=Sets, default=None, allow_None=True, doc="Gene sets looked up last.")
    found_at: Any = param.Dict(default={}, doc="Threshold at which each was found, by what it is kept as.")
