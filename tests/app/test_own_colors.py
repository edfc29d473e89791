"""Colours that a file brings for its columns: as scanpy writes them, and only where they are whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from sessions import few_cells, opened, run, work_off

from explorer.app.answers.marking import Front, grouping
from explorer.app.colors.coloring import ColorBy
from explorer.drawing.own_colors import own_colors


def test_colours_are_read_by_category(tmp_path: Path) -> None:
    names = ("both", "short", "odd", "none")
    obs = pd.DataFrame({name: pd.Categorical(["b", "a"]) for name in names}, index=["1", "2"])
    uns = {"both_colors": np.array(["red", "#00FF0080"]), "short_colors": np.array(["red"]),
           "odd_colors": np.array(["red", "no colour"])}  # fmt: skip
    ad.AnnData(np.ones((2, 1), np.float32), obs=obs, uns=uns).write_h5ad(tmp_path / "own.h5ad")
    assert own_colors(tmp_path / "own.h5ad", "both") == {"a": "#ff0000", "b": "#00ff00"}
    for column in ("short", "odd", "none", "absent"):
        assert own_colors(tmp_path / "own.h5ad", column) == {}


def test_a_column_keeps_the_colours_that_it_came_with(home: Path) -> None:
    cells = ad.read_h5ad(few_cells(home) / "cells.h5ad")
    cells.obs["condition"] = cells.obs["condition"].astype("category")
    cells.uns["condition_colors"] = ["#123456", "#abcdef"]
    cells.write_h5ad(home / "cells.h5ad")

    async def steps() -> None:
        session = await opened(home / "cells.h5ad")
        session.start()
        await asyncio.to_thread(work_off)
        session.poll()
        await session.settled()
        session.choose_color(ColorBy("column", "condition"))
        await session.settled()
        wanted = dict(zip(cells.obs["condition"].cat.categories, ["#123456", "#abcdef"], strict=True))
        assert dict(zip(session.coloring.names, session.coloring.colors, strict=True)) == wanted
        front = Front(session.reference, session.level, session.outcome, session.job.mapping)
        assert set(grouping(front, "condition").colors) == {"#123456", "#abcdef"}

    run(steps)
