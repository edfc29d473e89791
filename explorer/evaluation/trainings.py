"""The trainings of an evaluation: each in a process of its own, each kept as soon as it is done.

    DIR/plan.json              what is evaluated, and how
    DIR/trainings/<name>       what one training answered

A process of its own makes seconds and memory a training's own, and a crash cost no more than one of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explorer.building.fitting import Recipe
from explorer.building.tuning import tuned
from explorer.errors import AtlasError, OptionsProblem, ResourceProblem
from explorer.evaluation.contenders import BASELINES, Answers, Learned, Spent, learn
from explorer.flow import IntArray
from explorer.mapping.learning import Annotated, read_annotated
from explorer.methods import METHODS
from explorer.methods.common import device_named
from explorer.networks.checkpoints import digest, read_whole, write_whole
from explorer.progress import Progress
from explorer.reading.proteins import LEFT_OUT

MOST_FOLDS = 12  # batches beyond are left out several at a time
PLAN = "plan.json"
FOLDER = "trainings"
_LOOK_SECONDS = 0.2
_LONGEST = 2000   # bytes of a problem; a pipe holds more


@dataclass(frozen=True)
class Plan:
    """What is evaluated.

    Attributes
    ----------
    source, checksum
        The annotated file, and its sha256.
    levels
        Label columns, the main one first.
    cells
        How many cells are drawn; `None` for all.
    settings
        Single settings by name; each is taken by every method that has it.
    """

    source: str
    checksum: str
    levels: tuple[str, ...]
    batch: str
    cells: int | None
    preset: str
    settings: dict[str, str]
    device: str
    versions: dict[str, str]

    def recipe(self, contender: str, seed: int) -> Recipe | None:
        """How a method is trained; `None` for a baseline."""
        if contender in BASELINES:
            return None
        method = METHODS[contender]
        config = method.config_type.named(self.preset, seed)
        own = {name: value for name, value in self.settings.items() if name in {f.name for f in fields(config)}}
        return Recipe(method, tuned(config, method.card.title, own), device_named(self.device))


@dataclass(frozen=True)
class Task:
    """One training: a contender, a seed, the fold left out, and the label left out besides, if any."""

    contender: str
    seed: int
    fold: int
    without: int | None = None

    @property
    def name(self) -> str:
        """What its file is called."""
        label = "" if self.without is None else f"-without-{self.without}"
        return f"{self.contender}-seed-{self.seed}-fold-{self.fold}{label}.safetensors"


def read_cells(plan: Plan, progress: Progress) -> Annotated:
    """The cells of a plan: all of the file, or as many as it draws, in the same shares of batch and label."""
    annotated = read_annotated(Path(plan.source), plan.levels, plan.batch, None, progress, proteins=LEFT_OUT)
    if plan.cells is None or plan.cells >= annotated.cells.n_cells:
        return annotated
    codes = annotated.codes(plan.levels[0])
    rows = drawn(annotated.batches.astype(np.int64) * (codes.max() + 2) + codes + 1, plan.cells)
    return replace(
        annotated,
        cells=annotated.cells.rows(rows),
        obs=annotated.obs.iloc[rows],
        conditions=tuple(condition.rows(rows) for condition in annotated.conditions),
    )


def drawn(groups: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """n cells in the shares of their groups, int64 ascending; always the same ones.

    Parameters
    ----------
    groups
        int (m,).
    """
    place = np.zeros(len(groups))
    rng = np.random.default_rng(0)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        place[members] = (rng.permutation(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(place, kind="stable")[:n])


def folds_of(annotated: Annotated) -> tuple[IntArray, tuple[str, ...]]:
    """Which fold a cell is left out in, and what each fold is called.

    Every batch with labels is a fold of its own; above twelve the smallest share folds. Cells of batches without
    labels are in no fold, -1: they are always left in.

    Raises
    ------
    OptionsProblem
        If fewer than two batches have labels.
    """
    codes, batches = annotated.codes(annotated.levels[0]), annotated.batches
    names = annotated.conditions[0].names
    sizes = np.bincount(batches[codes >= 0], minlength=len(names))
    named = np.flatnonzero(sizes)
    if len(named) < 2:
        raise OptionsProblem(
            f"{len(named)} batch of {annotated.conditions[0].column!r} has labels in {annotated.levels[0]!r}; at least "
            "2 are needed, so that one can be left out and labelled by the others. Name another column with --batch."
        )
    fold_of = np.full(len(names), -1, np.int32)
    filled = np.zeros(min(len(named), MOST_FOLDS))
    for batch in named[np.argsort(-sizes[named], kind="stable")]:  # the largest first, each into the emptiest fold
        fold_of[batch] = int(filled.argmin())
        filled[fold_of[batch]] += sizes[batch]
    held = tuple(", ".join(np.array(names, object)[fold_of == fold]) for fold in range(len(filled)))
    return fold_of[batches], held


def run(task: Task, plan: Plan, annotated: Annotated, progress: Progress) -> Learned:
    """Train without the fold, and without the label if there is one, and answer for the fold.

    Parameters
    ----------
    annotated
        The cells of the plan.
    """
    fold_of, _ = folds_of(annotated)
    kept = fold_of != task.fold
    if task.without is not None:
        kept &= annotated.codes(plan.levels[0]) != task.without
        annotated = replace(annotated, levels=plan.levels[:1])
    return learn(
        task.contender,
        annotated,
        np.flatnonzero(kept),
        np.flatnonzero(fold_of == task.fold),
        plan.recipe(task.contender, task.seed),
        task.seed,
        unseen=task.without is not None,
        progress=progress,
    )


def kept(folder: Path, task: Task, plan: Plan) -> Learned | None:
    """What a training answered; `None` if it is not there, or of another plan."""
    found = read_whole(folder / FOLDER / task.name, _of(task, plan))
    if found is None:
        return None
    tensors, told = found
    answers = {level: _read(entry, tensors) for level, entry in told["answers"].items()}
    return Learned(answers, told["mixing"], Spent(**told["spent"]))


def keep(folder: Path, task: Task, plan: Plan, learned: Learned) -> None:
    """Write what a training answered."""
    tensors: dict[str, Tensor] = {}
    told = {level: _stored(answers, tensors) for level, answers in learned.answers.items()}
    more = {"answers": told, "mixing": learned.mixing, "spent": asdict(learned.spent)}
    write_whole(folder / FOLDER / task.name, tensors, _of(task, plan), more)


def run_all(
    folder: Path, tasks: Sequence[Task], jobs: int, told: Callable[[Task], str], progress: Progress
) -> Iterator[tuple[Task, str]]:
    """Run trainings, some at a time, each in a process of its own; those that failed, with the reason.

    Raises
    ------
    Cancelled
        From `progress`. Processes under way are stopped; what others have kept stays.
    """
    waiting, done = list(reversed(tasks)), 0
    slots = [_Slot(folder) for _ in range(min(jobs, len(tasks)))]
    running: dict[_Slot, Task] = {}
    try:
        while waiting or running:
            for slot in slots:
                if slot not in running and waiting:
                    running[slot] = waiting.pop()
                    slot.begin(running[slot])
            at = f"{done + 1} of {len(tasks)}" if len(running) == 1 else f"{done + 1} to {done + len(running)}"
            names = "; ".join(told(task) for task in running.values())
            progress.part(f"Training {at}: {names}", 0.0, 1.0)(done / len(tasks))
            time.sleep(_LOOK_SECONDS)
            for slot, problem in [(slot, found) for slot in running if (found := slot.ended()) is not None]:
                task = running.pop(slot)
                done += 1
                if problem:
                    yield task, problem
    finally:
        for slot in slots:
            slot.close()


class _Slot:
    """A process that has read the cells and becomes two for each training, one of which trains.

    Parameters
    ----------
    folder
        Of the evaluation.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._answers: Queue[str] = Queue()

    def begin(self, task: Task) -> None:
        """Start a training."""
        if self._process is None:
            self._start()
        stdin = self._running.stdin
        if stdin is not None:
            stdin.write(json.dumps(asdict(task)) + "\n")
            stdin.flush()

    def ended(self) -> str | None:
        """Why the training failed, "" if it did not, `None` if it is under way."""
        if not self._answers.empty():
            return str(json.loads(self._answers.get()))
        code = self._running.poll()
        if code is None or not self._answers.empty():
            return None
        self._process = None
        return f"its process ended with {code}"

    def close(self) -> None:
        """Stop the process, and the training under way."""
        if self._process is not None:
            _stop(self._process)
            self._process.wait()

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ResourceProblem("A process of the evaluation is gone. Run the same command again.")
        return self._process

    def _start(self) -> None:
        environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "explorer.evaluation.trainings", str(self._folder)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._process = process
        Thread(target=_listen, args=(process, self._answers), daemon=True).start()


