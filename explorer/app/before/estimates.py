"""About how long a mapping takes and how much memory it needs, from figures that were measured.

Measured with 832 to 19,200 cells on a reference of 5,272 cells and 2,000 genes, one thread of a busy CPU; good to a
factor of two or three, and lower bounds of nothing: whoever shows an estimate says "about".
"""

from __future__ import annotations

from explorer.methods.base import INSTANT

START_SECONDS = 2.0  # opening the file, the reference and the model, and writing the first files
WRITE_SECONDS = 0.15  # a thousand cells: the annotated file, and expression sorted by gene
PLACE_SECONDS = {"concord": 0.16, "concerto": 0.35, "scpoli": 0.16, "kida": 0.24, "bascvi": 0.19}  # a thousand cells
LEARN_SECONDS = {  # a thousand cells, those of the reference counted too
    "nearest": 0.5, "surgery": 2.5, "student": 1.2, "fine-tuned": 1.0, "adapted": 11.0, "per-batch": 0.7,
}  # fmt: skip
START_BYTES = 450e6
PLACE_BYTES = 17e3  # a cell of the query
LEARN_BYTES = 30e3  # a cell of the query or the reference, all of which are in memory while a model learns


def seconds(method: str, mode: str, n_cells: int, n_reference: int) -> float:
    """About how long mapping takes, from start to written files.

    Parameters
    ----------
    method, mode
        Their names; methods and modes that were not measured count as the slowest that was.
    n_cells, n_reference
        Cells of the query and of the reference.
    """
    placing = PLACE_SECONDS.get(method, max(PLACE_SECONDS.values())) + WRITE_SECONDS
    learning = 0.0 if mode == INSTANT.name else LEARN_SECONDS.get(mode, max(LEARN_SECONDS.values()))
    return START_SECONDS + (placing * n_cells + learning * (n_cells + n_reference)) / 1000


def memory(mode: str, n_cells: int, n_reference: int) -> float:
    """About how many bytes of memory mapping needs at most."""
    learning = 0.0 if mode == INSTANT.name else LEARN_BYTES * (n_cells + n_reference)
    return START_BYTES + PLACE_BYTES * n_cells + learning


def about(seconds: float) -> str:
    """An estimate as a person would say it, without figures that nobody can promise."""
    if seconds < 57:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    return f"about {round(seconds / 60)} min" if seconds < 3600 else f"about {seconds / 3600:.1f} h"


def about_bytes(bytes: float) -> str:
    """An estimate of memory as a person would say it."""
    return f"{bytes / 1e9:.1f} GB" if bytes < 1e10 else f"{bytes / 1e9:.0f} GB"
