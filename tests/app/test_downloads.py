"""What leaves a really served app, and what must not."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from serving import Server, served

from explorer import keys
from explorer.app.leaving import downloads

JOB = "0123456789abcdef"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app, with the files of one finished job in its home."""
    home = tmp_path_factory.mktemp("downloads") / "home"
    folder = home / "results" / JOB
    folder.mkdir(parents=True)
    (folder / keys.PREDICTIONS_FILE).write_bytes(b"cell_id,label\n" + b"a,B cell\n" * 300_000)
    (folder / "secret.txt").write_text("nobody's business")
    with served(home) as running:
        yield running


def get(server: Server, **words: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection("localhost", server.port, timeout=240)
    try:
        connection.request("GET", f"/explorer/download?{urlencode(words)}")
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_file_of_a_job_arrives_whole_under_its_name(server: Server) -> None:
    status, headers, body = get(server, job=JOB, file=keys.PREDICTIONS_FILE, name="blood, day 1/2.csv")
    assert status == 200
    assert body == (server.home / "results" / JOB / keys.PREDICTIONS_FILE).read_bytes()
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''blood_%20day%201_2.csv"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "words",
    [
        {"job": JOB, "file": "secret.txt"},
        {"job": JOB, "file": f"../../{keys.PREDICTIONS_FILE}"},
        {"job": "../../etc", "file": keys.PREDICTIONS_FILE},
        {"job": "f" * 16, "file": keys.PREDICTIONS_FILE},
        {"job": JOB, "file": keys.RESULT_FILE},
        {"offer": "guessed"},
        {},
    ],
    ids=["not offered", "path in file", "path in job", "no such job", "no such file", "no such offer", "nothing"],
)
def test_nothing_else_leaves(server: Server, words: dict[str, str]) -> None:
    status, _, body = get(server, **words)
    assert status == 404
    assert b"business" not in body


@pytest.mark.parametrize(
    ("name", "safe"),
    [("../../etc/passwd", ".._.._etc_passwd"), ("blood: day 1", "blood_ day 1"), ("...", "result"), ("", "result")],
    ids=["a path", "a colon", "only dots", "nothing"],
)
def test_download_names_suit_every_file_system(name: str, safe: str) -> None:
    assert downloads.safe_name(name).lstrip(".") == safe.lstrip(".")
