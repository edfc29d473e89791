"""Uploads through a really served app, as browsers send them and as they should not."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from bokeh.server.urls import per_app_patterns
from serving import OURS, PANEL, Server, served, until

from explorer.app.stored import uploads
from explorer.errors import FileProblem, OptionsProblem
from explorer.settings import settings

LIMIT = 96 * 2**20
FILE = uploads.HDF5_MAGIC + os.urandom(7 * 2**20 + 12_345)
HEADERS = {uploads.HEADER: "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("uploads") / "home"
    with served(home, env={"ATLAS_EXPLORER_MAX_UPLOAD": str(LIMIT)}) as running:
        yield running


@pytest.fixture
def here(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The server's upload folder, with this process set to the same home."""
    monkeypatch.setenv("ATLAS_EXPLORER_HOME", str(server.home))
    settings.cache_clear()
    yield settings().uploads
    settings.cache_clear()


def ask(
    server: Server,
    method: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    **words: object,
) -> tuple[int, dict[str, Any]]:
    """One request; the status and the JSON of its answer."""
    connection = http.client.HTTPConnection("localhost", server.port, timeout=240)
    try:
        connection.request(method, f"/explorer/upload?{urlencode(words)}", body, HEADERS | (headers or {}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def put(server: Server, body: bytes, **words: object) -> tuple[int, dict[str, Any]]:
    return ask(
        server, "PUT", body, **{"id": secrets.token_hex(16), "name": "cells.h5ad", "offset": 0, **words}
    )


def start(server: Server, id: str, announced: int, sent: bytes, offset: int = 0) -> socket.socket:
    """Begin an upload of `announced` bytes and send only some of them."""
    line = socket.create_connection(("localhost", server.port), timeout=240)
    words = urlencode({"id": id, "name": "cells.h5ad", "offset": offset})
    head = (
        f"PUT /explorer/upload?{words} HTTP/1.1\r\nHost: localhost:{server.port}\r\n{uploads.HEADER}: 1\r\n"
    )
    line.sendall(f"{head}Content-Length: {announced}\r\n\r\n".encode())
    line.sendall(sent)
    return line


def rest_of(line: socket.socket) -> bytes:
    """What still comes on a line that the other end has closed or is about to close; nothing at its end."""
    try:
        return line.recv(65536)
    except ConnectionResetError:
        return b""


def received(server: Server, id: str) -> int:
    return int(ask(server, "GET", id=id)[1]["received"])


def test_a_file_arrives_whole_under_its_id_and_keeps_its_own_name_beside_it(
    server: Server, here: Path
) -> None:
    id = secrets.token_hex(16)
    assert put(server, FILE, id=id, name="Häm β 1.h5ad") == (
        200,
        {"id": id, "name": "Häm β 1.h5ad", "size": len(FILE)},
    )
    assert uploads.upload_path(id).read_bytes() == FILE
    assert uploads.upload_path(id).parent == here
    beside = json.loads((here / f"{id}.json").read_text(encoding="utf-8"))
    assert beside == {"name": "Häm β 1.h5ad", "size": len(FILE)}
    assert received(server, id) == len(FILE)


def test_gene_sets_come_in_as_cells_do_under_their_own_ending(server: Server, here: Path) -> None:
    id, sets = secrets.token_hex(16), b"mine\tof a paper\tCD3E\tCD3D\n"
    assert put(server, sets, id=id, name="My sets.GMT")[0] == 200
    assert uploads.upload_path(id, uploads.suffix_of("My sets.GMT")).read_bytes() == sets
    status, told = ask(server, "GET", id=secrets.token_hex(16), name="all.gmt.gz", size=uploads.SET_BYTES + 1)
    assert (status, "files of gene sets may have up to" in told["error"]) == (413, True)


def test_a_broken_transfer_goes_on_where_it_broke(server: Server, here: Path) -> None:
    id = secrets.token_hex(16)
    start(server, id, len(FILE), FILE[: 6 * 2**20]).close()
    until(lambda: received(server, id) >= uploads.BLOCK_BYTES, "the first blocks are on disk")
    at = received(server, id)
    assert at < len(FILE)
    assert list(here.glob(f"{id}*")) == [here / f"{id}.part"]
    assert put(server, FILE[at:], id=id, offset=at)[0] == 200
    assert uploads.upload_path(id).read_bytes() == FILE


def test_resuming_before_the_server_has_noticed_the_break_does_no_harm(server: Server, here: Path) -> None:
    id = secrets.token_hex(16)
    half_open = start(server, id, len(FILE), FILE[: 6 * 2**20])
    until(lambda: received(server, id) >= uploads.BLOCK_BYTES, "the first blocks are on disk")
    at = received(server, id)
    assert put(server, FILE[at:], id=id, offset=at)[0] == 200
    half_open.close()
    assert uploads.upload_path(id).read_bytes() == FILE
    assert list(here.glob(f"{id}*.part")) == []


def test_a_lost_answer_can_be_asked_for_again(server: Server, here: Path) -> None:
    id = secrets.token_hex(16)
    first = put(server, FILE, id=id)
    assert put(server, b"", id=id, offset=received(server, id)) == first
    assert put(server, FILE, id=id) == first, "from the beginning as well"
    assert [path.suffix for path in sorted(here.glob(f"{id}*"))] == [".h5ad", ".json"]


def test_a_cancelled_upload_is_dropped(server: Server, here: Path) -> None:
    id = secrets.token_hex(16)
    transfer = start(server, id, len(FILE), FILE[: 6 * 2**20])
    until(lambda: received(server, id) > 0, "the first block is on disk")
    assert ask(server, "DELETE", id=id) == (200, {"received": 0})
    transfer.close()
    assert ask(server, "DELETE", id=id) == (200, {"received": 0}), "twice is as good as once"
    assert list(here.glob(f"{id}*")) == []


def test_several_people_upload_at_the_same_time(server: Server, here: Path) -> None:
    files = [uploads.HDF5_MAGIC + os.urandom(5 * 2**20 + size) for size in range(4)]
    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda file: put(server, file), files))
    assert here.is_dir()
    assert [uploads.upload_path(body["id"]).read_bytes() for _, body in answers] == files


