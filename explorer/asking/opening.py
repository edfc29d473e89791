"""Opens a result that was written to a file: the cells as they were mapped, and what was said of them."""

from __future__ import annotations

from pathlib import Path

from explorer import keys
from explorer.consensus import AgreedResult
from explorer.errors import OptionsProblem
from explorer.flow import MappingResult, Query
from explorer.reading import h5ad
from explorer.reading.query import open_query
from explorer.writing.agreed_files import read_agreed
from explorer.writing.export import read_result


def open_result(path: Path | str) -> tuple[Query, MappingResult | AgreedResult]:
    """The cells of a result, with their expression, and the result.

    Parameters
    ----------
    path
        As `explorer.write_h5ad` or `explorer.write_agreed` wrote it.

    Returns
    -------
    query, result
        The query reads the values that were mapped, from this file; the result is an `AgreedResult` where several
        methods mapped. Neighbours are not kept in files.

    Raises
    ------
    FileProblem
        If the file cannot be read, or holds no result of this program.
    """
    path = Path(path)
    result = read_agreed(path) if _is_of_several(path) else read_result(path)
    told = _first(result).provenance
    return open_query(path, matrix=told.matrix, gene_names=told.options.get("gene_names")), result


def result_of_one(result: MappingResult | AgreedResult, method: str | None = None) -> MappingResult:
    """The result of one method among those of several, or the only one.

    Parameters
    ----------
    method
        Its name; needed where there are several.

    Raises
    ------
    OptionsProblem
        If the cells were not mapped by it, or by several and none is named.
    """
    if isinstance(result, MappingResult):
        results: tuple[MappingResult, ...] = (result,)
    else:
        results = result.results
    told = ", ".join(each.method for each in results)
    if method is None and len(results) > 1:
        raise OptionsProblem(f"These cells were mapped by {told}. Name one of them: --method {results[0].method}")
    found = next((each for each in results if method in (None, each.method)), None)
    if found is None:
        raise OptionsProblem(f"These cells were not mapped by {method!r}, but by {told}. Name one of these.")
    return found


def _is_of_several(path: Path) -> bool:
    h5ad.check_file(path)
    with h5ad.reading(path) as file:
        return f"uns/{keys.CONSENSUS_RECORD}" in file


def _first(result: MappingResult | AgreedResult) -> MappingResult:
    return result if isinstance(result, MappingResult) else result.results[0]
