"""A portal on a database of its own: real queries and real hashes, without sockets."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from quart_trio import QuartTrio

from portal.app import create_app
from portal.config import PortalConfig
from schema.database import Database, open_database
from tests.databases import KEY, sqlite_template
from tests.portal.visitor import Visitor

__all__ = ["sqlite_template"]


@pytest.fixture
def config(tmp_path: Path) -> PortalConfig:
    return PortalConfig(
        bind=("127.0.0.1", 0),
        database_url=f"sqlite:///{tmp_path / 'earshot.sqlite'}",
        data_dir=tmp_path,
        database_key=KEY,
        session_key=bytes(range(32)),
        gateway_key=bytes(32),
    )


@pytest.fixture
async def database(config: PortalConfig, sqlite_template: Path) -> AsyncIterator[Database]:
    shutil.copy(sqlite_template, config.data_dir / "earshot.sqlite")
    async with open_database(config.database_url, key=KEY) as opened:
        yield opened


@pytest.fixture
def app(config: PortalConfig, database: Database) -> QuartTrio:
    return create_app(config, None)


@pytest.fixture
def visitor(app: QuartTrio) -> Visitor:
    return Visitor(app)
