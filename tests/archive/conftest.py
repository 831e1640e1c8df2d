"""Tests of what the database is told run on SQLite and on PostgreSQL."""

from tests.databases import database_url, kind, postgres, sqlite_template

__all__ = ["database_url", "kind", "postgres", "sqlite_template"]