def _listen(process: subprocess.Popen[str], answers: Queue[str]) -> None:
    for line in process.stdout or ():
        answers.put(line)


def _stop(process: subprocess.Popen[str]) -> None:
    """With the trainings that it has begun."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # nothing is half written: files are renamed when they are whole
        else:
            process.kill()


def _of(task: Task, plan: Plan) -> str:
    own = asdict(plan)
    del own["device"]
    recipe = plan.recipe(task.contender, task.seed)
    own["settings"] = {} if recipe is None else asdict(recipe.config)
    return digest(own, asdict(task))


def _stored(answers: Answers, tensors: dict[str, Tensor]) -> dict[str, Any]:
    def named(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            tensors[f"{len(tensors)}"] = torch.as_tensor(value)
            return f"{len(tensors) - 1}"
        return {name: named(part) for name, part in value.items()}

    return {part.name: named(getattr(answers, part.name)) for part in fields(answers)}


def _read(entry: dict[str, Any], tensors: dict[str, Tensor]) -> Answers:
    def found(name: Any) -> Any:
        return {key: found(part) for key, part in name.items()} if isinstance(name, dict) else tensors[name].numpy()

    return Answers(**{part.name: found(entry[part.name]) for part in fields(Answers)})


def write_plan(folder: Path, plan: Plan) -> None:
    """Write what the processes of an evaluation read."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / PLAN).write_text(json.dumps(asdict(plan), indent=1), encoding="utf-8")


