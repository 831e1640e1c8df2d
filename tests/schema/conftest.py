"""Each test of a query runs on SQLite and on PostgreSQL."""

from tests.databases import database_url, empty_database_url, kind, postgres, sqlite_template

__all__ = ["database_url", "empty_database_url", "kind", "postgres", "sqlite_template"]
