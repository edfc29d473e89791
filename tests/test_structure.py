"""Conventions are tests: who may import whom, what an import costs, what the README promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import explorer
from explorer.methods import METHODS
from explorer.settings import SAMPLE_ATLAS, SAMPLE_DATA, Settings

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCREEN = ("panel", "holoviews", "bokeh", "panel_material_ui")
SERVED = {"main", "__main__", "app_hooks", "__init__", "app", "commands"}  # what may know a screen


def run(*words: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=1_800, check=False
    )


def headless() -> list[str]:
    """Every module and package of the engine."""
    files = {path.stem for path in (ROOT / "explorer").glob("*.py")}
    rooms = {path.parent.name for path in (ROOT / "explorer").glob("*/__init__.py")}
    return sorted(f"explorer.{name}" for name in (files | rooms) - SERVED)


def contract(start: str) -> dict[str, list[str]]:
    """The import contract whose name begins so."""
    return next(c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["name"].startswith(start))


class TestImports:
    def test_contracts_hold(self) -> None:
        done = run("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))")
        assert done.returncode == 0, done.stdout

    def test_no_module_escapes_them(self) -> None:
        assert set(contract("Nothing headless")["source_modules"]) == set(headless())
        layers = {name.strip() for layer in contract("One corridor")["layers"] for name in layer.split("|")}
        served = {"explorer.app", "explorer.app_hooks", "explorer.commands", "explorer.main", "explorer.__main__"}
        assert layers == {*headless(), *served}
        methods = {path.stem for path in (ROOT / "explorer" / "methods").glob("*.py")} - {"__init__", "base", "common"}
        assert set(contract("Methods are siblings")["modules"]) == {f"explorer.methods.{name}" for name in methods}

    def test_the_package_is_cheap_to_import(self) -> None:
        """A server runs it for every app, and a shell for every command."""
        dear = ("torch", "panel", "scanpy", "anndata", "pandas", "numpy", "bokeh", "umap")
        done = run("-c", f"import sys, explorer; print([name for name in {dear} if name in sys.modules])")
        assert done.stdout.strip() == "[]", done.stderr

    def test_the_engine_runs_without_a_screen(self) -> None:
        """No package in between brings a screen along, either."""
        imports = "; ".join(f"import {name}" for name in headless())
        done = run("-c", f"import sys; {imports}; print([name for name in {SCREEN} if name in sys.modules])")
        assert done.stdout.strip() == "[]", done.stderr

    def test_no_file_hides_a_module_of_the_same_name(self) -> None:
        """While an app is served, its own folder comes first on the path."""
        own = {path.stem for path in (ROOT / "explorer").iterdir() if path.suffix in ("", ".py")} - {"__init__"}
        own -= {"__pycache__", "__main__"}
        assert not own & set(sys.stdlib_module_names)
        imports = "import sys, explorer.app.shell, explorer.building.fitting, umap, scanpy"
        done = run("-c", imports + "; print(*{name.split('.')[0] for name in sys.modules})")
        assert done.returncode == 0, done.stderr
        assert not own & set(done.stdout.split())

    @pytest.mark.parametrize("name", explorer.__all__)
    def test_headless_names_at_the_top(self, name: str) -> None:
        assert callable(getattr(explorer, name))
        assert name in dir(explorer)

    def test_a_name_that_is_not_there(self) -> None:
        with pytest.raises(AttributeError, match="'explorer' has no attribute 'map_querry'"):
            _ = explorer.map_querry


class TestCleanliness:
    def test_ruff(self) -> None:
        done = run("-m", "ruff", "check", "--no-cache", ".")
        assert done.returncode == 0, done.stdout

    def test_types(self) -> None:
        done = run("-m", "mypy")
        assert done.returncode == 0, done.stdout

    def test_the_top_level_is_what_it_should_be(self) -> None:
        if not (ROOT / ".git").exists() or shutil.which("git") is None:
            pytest.skip("needs a git checkout")
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        top = {name.split("/")[0] for name in listed.splitlines() if not name.startswith(".")}
        assert top == {
            "pyproject.toml", "README.md", "LICENSE", "explorer", "components", "assets", "tests", "sample_data"
        }  # fmt: skip

    def test_sample_data_is_small_and_says_where_it_comes_from(self) -> None:
        assert sum(path.stat().st_size for path in SAMPLE_DATA.rglob("*") if path.is_file()) < 46e6
        told = (SAMPLE_DATA / "README.md").read_text(encoding="utf-8")
        for path in SAMPLE_DATA.iterdir():
            assert path.name in told or path.name in ("README.md", "queries.json"), path.name
        assert "CC BY 4.0" in told
        assert "python -m" in told or "atlas-explorer build" in told


class TestReadme:
    @pytest.mark.parametrize("command", ["build", "map", "inspect", "serve"])
    def test_it_shows_every_command(self, command: str) -> None:
        assert f"atlas-explorer {command}" in README

    def test_it_names_every_method_and_setting(self) -> None:
        for method in METHODS.values():
            assert method.card.title in README
            assert method.card.paper in README
        for field in fields(Settings):
            assert f"ATLAS_EXPLORER_{field.name.upper()}" in README

    def test_its_options_exist(self) -> None:
        """Of every command line that it shows."""
        for line in re.findall(r"^(?:\S*/)?atlas-explorer (\w+)(.*)$", README, re.MULTILINE):
            told = run("-m", "explorer", line[0], "--help").stdout
            for option in re.findall(r"--[a-z]+", line[1]):
                assert option in told, f"{line[0]} {option}"

    def test_its_python_runs(self, tmp_path: Path) -> None:
        """Word for word, in a folder with a file of one's own."""
        shutil.copy(SAMPLE_DATA / "pbmc_ifnb_832.h5ad", tmp_path / "mine.h5ad")
        (tmp_path / "sample_data").mkdir()
        (tmp_path / "sample_data" / "pbmc.atlas").symlink_to(SAMPLE_ATLAS, target_is_directory=True)
        code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
        done = run("-c", code, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert all((tmp_path / name).is_file() for name in ("mapped.h5ad", "figure.pdf", "report.html"))
