"""An API with its database, a shelf of recordings, and an engine that does as it is told.

The engine here is an object: the real one, with its gateway, is beneath `tests/live` and `tests/end_to_end`.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import trio
from quart import Response
from quart_trio import QuartTrio

from actors.spool import Spool
from archive.encode import Encoding
from archive.finish import RECORDINGS, Recipe, finish
from live.messages import Answer
from portal.app import create_app
from portal.config import PortalConfig
from schema import access, clerk, users
from schema.database import Database
from schema.roles import Role
from schema.values import Account, CallRecord, CallView, Event, NodeRecord, Offset, PartyRecord, RecordingRecord
from tests.archive.calls import PRIVATE_KEY, two_tones
from tests.databases import postgres
from tests.people import COMMAND

__all__ = ["postgres"]

NODE = "node-1"
START = datetime(2026, 3, 5, 14, 3, 22, 120_000, UTC)


@dataclass
class Engine:
    """Answers as the engines' gateways do: `does` says what (None: never), and `asked` keeps who asked for what."""

    does: Callable[[], Answer | None] = lambda: Answer(id=1, state="paused", position_s=12.34)
    asked: list[tuple[str, UUID, str, str]] = field(default_factory=list)

    async def pause(self, call: CallView, who: str, sign: str) -> Answer:
        return await self._do("pause", call, who, sign)

    async def resume(self, call: CallView, who: str, sign: str) -> Answer:
        return await self._do("resume", call, who, sign)

    async def _do(self, what: str, call: CallView, who: str, sign: str) -> Answer:
        self.asked.append((what, call.record.id, who, sign))
        return self.does() or await trio.sleep_forever()


@dataclass
class Api:
    """A client of the API. `token` is of the one who asks."""

    app: QuartTrio
    token: str = ""

    def of(self, token: str) -> "Api":
        return replace(self, token=token)

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Response:
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.app.test_client().open(path, method=method, headers=sent | (headers or {}), **options)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Response:
        return await self.ask("GET", path, headers)

    async def put(self, path: str, **options: Any) -> Response:
        return await self.ask("PUT", path, **options)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def app(config: PortalConfig, database: Database, engine: Engine) -> AsyncIterator[QuartTrio]:
    await clerk.heartbeat(NodeRecord(NODE, "ws://127.0.0.1:5065", "1", datetime.now(UTC)))
    app = create_app(config, engine)
    async with app.test_app():
        yield app


Person = Callable[..., Awaitable[tuple[Account, str]]]


@pytest.fixture
def person(app: QuartTrio) -> Person:
    """Makes an account, and gives its API token beside it."""

    async def make(login: str, role: Role = Role.ADMINISTRATOR, **options: Any) -> tuple[Account, str]:
        given = {"tenant": None, "name": "", "password_hash": "", "may_sign_in": True, **options}
        made = await users.add_user(COMMAND, login, role=role, **given)
        token = f"token of {login}"
        await access.add_token(COMMAND, made.id, hashlib.sha256(token.encode()).digest(), "test")
        return made, token

    return make


@pytest.fixture
async def api(app: QuartTrio, person: Person) -> Api:
    """The API as its administrator `ada` uses it."""
    _, token = await person("ada")
    return Api(app, token)


async def keep(**given: Any) -> CallRecord:
    """Puts a call into the database: a running one, unless `finished` says otherwise."""
    record = CallRecord(
        **{
            "id": uuid4(),
            "tenant_id": await clerk.default_tenant(),
            "node": NODE,
            "events": 1,
            "started_at": START,
            "direction": "inbound",
            "mode": "always-pause",
            **given,
        }
    )
    if record.finished:
        await clerk.finish(record)
    else:
        event = Event(record.id, 1, b"{}")
        await clerk.apply(NODE, Offset(0, 0), [event], [record])
    return record


async def keep_many(count: int) -> list[CallRecord]:
    """Calls that began one second after the other, the newest first."""
    made = [await keep(started_at=START + timedelta(seconds=second)) for second in range(count)]
    return made[::-1]


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, RecordingRecord]]:
    """A recording of three seconds in each format: the caller 440 Hz, the callee 1,000 Hz."""
    made = {}
    for form in ("opus", "wav", "flac", "mp3"):
        data_dir = tmp_path_factory.mktemp(form)
        script = two_tones(3)
        script.finished(data_dir)
        recipe = Recipe(PRIVATE_KEY, Encoding(form), "silence")
        done = finish(Spool.below(data_dir), data_dir / RECORDINGS, str(script.call_id), recipe)
        audio, peaks = done.manifest.audio, done.manifest.peaks
        made[form] = (
            done.folder,
            RecordingRecord(
                "2026/03/05/call",
                audio.file,
                audio.format,
                audio.bytes,
                audio.sha256,
                audio.duration_s,
                audio.rate_hz,
                peaks.file,
            ),
        )
    return made


Keep = Callable[..., Awaitable[CallRecord]]


@pytest.fixture
def keep_recorded(config: PortalConfig, recordings: dict[str, tuple[Path, RecordingRecord]]) -> Keep:
    """Puts a finished call into the database, and its recording on the shelf."""

    async def make(form: str = "opus", **given: Any) -> CallRecord:
        source, recording = recordings[form]
        call_id = uuid4()
        folder = config.data_dir / RECORDINGS / str(call_id)
        folder.parent.mkdir(exist_ok=True)
        folder.symlink_to(source)
        return await keep(
            **{
                "id": call_id,
                "finished": True,
                "kept": True,
                "recording": "off",
                "end": "normal",
                "ended_at": START + timedelta(seconds=3),
                "duration_s": 3.01,
                "caller": PartyRecord("100", "Ann Smith"),
                "callee": PartyRecord("200"),
                "recording_file": replace(recording, folder=str(call_id)),
                **given,
            }
        )

    return make
