"""Logging to stderr: one readable line for people, one JSON object for machines.

Only ids, counts and our own words are ever logged: no customer's text, no address, no secret.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

FIELDS = ("account", "ticket_id", "case_id", "effect_id", "rule", "attempt", "seconds")


class JsonLines(logging.Formatter):
    """One JSON object per line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record; only the fields named in FIELDS are passed on."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        return json.dumps(line, ensure_ascii=False)


class Readable(logging.Formatter):
    """Level and message, for a person at a terminal or in a cron mail."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the one line of a record; what a helpdesk said cannot break it or colour the terminal."""
        message = record.getMessage()
        account = f"{record.account}: " if hasattr(record, "account") else ""
        if message.startswith(account):  # the messages of errors begin with their account
            account = ""
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return "".join(c if c.isprintable() else " " for c in f"{level}{account}{message}")


def set_up(stream: TextIO = sys.stderr, *, as_json: bool, level: int = logging.INFO) -> None:
    """Send the log of Recovery Bridge to *stream*; the libraries' own logs stay silent: they hold bodies and urls."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if as_json else Readable())
    root = logging.getLogger()
    root.handlers[:] = [logging.NullHandler()]
    own = logging.getLogger("bridge")
    own.handlers[:] = [handler]
    own.setLevel(level)
    own.propagate = False


def crash(exc: BaseException) -> str:
    """Say where an unexpected error came from, without its message: that could hold a customer's words."""
    frames = traceback.extract_tb(exc.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    return f"{type(exc).__name__} at {where}"


def crash_report(exc: BaseException) -> str:
    """Return a traceback without messages and values, to be sent to the makers of this program."""
    lines = "".join(traceback.format_tb(exc.__traceback__))
    return f"{lines}{type(exc).__name__}\nThis is a bug in Recovery Bridge; please report the lines above."
