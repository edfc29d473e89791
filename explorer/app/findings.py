"""What was found about the cells in front by asking: their markers and signatures. Part of a session; no widgets."""

from __future__ import annotations

import param

from explorer.app.marking import Found
from explorer.app.speaking import Spoken


class Findings(param.Parameterized):
    """Answers that several tabs and files share."""

    markers = param.ClassSelector(class_=Found, default=None, allow_None=True, doc="Genes compared last.")
    spoken = param.ClassSelector(class_=Spoken, default=None, allow_None=True, doc="Signatures asked for last.")
