"""What can go wrong, as one family.

AtlasError                 every message names the rule, the figure found and the way out
├── FileProblem            the file cannot be read: missing, not h5ad, truncated, empty
├── ValuesProblem          the numbers are not expression values: NaN, negative, scaled only
├── GenesProblem           too few genes shared with the reference, or another species
├── ReferenceProblem       a reference bundle is damaged, newer than this program, or lacks what is asked
├── OptionsProblem         a column, method or device that does not exist
├── ResourceProblem        not enough disk or memory, a worker process that died
└── Cancelled              the person asked to stop; nothing is wrong

The app and the shell catch `AtlasError` in one place each and show its sentence as it stands.
Anything else that is raised is our fault and is shown as such.
"""


class AtlasError(Exception):
    """A problem that the person in front of the screen can understand and solve."""


class FileProblem(AtlasError):
    """A file that cannot be read as single-cell data."""


class ValuesProblem(AtlasError):
    """Values that cannot be expression."""


class GenesProblem(AtlasError):
    """Gene names that do not meet the reference's."""


class ReferenceProblem(AtlasError):
    """A reference bundle that cannot be used as it is."""


class OptionsProblem(AtlasError):
    """A choice that the data or this machine does not offer."""


class ResourceProblem(AtlasError):
    """The machine ran out of something."""


class Cancelled(AtlasError):
    """Work that stopped because somebody asked for it."""
