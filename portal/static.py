"""The files that pages load: scripts, styles, icons. They are read once, compressed once, and served from memory.

`static_url("css/earshot.css")` is `/static/<version>/css/earshot.css`, with a version made from all the files, so that
browsers may keep what they have for ever. Scripts that import each other by relative paths stay within one version.

Not here: where third-party files come from (`assets.py`).
"""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from quart import Response, request

from portal.errors import not_found

log = structlog.get_logger()

FOLDER: Final = Path(__file__).with_name("static")
# What the npm step puts there; without it pages work and look like nothing.
VENDOR: Final = "vendor/"
VERSION_CHARACTERS: Final = 12
KEEP: Final = "public, max-age=31536000, immutable"
# Asked for under another version, or none: an answer that holds for now.
ASK_AGAIN: Final = "no-cache"
# Shorter ones fit into one packet anyway.
WORTH_COMPRESSING_BYTES: Final = 1000
# Types that the machine's own table may lack or have wrong.
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    compressed: bytes | None
    content_type: str
    etag: str


class StaticFiles:
    """All files below a folder, by their path in it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        self._files = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
        names = "".join(f"{name} {file.etag}\n" for name, file in self._files.items())
        self.version = hashlib.sha256(names.encode()).hexdigest()[:VERSION_CHARACTERS]
        if not any(name.startswith(VENDOR) for name in self._files):
            log.warning("front-end packages are missing", advice="npm ci, then: python -m portal.assets")

    def url(self, name: str) -> str:
        """Where browsers get this file."""
        return f"/static/{self.version}/{name}"

    async def serve(self, name: str) -> Response:
        """The file, or that it has not changed. Errors: `Problem` (404)."""
        version, _, rest = name.partition("/")
        versioned = re.fullmatch(rf"[0-9a-f]{{{VERSION_CHARACTERS}}}", version) is not None
        file = self._files.get(rest if versioned else name)
        if file is None:
            raise not_found()
        headers = {
            "Cache-Control": KEEP if versioned and version == self.version else ASK_AGAIN,
            "ETag": f'"{file.etag}"',
            "Vary": "Accept-Encoding",
        }
        if file.etag in request.if_none_match:
            return Response(b"", 304, headers)
        body = file.content
        if file.compressed is not None and request.accept_encodings.quality("gzip") > 0:
            body = file.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(body, 200, headers, content_type=file.content_type)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    content_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    compressed = None
    if len(content) >= WORTH_COMPRESSING_BYTES:
        compressed = gzip.compress(content, mtime=0)
    if compressed is not None and len(compressed) >= len(content):
        compressed = None
    return _File(content, compressed, content_type, hashlib.sha256(content).hexdigest()[:VERSION_CHARACTERS])
