"""What the tests of several rooms share: one thread a process, the sample atlas, a small planted reference."""

from __future__ import annotations

import os
import signal

# a shell that runs the tests in the background ignores Ctrl-C, and so would every process that a test interrupts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# before torch is imported, and for every process that a test starts: several test processes share few cores,
# and threads that spin while they wait make all of them crawl
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # or drawing a picture would leave torch with as many as numba took

from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import browser as installed
import hypothesis
import pytest
from pages import PATIENCE
from planted import BATCHES, STRANGER, TYPES, planted
from playwright.sync_api import Browser, expect, sync_playwright
from sessions import own_home

from explorer.building.fitting import build_reference
from explorer.flow import Reference
from explorer.reference import open_reference
from explorer.settings import SAMPLE_ATLAS

# the same examples in every run, however long a busy machine takes for one
hypothesis.settings.register_profile(
    "steady", derandomize=True, deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
hypothesis.settings.load_profile("steady")

expect.set_options(timeout=1_000 * PATIENCE)


@pytest.fixture(scope="session")
def sample_atlas() -> Reference:
    """The reference that ships with the program."""
    return open_reference(SAMPLE_ATLAS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for what this process stores."""
    yield from own_home(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of this machine; a process can hold one only, whichever tests it runs."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=installed.find(), args=list(installed.FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def planted_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 planted cells: four types in three batches."""
    path = tmp_path_factory.mktemp("planted") / "planted.h5ad"
    planted(cells=40).write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def planted_reference(planted_file: Path) -> Reference:
    """A reference built from them through the public function; tests only read it, or change a copy."""
    return build_reference(
        planted_file,
        planted_file.with_name("planted.atlas"),
        labels=("cell_type", "lineage"),
        batch="batch",
        sample="donor",
        device="cpu",
    )


@pytest.fixture(scope="session")
def scpoli_reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A small reference with scPoli alone, which maps in several ways: 96 planted cells in two batches."""
    folder = tmp_path_factory.mktemp("small")
    planted(batches=BATCHES[:2], cells=12).write_h5ad(folder / "small.h5ad")
    return build_reference(
        folder / "small.h5ad",
        folder / "small.atlas",
        labels=("cell_type", "lineage"),
        batch="batch",
        method="scpoli",
        preset="paper",
        device="cpu",
        about={"title": "Planted cells"},
    )


@pytest.fixture(scope="session")
def planted_query() -> ad.AnnData:
    """300 new cells of a batch that the reference has not seen, a fifth of them of a type it has not seen."""
    return planted((*TYPES, STRANGER), ("query",), 60, seed=1)
