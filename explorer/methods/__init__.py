"""The methods, in menu order."""

from explorer.methods.bascvi import Bascvi
from explorer.methods.base import Method
from explorer.methods.concerto import Concerto
from explorer.methods.concord import Concord
from explorer.methods.kida import Kida
from explorer.methods.scpoli import Scpoli

METHODS: dict[str, type[Method]] = {method.card.name: method for method in (Concord, Concerto, Scpoli, Kida, Bascvi)}
