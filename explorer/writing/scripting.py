"""A Python script that repeats a mapping through the public interface and says whether the labels are the same.

The record of the mapping lies in the script as plain values: methods, mode, options, seed, the reference's checksum and
a digest of the labels. Knows provenance; runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from explorer.consensus import AgreedResult
from explorer.flow import LabelTransfer, LevelLabels, MappingResult
from explorer.writing.appending import finished_file

_OPTIONS = ("hierarchical", "independent", "unknown", "batch", "proteins", "orthologs")
_CONSENSUS = "consensus"
_OF_ONE = ("mode", "own_labels")  # what a mapping by several methods does not take


def reproducing_script(
    result: MappingResult | AgreedResult, query: Path | str, reference: Path | str, **spec: Any
) -> str:
    """The text of the script.

    Parameters
    ----------
    result
        By one method, or by several: the labels of each and of the consensus are then looked at.
    query, reference
        The file of cells and the reference's folder as they were; both can be given anew on the script's command line.
    spec
        `matrix` and `name`, as `explorer.open_query` took them, and `refit_shared`.
    """
    results, said = _mapped(result)
    told = results[0].provenance
    asked = _OPTIONS if isinstance(result, AgreedResult) else (*_OPTIONS, *_OF_ONE)
    record = {
        "query": str(query),
        "reference": str(reference),
        "matrix": spec.get("matrix") or told.matrix,
        "gene_names": told.options.get("gene_names"),
        "name": spec.get("name") or told.query,
        "methods": [each.method for each in results],
        "is_consensus": isinstance(result, AgreedResult),
        "options": {name: told.options[name] for name in asked if told.options.get(name) is not None},
        "refit_shared": bool(spec.get("refit_shared", False)),
        "seeds": {each.method: each.provenance.seed for each in results},
        "device": told.device if told.device == "cpu" else "auto",
        "checksum": told.reference_checksum,
        "versions": dict(told.versions),
        "refine": bool(told.options.get("refine", False)),
        "threshold": next(iter(said.values())).first.threshold,
        "labels": {name: {at.level: labels_digest(at) for at in labels.levels} for name, labels in said.items()},
        "n_cells": results[0].n_cells,
    }
    # a JSON text inside Python: repr gives it quotes that hold whatever a file name contains
    return _SCRIPT.replace("@RECORD@", "\n".join(f"    {line!r}" for line in _lines(record)))


def write_script(
    result: MappingResult | AgreedResult, query: Path, reference: Path, path: Path | str, **spec: Any
) -> None:
    """Write the script to a file; it finds cells and reference from wherever it is run. Parameters as above."""
    text = reproducing_script(result, query.resolve(), reference.resolve(), **spec)
    with finished_file(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def labels_digest(level: LevelLabels) -> str:
    """sha256 of the labels of all cells in their order, one a line."""
    return hashlib.sha256("\n".join(map(str, level.labels)).encode("utf-8")).hexdigest()


def _mapped(result: MappingResult | AgreedResult) -> tuple[tuple[MappingResult, ...], dict[str, LabelTransfer]]:
    """Results by method, and labels by who gave them."""
    if isinstance(result, MappingResult):
        return (result,), {result.method: result.labels}
    return result.results, {_CONSENSUS: result.consensus.labels, **result.said}


def _lines(record: dict[str, Any]) -> list[str]:
    return [line + "\n" for line in json.dumps(record, indent=1, sort_keys=True).split("\n")]


_SCRIPT = '''"""Repeats a mapping made with Atlas Explorer, and says whether the labels are the same.

    python reproduce.py [cells.h5ad] [reference folder] [--output mapped.h5ad] [--csv repeated.csv]

Needs only the package atlas-explorer. Ends with 0 if all labels are the same, with 1 if not.
"""

import argparse
import hashlib
import json
import sys

import explorer
from explorer.mapping.corridor import versions

RECORD = json.loads(
@RECORD@
)


def differences(query, reference):
    """Sentences on what is not as it was."""
    if query.n_cells != RECORD["n_cells"]:
        yield f"The file holds {query.n_cells:,} cells; {RECORD['n_cells']:,} were mapped."
    if reference.checksum != RECORD["checksum"]:
        yield (
            f"The reference's checksum is {reference.checksum[:16]}; {RECORD['checksum'][:16]} was mapped onto. "
            "It was changed since, or is another one."
        )
    now = versions()
    for package, version in RECORD["versions"].items():
        if now.get(package, version) != version:
            yield f"{package} is {now[package]}; it was {version}."


def map_again(query, reference):
    """The result of the method, or of several and their consensus."""
    options = dict(RECORD["options"], device=RECORD["device"])
    if RECORD["refit_shared"]:
        for method in RECORD["methods"]:
            reference, _ = explorer.refit_shared(
                query, reference, method, orthologs=options.get("orthologs", False), device=RECORD["device"]
            )
    if RECORD["is_consensus"]:
        return explorer.map_all(query, reference, RECORD["methods"], **options).with_threshold(RECORD["threshold"])
    result = explorer.map_query(query, reference, RECORD["methods"][0], **options)
    if RECORD["refine"]:
        result = explorer.refine(result)
    return explorer.result_with_threshold(result, RECORD["threshold"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query", nargs="?", default=RECORD["query"])
    parser.add_argument("reference", nargs="?", default=RECORD["reference"])
    parser.add_argument("--output", help="annotated h5ad to write")
    parser.add_argument("--csv", default="repeated.csv", help="table to write (repeated.csv)")
    asked = parser.parse_args()

    query = explorer.open_query(
        asked.query, matrix=RECORD["matrix"], gene_names=RECORD["gene_names"], name=RECORD["name"]
    )
    reference = explorer.open_reference(asked.reference)
    for sentence in differences(query, reference):
        print("differs:", sentence)

    mapped = map_again(query, reference)
    if RECORD["is_consensus"]:
        results, said = mapped.results, {"consensus": mapped.consensus.labels, **mapped.said}
        explorer.write_agreed_csv(mapped, asked.csv)
        write = explorer.write_agreed
    else:
        results, said = [mapped], {mapped.method: mapped.labels}
        explorer.write_csv(mapped, asked.csv)
        write = explorer.write_h5ad
    if asked.output:
        write(mapped, query, asked.output)
    for result in results:
        seed, was = result.provenance.seed, RECORD["seeds"][result.method]
        if seed != was:
            print(f"differs: The seed of {result.method} is {seed}; it was {was}.")

    same = set(said) == set(RECORD["labels"])
    for name, labels in said.items():
        for level in labels.levels:
            digest = hashlib.sha256("\\n".join(map(str, level.labels)).encode("utf-8")).hexdigest()
            is_same = digest == RECORD["labels"].get(name, {}).get(level.level)
            same = same and is_same
            whose = f"{name}, {level.level}" if RECORD["is_consensus"] else level.level
            print(f"{whose}: labels of {len(level.labels):,} cells are {'the same' if is_same else 'NOT the same'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
'''