def _read_plan(folder: Path) -> Plan:
    told = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    return Plan(**{**told, "levels": tuple(told["levels"])})


def _train(folder: Path, task: Task, plan: Plan, annotated: Annotated) -> str:
    """Train and keep; "" or what went wrong."""
    try:
        keep(folder, task, plan, run(task, plan, annotated, Progress()))
    except Exception as problem:  # noqa: BLE001  (a training may fail of anything; it is told which one did of what)
        return str(problem) if isinstance(problem, AtlasError) else f"{type(problem).__name__}: {problem}"
    return ""


def _apart(folder: Path, task: Task, plan: Plan, annotated: Annotated) -> str:
    """The same in a process that ends with it, where the system can split one; memory is then the training's own."""
    if not hasattr(os, "fork"):
        return _train(folder, task, plan, annotated)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, _train(folder, task, plan, annotated).encode()[:_LONGEST])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        problem = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return problem if code == 0 else f"its process ended with {code}; was there enough memory?"


def main() -> None:
    """What a process of `run_all` does: a training for each line that it is given, and an answer to each."""
    folder = Path(sys.argv[1])
    plan = _read_plan(folder)
    annotated = read_cells(plan, Progress())
    for line in sys.stdin:
        print(json.dumps(_apart(folder, Task(**json.loads(line)), plan, annotated)), flush=True)


if __name__ == "__main__":
    main()
