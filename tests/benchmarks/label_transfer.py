"""Labels of real queries by every method, beside linear baselines trained on the same reference cells and genes.

    python -m tests.benchmarks.label_transfer [--splits WORD ...] [--methods NAME ...] [--seeds 0 1 2]
                                              [--jobs 2] [--choose] [--again] [--out FILE]

`tests/benchmarks/transfer_sets.py` says which cells, and how labels correspond. Needs the development data beside the
checkout (../shared/data). Each reference, contender and seed is trained in a process of its own, so that seconds and
memory are its own; what is done is appended to FILE and not done again while the code it ran on stays as it is.

A method answers by all its heads: neighbours' vote, prototypes, linear head, and its own scores where it has some. The
head that counts is the linear one; with --choose it is the one that is best on a left-out part of the reference, as a
built reference chooses, for twice the training time. No query label is looked at for it.

Macro-F1 is over the labels that the truth holds. Logistic regression draws nothing: one seed is enough.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from tests.benchmarks.tables import FOLDER, report

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("PCA + 15-NN", "logistic regression")
DRAWS_NOTHING = ("logistic regression",)
MOST_CONFUSED = 12
ROOMS = ("calibration", "fitting", "flow", "genes", "labels", "learning", "matching", "neighbors",
         "prototypes", "query", "selection")

Record = dict[str, Any]


def scores(truth: NDArray[np.object_], labels: NDArray[np.object_]) -> dict[str, Any]:
    """Accuracy, and F1 of each label that the truth holds, and their mean."""
    present = np.unique(truth)
    each = f1_score(truth, labels, labels=present, average=None, zero_division=0)
    of_label = {str(label): round(float(f1), 4) for label, f1 in zip(present, each, strict=True)}
    return {"accuracy": float(accuracy_score(truth, labels)), "macro_f1": float(each.mean()), "f1": of_label}


def confusions(truth: NDArray[np.object_], labels: NDArray[np.object_]) -> list[tuple[str, str, int]]:
    """The most common mistakes: true label, given label, cells."""
    wrong = Counter((str(a), str(b)) for a, b in zip(truth, labels, strict=True) if a != b)
    return [(*pair, n) for pair, n in wrong.most_common(MOST_CONFUSED)]


def run_one(reference: str, contender: str, seed: int, *, choose: bool) -> list[Record]:
    """Train one contender on one reference and map its queries; one record a query."""
    from tests.benchmarks.contenders import train
    from tests.benchmarks.transfer_sets import LEVEL, references, renamed

    known = next(each for each in references() if each.name == reference)
    cells = known.cells.read()
    trained = train(contender, cells, seed, choose=choose)
    records = []
    for query in known.queries:
        mapped = query.cells.read()
        counted = np.isin(renamed(mapped.obs[LEVEL], query.truth), renamed(cells.obs[LEVEL], query.widened))
        mapped, dropped = mapped[counted].copy(), int((~counted).sum())
        truth = renamed(mapped.obs[LEVEL], query.truth)
        started = perf_counter()
        answers = trained.answer(mapped)
        seconds = perf_counter() - started
        heads = {}
        for head, given in answers.items():
            labels = np.array([query.widened.get(label, label) for label in given], object)
            heads[head] = {**scores(truth, labels), "confused": confusions(truth, labels)}
        records.append(
            {
                "reference": reference,
                "split": query.split,
                "contender": contender,
                "seed": seed,
                "choose": choose,
                "code": code_of(contender),
                "reference_cells": cells.n_obs,
                "cells": mapped.n_obs,
                "dropped": dropped,
                "head": trained.head,
                "heads": heads,
                "training": asdict(trained.spent),
                "mapping_seconds": seconds,
                **trained.notes,
            }
        )
    return records


def code_of(contender: str) -> str:
    """What a contender's answers depend on in this checkout, as a short checksum."""
    explorer, here = ROOT / "explorer", Path(__file__).parent
    files = [explorer / f"{room}.py" for room in ROOMS] + [here / "contenders.py", here / "transfer_sets.py"]
    method = explorer / "methods" / f"{contender}.py"
    if method.exists():
        siblings = {path.stem for path in method.parent.glob("*.py")} - {method.stem}
        networks = (path for path in (explorer / "networks").glob("*.py") if path.stem.split("_")[0] not in siblings)
        files += [method, method.with_name("base.py"), *sorted(networks)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def in_child(reference: str, contender: str, seed: int, *, choose: bool) -> list[Record]:
    """`run_one` in a process of its own, on one thread."""
    words = ["--one", reference, contender, str(seed), *(["--choose"] if choose else [])]
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.label_transfer", *words],
        cwd=ROOT, env={**os.environ, **threads}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        print(f"{reference}, {contender}, seed {seed} failed:\n{done.stderr[-2000:]}", flush=True)
        return []
    return json.loads(done.stdout.splitlines()[-1])


def read_records(file: Path) -> list[Record]:
    """All records of a file; none if there is no file."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def measure(jobs: Iterable[tuple[str, str, int]], out: Path, workers: int, *, choose: bool) -> None:
    """Run the jobs, some at a time, and append what they find to a file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool, out.open("a", encoding="utf-8") as file:
        for records in pool.map(lambda job: in_child(*job, choose=choose), jobs):
            for record in records:
                file.write(json.dumps(record) + "\n")
                print(_line(record), flush=True)
            file.flush()


def _line(record: Record) -> str:
    of_heads = ", ".join(f"{head} {values['macro_f1']:.3f}" for head, values in record["heads"].items())
    spent = record["training"]
    return (
        f"{record['split']}, {record['contender']}, seed {record['seed']}: macro-F1 {of_heads}; trained in "
        f"{spent['cpu_seconds']:.0f} CPU s, mapped in {record['mapping_seconds']:.1f} s, {spent['peak_mb']:.0f} MB"
    )


def table(records: Sequence[Record]) -> list[Record]:
    """One row a split and contender, means over seeds."""
    rows = []
    for split in dict.fromkeys(record["split"] for record in records):
        for name in dict.fromkeys(record["contender"] for record in records):
            of = [record for record in records if record["split"] == split and record["contender"] == name]
            if of:
                size = {"cells": of[0]["cells"], "dropped": of[0]["dropped"]}
                rows.append({"split": split, **size, "method": name, **_means(of)})
    return rows


def _means(records: Sequence[Record]) -> Record:
    def over(pick: Any) -> float:
        return mean(pick(record) for record in records)

    heads = records[0]["heads"]
    return {
        "accuracy": over(lambda r: r["heads"][r["head"]]["accuracy"]),
        "macro-F1": over(lambda r: r["heads"][r["head"]]["macro_f1"]),
        **({f"F1 {h}": over(lambda r, h=h: r["heads"][h]["macro_f1"]) for h in heads} if len(heads) > 1 else {}),
        "train CPU s": over(lambda r: r["training"]["cpu_seconds"]),
        "train s": over(lambda r: r["training"]["seconds"]),
        "map s": over(lambda r: r["mapping_seconds"]),
        "peak MB": over(lambda r: r["training"]["peak_mb"]),
        "seeds": len(records),
    }


def summary(rows: Sequence[Record]) -> list[Record]:
    """One row a method: its mean over the splits that all have, and how far it is from the better linear floor."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    of = {(row["split"], row["method"]): row for row in rows}
    splits = [split for split in dict.fromkeys(row["split"] for row in rows) if all((split, n) in of for n in names)]
    if not splits:
        return []
    floors = [name for name in FLOORS if name in names]
    lines = []
    for name in names:
        f1 = mean(of[split, name]["macro-F1"] for split in splits)
        line: Record = {"method": name, "splits": len(splits), "macro-F1": f1}
        if floors:
            floor = max(mean(of[split, each]["macro-F1"] for split in splits) for each in floors)
            behind = [split for split in splits if _floor(of, split, floors) - of[split, name]["macro-F1"] > 0.03]
            line |= {"to the better floor": f1 - floor, "more than 0.03 behind on": "; ".join(behind)}
        lines.append(line)
    return sorted(lines, key=lambda line: -line["macro-F1"])


def _floor(of: dict[tuple[str, str], Record], split: str, floors: Sequence[str]) -> float:
    return max(of[split, name]["macro-F1"] for name in floors)


def by_split(rows: Sequence[Record]) -> list[Record]:
    """Macro-F1, one row a split and one column a contender."""
    out: dict[str, Record] = {}
    for row in rows:
        of = out.setdefault(row["split"], {key: row[key] for key in ("split", "cells", "dropped")})
        of[row["method"]] = row["macro-F1"]
    return list(out.values())


def main() -> None:
    """Measure what is asked for and not yet measured, and report all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", nargs="*", default=[], help="words that the names of the splits hold; all")
    parser.add_argument("--methods", nargs="*", default=[], help="methods and baselines; all")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--choose", action="store_true", help="choose each head on a left-out part of the reference")
    parser.add_argument("--again", action="store_true", help="measure again what is done")
    parser.add_argument("--report", action="store_true", help="measure nothing, report what is done, whatever its code")
    parser.add_argument("--out", type=Path, default=FOLDER / "label_transfer.jsonl")
    parser.add_argument("--one", nargs=3, metavar=("REFERENCE", "METHOD", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        reference, contender, seed = options.one
        print(json.dumps(run_one(reference, contender, int(seed), choose=options.choose)))
        return
    from tests.benchmarks.contenders import CONTENDERS
    from tests.benchmarks.transfer_sets import references

    names = [name for name in CONTENDERS if name in (options.methods or CONTENDERS)]
    known = [each for each in references() if not options.splits or _asked(each.queries, options.splits)]
    wanted = {
        (each.name, name, seed): [query.split for query in each.queries]
        for each in known for seed in options.seeds for name in names
        if name not in DRAWS_NOTHING or seed == options.seeds[0]
    }  # fmt: skip
    if not options.report:
        code = {name: code_of(name) for name in names}
        done = {
            (r["reference"], r["contender"], r["seed"])
            for r in read_records(options.out)
            if r["code"] == code.get(r["contender"]) and _same_choice(r, options.choose)
        }
        todo = [job for job in wanted if options.again or job not in done]
        print(f"{len(todo)} of {len(wanted)} trainings to do", flush=True)
        measure(todo, options.out, options.jobs, choose=options.choose)
    latest = {
        (r["split"], r["contender"], r["seed"]): r
        for r in read_records(options.out)
        if (r["reference"], r["contender"], r["seed"]) in wanted and _same_choice(r, options.choose)
    }
    rows = table(list(latest.values()))
    lines, splits = summary(rows), by_split(rows)
    report("label_transfer_summary", lines)
    report("label_transfer", splits, methods=rows, summary=lines, records=list(latest.values()))


def _asked(queries: Sequence[Any], words: Sequence[str]) -> bool:
    return any(word.lower() in query.split.lower() for query in queries for word in words)


def _same_choice(record: Record, choose: bool) -> bool:
    return record["choose"] == choose or len(record["heads"]) == 1


if __name__ == "__main__":
    main()
