"""Parts of files by HTTP: what a Range header asks for, what comes back, and that no file stays open.

A small application answers, on the test client or on a real hypercorn with raw sockets.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypothesis import given
from hypothesis import strategies as st
from quart import Response, request
from quart_babel import Babel
from quart_trio import QuartTrio

from archive.shelf import open_file
from portal import errors, ranges
from portal.ranges import CHUNK_BYTES, Representation, Unsatisfiable, wanted

SIZE = 200_000
CONTENT = bytes(i * 7 % 251 for i in range(SIZE))
ETAG = '"v1"'
PATIENCE_S = 20


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "audio.opus"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def app(path) -> QuartTrio:
    app = QuartTrio(__name__)
    Babel(app)
    errors.register(app)

    @app.get("/api/file")
    async def file() -> Response:
        sent = Representation(open_file(path), "audio/ogg; codecs=opus", "v1", 'attachment; filename="a.opus"')
        return ranges.answer(sent, request.method, request.headers)

    return app


@asynccontextmanager
async def serving(app: QuartTrio) -> AsyncIterator[int]:
    """A real server; gives its port."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            urls = await nursery.start(partial(serve, app, config))
            yield int(urls[0].rsplit(":", 1)[1])
            nursery.cancel_scope.cancel()


def is_open(path: Path) -> bool:
    return str(path) in [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]


async def closes(path: Path) -> None:
    while is_open(path):  # noqa: ASYNC110 (the table of open files tells no event)
        await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-", (0, 1000)),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-999", (0, 1000)),
        ("bytes=0-1000", (0, 1000)),
        ("bytes=999-", (999, 1000)),
        ("bytes=10-19", (10, 20)),
        ("bytes=-1", (999, 1000)),
        ("bytes=-500", (500, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("bytes=0-" + "9" * 30, (0, 1000)),
        (" Bytes = 10-19 ", (10, 20)),  # lenient in spaces, and units know no case
        # none of these is a range, so the whole file is sent
        ("bytes=20-10", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=a-b", None),
        ("bytes=1", None),
        ("bytes=--1", None),
        ("bytes=1.5-2", None),
        ("bytes=0x0-0x5", None),
        ("bytes=\u0660-\u0669", None),
        ("bytes=0-" + "9" * 5000, None),
        ("seconds=0-5", None),
        ("0-5", None),
        ("", None),
        # several are not obeyed
        ("bytes=0-1,5-6", None),
        ("bytes=0-1, 5000-", None),
    ],
)
def test_what_a_range_header_asks_for(header, expected):
    assert wanted(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=" + "9" * 30 + "-", "bytes=-0"])
def test_beyond_the_end_is_unsatisfiable(header):
    with pytest.raises(Unsatisfiable):
        wanted(header, 1000)


@given(st.text(), st.integers(1, 10**12))
def test_any_header_gives_a_part_of_the_file_or_none(text, size):
    for header in (text, "bytes=" + text):
        try:
            part = wanted(header, size)
        except Unsatisfiable:
            continue
        assert part is None or 0 <= part[0] < part[1] <= size


async def test_the_whole_file(app, path):
    response = await app.test_client().get("/api/file")
    assert response.status_code == 200
    assert await response.get_data() == CONTENT
    assert response.headers["Content-Type"] == "audio/ogg; codecs=opus"
    assert response.headers["Content-Length"] == str(SIZE)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"] == ETAG
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Content-Disposition"] == 'attachment; filename="a.opus"'
    assert not is_open(path)


@pytest.mark.parametrize(
    ("header", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=-500", SIZE - 500, SIZE),
        ("bytes=100000-", 100_000, SIZE),
        (f"bytes=1-{CHUNK_BYTES}", 1, CHUNK_BYTES + 1),
        (f"bytes=5-{CHUNK_BYTES + 5}", 5, CHUNK_BYTES + 6),
    ],
)
async def test_a_part_of_it(app, path, header, begin, end):
    response = await app.test_client().get("/api/file", headers={"Range": header})
    assert response.status_code == 206
    assert await response.get_data() == CONTENT[begin:end]
    assert response.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{SIZE}"
    assert response.headers["Content-Length"] == str(end - begin)
    assert not is_open(path)


async def test_several_parts_are_the_whole(app):
    response = await app.test_client().get("/api/file", headers={"Range": "bytes=0-1,5-6"})
    assert response.status_code == 200
    assert await response.get_data() == CONTENT


async def test_beyond_the_end_says_how_long_the_file_is(app, path):
    response = await app.test_client().get("/api/file", headers={"Range": f"bytes={SIZE}-"})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (await response.get_json())["detail"].startswith(f"The file has {SIZE} bytes")
    assert not is_open(path)


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (ETAG, 206),
        ('"v2"', 200),
        ('W/"v1"', 200),  # only strong comparison will do (RFC 9110 section 13.1.5)
        ("Wed, 04 Mar 2026 00:00:00 GMT", 200),
    ],
)
async def test_a_part_of_what_it_was_is_sent_only_of_that(app, if_range, status):
    response = await app.test_client().get("/api/file", headers={"Range": "bytes=0-9", "If-Range": if_range})
    assert response.status_code == status
    assert len(await response.get_data()) == (10 if status == 206 else SIZE)


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [(ETAG, 304), ('W/"v1"', 304), ('"v0", "v1"', 304), ("*", 304), ('"v2"', 200), ("rubbish", 200)],
)
async def test_what_the_client_has_is_not_sent_again(app, path, if_none_match, status):
    response = await app.test_client().get("/api/file", headers={"If-None-Match": if_none_match, "Range": "bytes=0-"})
    assert response.status_code == (206 if status == 200 else 304)
    assert response.headers["ETag"] == ETAG
    if status == 304:
        assert await response.get_data() == b""
    assert not is_open(path)