@pytest.mark.parametrize(
    ("words", "body", "status", "sentence"),
    [
        ({"name": "cells.csv"}, FILE, 415, "cells.csv is not an h5ad file"),
        ({"name": ""}, FILE, 415, "is not an h5ad file"),
        ({}, b"", 400, "is empty (0 bytes)"),
        ({}, b"\x1f\x8b" + FILE, 415, "compressed with gzip: unpack it first"),
        ({}, b"PK\x03\x04" + FILE, 415, "zip archive: unpack it first"),
        ({}, b"gene,cell\n" * 9, 415, "first bytes are not those of an HDF5 file"),
        ({"offset": 7}, FILE, 409, "resumed at byte 7, but only 0 have arrived"),
        ({"offset": "-1"}, FILE, 400, "offset must be a whole number"),
        ({"id": "../../../etc/passwd"}, FILE, 400, "32 hexadecimal digits"),
        ({"id": ""}, FILE, 400, "32 hexadecimal digits"),
    ],
    ids=["csv", "nameless", "empty", "gzip", "zip", "text", "gap", "negative", "path as id", "no id"],
)
def test_a_refusal_is_a_sentence_and_leaves_nothing(
    server: Server, here: Path, words: dict[str, object], body: bytes, status: int, sentence: str
) -> None:
    before = set(here.glob("*"))
    answered, told = put(server, body, **words)
    assert (answered, sentence in told["error"]) == (status, True), told
    assert set(here.glob("*")) == before


def test_a_file_name_is_never_a_path(server: Server, here: Path) -> None:
    before = set(server.home.parent.rglob("*.h5ad"))
    id = secrets.token_hex(16)
    assert put(server, FILE, id=id, name="../../..\\evil\u202e.h5ad")[1]["name"] == "evil.h5ad"
    assert set(server.home.parent.rglob("*.h5ad")) - before == {here / f"{id}.h5ad"}


