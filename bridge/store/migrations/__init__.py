"""Bringing a database to the newest schema, by Alembic and without an alembic.ini."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def config(connection: Connection) -> Config:
    """Return Alembic's settings for a connection that is inside a transaction."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    found.attributes["connection"] = connection
    return found


def upgrade(connection: Connection) -> None:
    """Apply every revision that is missing, in the transaction of *connection*."""
    command.upgrade(config(connection), "head")
