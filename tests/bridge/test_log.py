"""What a log line looks like, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from bridge import log

CANARY = "kanarienvogel"


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """Leave the logging of the other tests as it was."""
    loggers = [logging.getLogger(), logging.getLogger("bridge")]
    before = [(one, one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, handlers, level, propagate in before:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


def logged(message: str, *values: object, as_json: bool = False, level: int = logging.INFO, **extra: object) -> str:
    stream = io.StringIO()
    log.set_up(stream, as_json=as_json)
    logging.getLogger("bridge.engine").log(level, message, *values, extra=extra)
    return stream.getvalue()


def test_a_line_for_people_has_level_account_and_message() -> None:
    assert logged("found %d", 7, account="acme") == "acme: found 7\n"
    assert logged("found", level=logging.WARNING) == "warning: found\n"


def test_an_account_that_the_message_names_is_not_named_twice() -> None:
    assert logged("acme: GET /x: 500", level=logging.ERROR, account="acme") == "error: acme: GET /x: 500\n"


def test_what_a_helpdesk_said_can_neither_break_the_line_nor_colour_it() -> None:
    assert logged("no:\nerror: all is lost \x1b[31m\u2028\u202e") == "no: error: all is lost  [31m  \n"


def test_a_line_for_machines_is_one_json_object() -> None:
    line = json.loads(logged("found %d\n", 7, as_json=True, account="acme", ticket_id="9"))

    assert line | {"at": ""} == {"at": "", "level": "info", "message": "found 7\n", "account": "acme", "ticket_id": "9"}
    assert line["at"].endswith("+00:00")


def test_fields_that_nobody_named_are_left_out() -> None:
    assert CANARY not in logged("rated", as_json=True, comment=CANARY)


def test_the_libraries_stay_silent_because_they_log_bodies() -> None:
    stream = io.StringIO()
    log.set_up(stream, as_json=False)

    logging.getLogger("urllib3.connectionpool").error("GET /?q=%s", CANARY)

    assert stream.getvalue() == ""


def crash_about(words: str) -> ValueError:
    try:
        raise ValueError(words)
    except ValueError as exc:
        return exc


def test_a_crash_is_told_by_its_place_and_kind_without_its_words() -> None:
    exc = crash_about(CANARY)

    assert log.crash(exc).startswith("ValueError at test_log.py:")
    assert CANARY not in log.crash(exc)


def test_a_crash_report_is_a_traceback_without_words_to_send_to_the_makers() -> None:
    report = log.crash_report(crash_about(CANARY))

    assert "test_log.py" in report
    assert report.endswith("ValueError\nThis is a bug in Recovery Bridge; please report the lines above.")
    assert CANARY not in report
