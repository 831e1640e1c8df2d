"""Files by HTTP: whole or a part of them (RFC 9110 sections 13 and 14), in chunks, never all of it in memory.

- One range is answered with a 206. Of several at once, which nobody needs for audio, none is obeyed: a 200 with the
  whole file, as section 14.2 allows. A range that is no range is no request for one either.
- The ETag is a strong one. A recording never changes, so there is no Last-Modified, and an If-Range with a date asks
  for the whole file.
- The file is read in threads: a slow disk stops nobody else. It is closed when the answer ends, however it ends.

Not here: which file, and who may have it.
"""

import os
import re
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import trio
from quart.wrappers.response import ResponseBody
from quart_babel import gettext
from quart_trio.wrappers import TrioResponse
from werkzeug.datastructures import Headers
from werkzeug.http import parse_etags

from archive.shelf import StoredFile
from portal.errors import Problem

CHUNK_BYTES: Final = 64 * 1024
# Each request asks whether the file is still the same and may still be had; a browser keeps what it holds meanwhile.
CACHE_CONTROL: Final = "private, no-cache"
_RANGES = re.compile(r"bytes[ \t]*=(.*)", re.IGNORECASE)
_RANGE = re.compile(r"([0-9]{0,30})-([0-9]{0,30})")


class Unsatisfiable(Exception):
    """The range lies beyond the end: a 416."""


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last, of a Range header and a file's size; None: the whole file.

    Raises `Unsatisfiable`.
    """
    ranges = _RANGES.fullmatch(header.strip()) if header is not None else None
    found = _RANGE.fullmatch(ranges[1].strip()) if ranges is not None else None
    if found is None or found[0] == "-":
        return None
    if not found[1]:
        begin, end = max(0, size - int(found[2])), size
    else:
        begin, end = int(found[1]), int(found[2]) + 1 if found[2] else size
        if found[2] and end <= begin:
            return None
    if begin >= size:
        raise Unsatisfiable
    return begin, min(end, size)


@dataclass(frozen=True, slots=True)
class Representation:
    """What is sent: an open file, its media type, its ETag without quotes, and a Content-Disposition (or none)."""

    stored: StoredFile
    content_type: str
    etag: str
    disposition: str = ""


def answer(sent: Representation, method: str, asked: Headers) -> TrioResponse:
    """The answer to a GET or HEAD with these request headers. It owns the file from now on.

    Raises `Problem` (416), with the file closed.
    """
    size, etag = sent.stored.size, f'"{sent.etag}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": CACHE_CONTROL}
    if parse_etags(asked.get("If-None-Match")).contains_weak(sent.etag):
        sent.stored.close()
        unchanged = TrioResponse(status=304, headers=headers)
        del unchanged.headers["Content-Type"]
        return unchanged
    part = None
    if method == "GET" and asked.get("If-Range", etag).strip() == etag:
        try:
            part = wanted(asked.get("Range"), size)
        except Unsatisfiable:
            sent.stored.close()
            raise Problem(
                416,
                gettext("Beyond the end"),
                gettext("The file has %(size)s bytes; the range that was asked for begins after them.", size=size),
                headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"},
            ) from None
    begin, end = part or (0, size)
    headers |= {"Content-Type": sent.content_type, "Content-Length": str(end - begin)}
    if sent.disposition:
        headers["Content-Disposition"] = sent.disposition
    if part is not None:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    response = TrioResponse(status=200 if part is None else 206, headers=headers)
    if method == "HEAD":
        sent.stored.close()
    else:
        response.response = _Part(sent.stored, begin, end)
    return response


class _Part(ResponseBody):
    """Bytes `begin` to `end` of a file, which is closed at the end."""

    def __init__(self, stored: StoredFile, begin: int, end: int) -> None:
        self._stored = stored
        self._at, self._end = begin, end

    async def __aenter__(self) -> "_Part":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stored.close()

    def __aiter__(self) -> "_Part":
        return self

    async def __anext__(self) -> bytes:
        if self._at >= self._end:
            raise StopAsyncIteration
        size = min(CHUNK_BYTES, self._end - self._at)
        chunk = await trio.to_thread.run_sync(os.pread, self._stored.file.fileno(), size, self._at)
        if not chunk:
            raise OSError(f"{self._stored.path} ended at {self._at}, before its end at {self._end}.")
        self._at += len(chunk)
        return chunk