async def test_head_has_the_headers_and_nothing_else(app, path):
    async with serving(app) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            request = "HEAD /api/file HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n\r\n"
            await stream.send_all(request.encode())
            head, body = await receive_head(stream)
            # Range is defined for GET alone (RFC 9110 section 14.2).
            assert head.startswith(b"HTTP/1.1 200")
            assert f"content-length: {SIZE}".encode() in head.lower()
            assert body == b""
            assert not is_open(path)
            # What follows on the same connection is the next answer and no content of this one.
            await stream.send_all(b"GET /api/file HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9\r\n\r\n")
            head, body = await receive_head(stream)
            assert head.startswith(b"HTTP/1.1 206")
            assert CONTENT[5:10].startswith(body)


async def test_an_unchanged_file_has_no_type_and_no_length_of_its_own(app):
    async with serving(app) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(f"GET /api/file HTTP/1.1\r\nHost: a\r\nIf-None-Match: {ETAG}\r\n\r\n".encode())
            head, body = await receive_head(stream)
    assert head.startswith(b"HTTP/1.1 304")
    assert b"content-type" not in head.lower()
    assert b"content-length" not in head.lower()
    assert body == b""


async def receive_head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body


async def test_a_client_that_goes_away_leaves_no_file_open(app, path):
    path.write_bytes(CONTENT * 500)  # more than all buffers on the way hold
    async with serving(app) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET /api/file HTTP/1.1\r\nHost: a\r\n\r\n")
        head, _ = await receive_head(stream)
        assert head.startswith(b"HTTP/1.1 200")
        assert is_open(path)
        await stream.aclose()
        await closes(path)


async def test_a_file_that_shrinks_breaks_off_instead_of_ending_well(app, path):
    path.write_bytes(CONTENT * 100)
    async with serving(app) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"GET /api/file HTTP/1.1\r\nHost: a\r\n\r\n")
            await receive_head(stream)
            os.truncate(path, 0)
            received = 0
            while data := await stream.receive_some():
                received += len(data)
        assert received < SIZE * 100
        await closes(path)


async def test_a_slow_disk_stops_nobody_else(app, path, monkeypatch):
    """While one read hangs, the loop answers others."""
    reading, go_on = trio.Event(), trio.Event()
    pread = os.pread

    def hang(fd: int, size: int, at: int) -> bytes:
        trio.from_thread.run_sync(reading.set)
        trio.from_thread.run(go_on.wait)
        return pread(fd, size, at)

    monkeypatch.setattr(ranges.os, "pread", hang)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.test_client().get, "/api/file")
        await reading.wait()
        other = await app.test_client().get("/api/file", headers={"If-None-Match": ETAG})
        assert other.status_code == 304
        go_on.set()
    assert not is_open(path)
