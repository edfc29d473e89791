"""Projects: kept outside any tab, changed by several at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from explorer.app.stored.projects import _SCHEMA, Projects
from explorer.errors import OptionsProblem
from explorer.jobs.queue import Queue
from explorer.jobs.specs import MapSpec
from explorer.store import Store


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[Projects]:
    made = Projects(tmp_path / "jobs.sqlite")
    yield made
    made.close()


def test_a_project_is_found_again_after_a_restart(projects: Projects, tmp_path: Path) -> None:
    choices = {
        "options": {"batch": "donor"},
        "view": {"color": ["gene", "MS4A1"], "threshold": 0.8, "cells": [1, 2]},
    }
    made = projects.create("Häm β", reference="/pbmc.atlas", query="/cells.h5ad", **choices)
    again = Projects(tmp_path / "jobs.sqlite")
    assert again.get(made.id) == made
    assert (made.title, made.options, made.view, made.jobs) == ("Häm β", *choices.values(), ())
    again.close()


def test_its_id_fits_into_an_address_and_is_never_the_same(projects: Projects) -> None:
    ids = [projects.create().id for _ in range(200)]
    assert len(set(ids)) == len(ids)
    assert all(quote(id, safe="") == id and len(id) <= 12 for id in ids)


def test_saving_changes_what_is_named_and_nothing_else(projects: Projects) -> None:
    made = projects.create("One", query="/cells.h5ad", view={"a": 1})
    saved = projects.save(made.id, jobs=("0123456789abcdef",))
    assert (saved.jobs, saved.title, saved.query, saved.view) == (
        ("0123456789abcdef",),
        "One",
        "/cells.h5ad",
        {"a": 1},
    )
    assert saved.updated > made.updated
    assert projects.save(made.id, jobs=()).jobs == ()


def test_two_tabs_that_save_different_things_both_keep_theirs(projects: Projects, tmp_path: Path) -> None:
    id = projects.create().id
    changes = [{"title": "T"}, {"view": {"x": 1}}, {"options": {"y": 2}}, {"jobs": ["j"]}, {"query": "/q"}] * 8

    def tab(change: dict[str, object]) -> None:
        mine = Projects(tmp_path / "jobs.sqlite")
        mine.save(id, **change)
        mine.close()

    with ThreadPoolExecutor(8) as tabs:
        list(tabs.map(tab, changes))
    kept = projects.get(id)
    assert (kept.title, kept.view, kept.options, kept.jobs, kept.query) == ("T", {"x": 1}, {"y": 2}, ("j",), "/q")


def test_jobs_of_two_tabs_stand_side_by_side_and_a_newer_one_takes_the_place_of_its_own(
    projects: Projects, tmp_path: Path
) -> None:
    id = projects.create().id

    def tab(name: str) -> None:
        mine = Projects(tmp_path / "jobs.sqlite")
        mine.answer(id, [f"old {name}"])
        mine.answer(id, [f"new {name}"], [f"old {name}"])
        mine.close()

    with ThreadPoolExecutor(8) as tabs:
        list(tabs.map(tab, map(str, range(16))))
    assert sorted(projects.get(id).jobs) == sorted(f"new {name}" for name in range(16))
    with pytest.raises(OptionsProblem, match="no project elsewhere"):
        projects.answer("elsewhere", ["job"])


def test_the_one_job_of_a_project_of_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = Store(path, "projects", _SCHEMA[:1])
    columns = "id, title, created, updated, reference, query, options, job, view"
    for id, job in (("a", "'0123'"), ("b", "NULL")):
        store.write(f"INSERT INTO projects ({columns}) VALUES ('{id}', 'T', 1, 1, '', '', '{{}}', {job}, '{{}}')")
    store.close()
    projects = Projects(path)
    assert (projects.get("a").jobs, projects.get("b").jobs) == (("0123",), ())
    projects.close()


def test_the_list_begins_with_the_one_that_changed_last(projects: Projects) -> None:
    first, second, third = (projects.create(title).id for title in ("a", "b", "c"))
    projects.save(first, title="a again")
    assert [project.id for project in projects.list()] == [first, third, second]


def test_removing_may_be_repeated_and_what_is_gone_is_told_so(projects: Projects) -> None:
    id = projects.create().id
    projects.remove(id)
    projects.remove(id)
    assert projects.list() == ()
    with pytest.raises(OptionsProblem, match=f"no project {id}"):
        projects.get(id)
    with pytest.raises(OptionsProblem, match=f"no project {id}"):
        projects.save(id, title="x")


@pytest.mark.parametrize("field", ["created", "updated", "nonsense", "title = 'x' --"])
def test_only_choices_can_be_changed(projects: Projects, field: str) -> None:
    id = projects.create().id
    with pytest.raises(OptionsProblem, match="no changeable field"):
        projects.save(id, **{field: "x"})


def test_jobs_and_projects_share_one_file(projects: Projects, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "jobs.sqlite")
    job = queue.submit(MapSpec("/cells.h5ad", "/pbmc.atlas"))
    project = projects.create(jobs=[job.id])
    assert queue.get(project.jobs[0]).id == job.id
    queue.close()