def test_a_browser_learns_of_a_file_too_large_before_and_after_it_starts_sending(server: Server) -> None:
    id = secrets.token_hex(16)
    sentence = "has 0.10 GB; this server takes files up to 96.0 MB"
    status, told = ask(server, "GET", id=id, name="cells.h5ad", size=LIMIT + 2**23)
    assert (status, sentence in told["error"]) == (413, True), told
    line = start(server, id, LIMIT + 2**23, b"")
    try:
        while True:
            line.sendall(bytes(2**20))
    except (BrokenPipeError, ConnectionResetError):
        answer = b"".join(iter(lambda: rest_of(line), b"")).decode()
    assert " 413 " in answer
    assert sentence in answer


def test_a_full_disk_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    with served(tmp_path / "home", env={"ATLAS_EXPLORER_MAX_UPLOAD": str(10**18)}) as server:
        words = {"id": secrets.token_hex(16), "name": "cells.h5ad", "size": 10**17}
        status, told = ask(server, "GET", **words)
        assert (status, "are free on the server's disk" in told["error"]) == (507, True), told


class TestSenders:
    @pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
    def test_another_sites_page_is_turned_away(self, server: Server, method: str) -> None:
        foreign = {"Origin": "http://evil.example"}
        status, told = ask(server, method, FILE[:99], foreign, id=secrets.token_hex(16), name="x.h5ad")
        assert (status, "http://evil.example" in told["error"]) == (403, True)

    def test_the_apps_own_page_is_let_in(self, server: Server) -> None:
        own = {"Origin": f"http://localhost:{server.port}"}
        assert ask(server, "PUT", FILE, own, id=secrets.token_hex(16), name="x.h5ad")[0] == 200

    def test_a_plain_form_is_turned_away(self, server: Server) -> None:
        connection = http.client.HTTPConnection("localhost", server.port)
        connection.request("PUT", f"/explorer/upload?id={secrets.token_hex(16)}&name=x.h5ad", FILE)
        answer = connection.getresponse()
        assert (answer.status, uploads.HEADER in json.loads(answer.read())["error"]) == (403, True)
        connection.close()

    def test_who_is_not_signed_in_is_turned_away_where_signing_in_is_asked(self, tmp_path: Path) -> None:
        words = ("--basic-auth", "a long password", "--cookie-secret", secrets.token_hex(16))
        with served(tmp_path / "home", *words) as server:
            assert put(server, FILE[:99])[0] == 401
            assert ask(server, "PUT", FILE[:99], {"Cookie": "user=somebody"}, id=secrets.token_hex(16))[0] == 401
            cookie = sign_in(server, "somebody", "a long password")
            id = secrets.token_hex(16)
            assert ask(server, "PUT", FILE, {"Cookie": cookie}, id=id, name="x.h5ad")[0] == 200


def sign_in(server: Server, user: str, password: str) -> str:
    connection = http.client.HTTPConnection("localhost", server.port)
    form = urlencode({"username": user, "password": password})
    connection.request("POST", "/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    cookies = [value.split(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    connection.close()
    return "; ".join(cookies)


@pytest.mark.parametrize("command", [PANEL, OURS], ids=["panel serve", "python -m explorer serve"])
def test_both_ways_of_serving_take_uploads(tmp_path: Path, command: tuple[str, ...]) -> None:
    with served(tmp_path / "home", command=command) as server:
        assert put(server, FILE)[0] == 200


def test_a_partial_file_that_nobody_resumes_is_removed_and_a_fresh_one_is_not(tmp_path: Path) -> None:
    old, fresh, whole = (tmp_path / name for name in ("a.part", "b.part", "c.h5ad"))
    for path in (old, fresh, whole):
        path.write_bytes(b"x")
    long_ago = time.time() - 2 * uploads.STALE_SECONDS
    for path in (old, whole):
        os.utime(path, (long_ago, long_ago))
    uploads.remove_stale(tmp_path)
    assert sorted(tmp_path.iterdir()) == [fresh, whole]


def test_ids_from_an_address_are_checked_before_they_become_paths(here: Path) -> None:
    assert here.name == "uploads"
    with pytest.raises(OptionsProblem, match="32 hexadecimal digits"):
        uploads.upload_path("../../x")
    with pytest.raises(FileProblem, match="Drop the file again"):
        uploads.upload_path(secrets.token_hex(16))


def test_registering_twice_adds_one_route() -> None:
    uploads.register()
    uploads.register()
    assert [pattern[0] for pattern in per_app_patterns].count(uploads.ROUTE) == 1
