"""The session over real loopback HTTP, where retries, resets and half answers can be seen, and its budget."""

import json
import re
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import responses

from bridge.errors import Conflict, CredentialsRefused, NotFound, Refused, SettingsError, Throttled, Unreachable
from bridge.http import PATIENCE, TIMEOUT, BridgeSession, Budget, check_url, retry_after

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = "SECRET-TEXT"
RESET, HANG = "reset", "hang"


class Script:
    """A server that answers each request with the next of its answers, and keeps what it was sent."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.requests = []
        self.ended = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                if self.ended.is_set():
                    return
                self.answer(connection)

    def answer(self, connection):
        head, body = self.read(connection)
        self.requests.append((*head.split(" ")[:2], head, body))
        answer = self.answers.pop(0)
        if answer == HANG:
            connection.recv(1)  # until the other side gives up
        elif answer == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            connection.sendall(answer)

    def read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)
        return head.decode(), body.decode()

    def end(self):
        self.ended.set()
        socket.create_connection(self.listener.getsockname()).close()
        self.thread.join(5)
        self.listener.close()


def answer(status=200, body='{"ok": true}', cut=0, **headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body[: len(body) - cut]).encode()


@contextmanager
def scripted(*answers):
    """Give a server with these answers, a session on it, and the pauses that the session asked for."""
    server, pauses = Script(answers), []
    session = BridgeSession("acme", server.url, Budget("acme", lambda: NOON), sleep=pauses.append)
    session.auth = ("bridge", SECRET)
    try:
        yield server, session, pauses
    finally:
        session.close()
        server.end()


def write(session):
    return session.write("PUT", "/api/v2/tickets/7", {"ticket": {"status": "open"}})


# ------------------------------------------------------------------ what went well
def test_a_read_gives_the_json_of_the_answer():
    with scripted(answer()) as (server, session, _):
        assert session.read("/api/v2/tickets", {"page[size]": 100}) == {"ok": True}
        assert server.requests[0][:2] == ("GET", "/api/v2/tickets?page%5Bsize%5D=100")


def test_a_write_gives_the_json_of_the_answer_and_sends_json():
    with scripted(answer(201)) as (server, session, _):
        assert write(session) == {"ok": True}
        assert json.loads(server.requests[0][3]) == {"ticket": {"status": "open"}}


def test_an_answer_without_a_body_is_none():
    with scripted(answer(204, "")) as (_, session, _):
        assert write(session) is None


def test_requests_are_counted_and_the_helpdesks_clock_is_kept():
    with scripted(answer(Date="Sat, 21 Nov 2026 12:00:07 GMT")) as (_, session, _):
        session.read("/")
        assert session.requests_made == 1
        assert session.helpdesk_time == NOON + timedelta(seconds=7)


def test_calls_go_through_the_proxy_that_the_environment_names(monkeypatch):
    with scripted(answer()) as (server, _, _):
        monkeypatch.setenv("http_proxy", server.url)
        with BridgeSession("acme", "http://far.example", Budget("acme", lambda: NOON), sleep=print) as session:
            session.read("/api/v2/tickets")
        assert server.requests[0][:2] == ("GET", "http://far.example/api/v2/tickets")


# ------------------------------------------------------------------ a write is sent once
@pytest.mark.parametrize(
    "trouble",
    [RESET, answer(500), answer(502, "<html>"), answer(503, Retry_After="1"), answer(cut=5), answer(200, "<html>")],
)
def test_a_write_is_never_sent_twice(trouble):
    with scripted(trouble, answer()) as (server, session, pauses):
        with pytest.raises(Unreachable):
            write(session)
        assert len(server.requests) == 1
        assert pauses == []


def test_a_write_that_is_not_answered_is_given_up_and_not_repeated():
    with scripted(HANG, answer()) as (server, session, _):
        with pytest.raises(Unreachable, match="PUT /api/v2/tickets/7: no answer"):
            session.request("PUT", "/api/v2/tickets/7", json={}, timeout=(1, 0.05))
        assert len(server.requests) == 1


# ------------------------------------------------------------------ a read may be repeated
@pytest.mark.parametrize("trouble", [RESET, answer(500), answer(502, "<html>"), answer(cut=5), answer(200, "<html>")])
def test_a_read_is_tried_again_after_transient_trouble(trouble):
    with scripted(trouble, answer()) as (server, session, pauses):
        assert session.read("/") == {"ok": True}
        assert len(server.requests) == 2
        assert len(pauses) == 1


def test_a_read_is_given_up_after_some_tries():
    with scripted(*[answer(503)] * 9) as (server, session, _):
        with pytest.raises(Unreachable, match="acme: GET /api/v2/users: 503"):
            session.read("/api/v2/users")
        assert len(server.requests) == 4


def test_a_503_says_itself_how_long_to_wait():
    with scripted(answer(503, Retry_After="7"), answer()) as (_, session, pauses):
        session.read("/")
        assert pauses == [7.0]


def test_a_wait_beyond_the_deadline_is_not_begun():
    with scripted(answer(503, Retry_After="600"), answer()) as (_, session, pauses):
        with pytest.raises(Unreachable):
            session.read("/")
        assert pauses == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
def test_a_read_that_was_refused_is_not_repeated(status):
    with scripted(answer(status), answer()) as (server, session, _):
        with pytest.raises((Refused, CredentialsRefused, Throttled)):
            session.read("/")
        assert len(server.requests) == 1


# ------------------------------------------------------------------ what an answer means
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (404, NotFound),
        (409, Conflict),
        (422, Refused),
        (410, Refused),
    ],
)
def test_every_refusal_has_its_error(status, error):
    with scripted(answer(status)) as (_, session, _), pytest.raises(error) as caught:
        session.read("/api/v2/tickets/7")
    assert caught.value.status == status
    assert str(caught.value).startswith(f"acme: GET /api/v2/tickets/7: {status}")


def test_the_details_of_a_refusal_are_the_helpdesks_words():
    body = {"error": "RecordInvalid", "details": {"assignee": [{"description": "Assignee: is invalid"}]}}
    with scripted(answer(422, json.dumps(body))) as (_, session, _), pytest.raises(Refused) as caught:
        write(session)
    assert caught.value.says("assignee", "invalid")
    assert not caught.value.says("closed")


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"error": "Forbidden"}, ("Forbidden",)),
        ({"error": {"title": "Forbidden", "message": "No access"}}, ("Forbidden No access",)),
        ({"errors": [{"code": "NotFound", "status": "404", "title": "Not here"}]}, ("NotFound Not here",)),
        ({"description": "Validation failed", "errors": [
            {"field": "status", "message": "It should be one of these", "code": "invalid_value"}]},
         ("Validation failed", "status: It should be one of these (invalid_value)")),
        ({"code": "invalid_credentials", "message": "You have to be logged in"},
         ("invalid_credentials You have to be logged in",)),
        (["odd"], ("odd",)),
        (None, ()),
    ],
)  # fmt: skip
def test_error_bodies_of_all_shapes_are_read(body, details):
    with scripted(answer(422, json.dumps(body))) as (_, session, _), pytest.raises(Refused) as caught:
        session.read("/")
    assert caught.value.details == details


def test_an_error_that_is_a_web_page_has_no_details():
    with scripted(answer(404, "<html>nothing here</html>")) as (_, session, _), pytest.raises(NotFound) as caught:
        session.read("/")
    assert caught.value.details == ()


# ------------------------------------------------------------------ told to wait
@pytest.mark.parametrize(
    ("header", "seconds"),
    [({"Retry_After": "30"}, 30), ({"Retry_After": "Sat, 21 Nov 2026 12:01:30 GMT"}, 90), ({}, 60),
     ({"Retry_After": "soon"}, 60), ({"Retry_After": "1e400"}, 3600)],
)  # fmt: skip
def test_a_429_stops_the_account_for_as_long_as_it_says(header, seconds):
    with scripted(answer(429, **header), answer()) as (server, session, pauses):
        with pytest.raises(Throttled) as caught:
            session.read("/")
        assert caught.value.until == NOON + timedelta(seconds=seconds)
        with pytest.raises(Throttled):
            session.read("/")
        assert len(server.requests) == 1
        assert pauses == []


def test_an_endpoint_that_is_used_up_stops_the_account_until_it_resets():
    used_up = {"zendesk-ratelimit-tickets-index": "total=100; remaining=0; resets=42"}
    with scripted(answer(**used_up), answer()) as (_, session, _):
        session.read("/")
        with pytest.raises(Throttled, match="tickets-index") as caught:
            session.read("/")
        assert caught.value.until == NOON + timedelta(seconds=42)


def test_the_limit_of_one_ticket_does_not_stop_the_account():
    used_up = {"zendesk-ratelimit-per-ticket-updates": "total=30; remaining=0; resets=468"}
    with scripted(answer(**used_up), answer()) as (_, session, _):
        write(session)
        assert session.read("/") == {"ok": True}


@pytest.mark.parametrize("name", ["X-Rate-Limit", "ratelimit-limit", "X-RateLimit-Total", "x-rate-limit"])
def test_the_budget_follows_the_limit_that_headers_state(name):
    with scripted(answer(**{name: "700"})) as (_, session, _):
        session.read("/")
        assert session.budget.limit == 700


# ------------------------------------------------------------------ where credentials go
def test_a_redirect_is_not_followed():
    with scripted(answer(302, "", Location="https://evil.example/login"), answer()) as (server, session, _):
        with pytest.raises(Unreachable, match=r"redirected to evil\.example"):
            write(session)
        assert len(server.requests) == 1


def test_requests_own_get_does_not_follow_redirects_either():
    with scripted(answer(301, "", Location="/elsewhere")) as (server, session, _):
        with pytest.raises(Unreachable, match="redirected"):
            session.get("/")
        assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["https://evil.example/api", "//evil.example/api", "http://127.0.0.1:1/api"])
def test_no_other_host_is_asked(url):
    with scripted() as (server, session, _):
        with pytest.raises(Unreachable, match="will not send credentials to"):
            session.get(url)
        assert server.requests == []


@pytest.mark.parametrize(
    "trouble",
    [answer(500), answer(401), answer(422), answer(429), answer(302, Location="/x"), answer(200, "<html>"), RESET],
)
def test_no_error_names_a_secret_or_a_query(trouble):
    with scripted(trouble) as (_, session, _), pytest.raises(Exception, match="acme: ") as caught:
        session.request("POST", "/api?email=mia@x.example", json={"note": "PRIVATE"})
    said = f"{caught.value} {caught.value!r}"
    assert SECRET not in said
    assert "mia@x.example" not in said
    assert "PRIVATE" not in said


def test_a_host_that_is_not_there_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    session = BridgeSession("acme", url, Budget("acme", lambda: NOON), sleep=lambda _: None)

    with pytest.raises(Unreachable, match="acme: PUT /api/v2/tickets/7: no connection"):
        write(session)


def has_a_limit(request):
    return request.req_kwargs["timeout"] == TIMEOUT, "no time limit"


@responses.activate
def test_every_request_has_a_time_limit():
    responses.get("https://acme.zendesk.com/", json={}, match=[has_a_limit])
    responses.put("https://acme.zendesk.com/api/v2/tickets/7", json={}, match=[has_a_limit])
    session = BridgeSession("acme", "https://acme.zendesk.com", Budget("acme", lambda: NOON), sleep=lambda _: None)

    assert session.read("/") == {}
    assert write(session) == {}


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.zendesk.com",
        "https://acme.zendesk.com/",
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "http://[::1]:80",
    ],
)
def test_a_safe_address_is_taken(url):
    assert check_url("acme", url, ".zendesk.com") == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.zendesk.com",
        "https://acme.zendesk.com.evil.example",
        "https://evil.example",
        "https://a.b.zendesk.com",
        "https://zendesk.com",
        "https://user:secret@acme.zendesk.com",
        "https://acme.zendesk.com/path",
        "https://acme.zendesk.com?x=1",
        "ftp://127.0.0.1",
        "acme.zendesk.com",
        "",
    ],
)
def test_an_unsafe_address_is_refused(url):
    with pytest.raises(SettingsError, match="acme: url"):
        check_url("acme", url, ".zendesk.com")


# ------------------------------------------------------------------ the budget
class Turns:
    """A clock by hand."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += timedelta(seconds=seconds)


def calls_admitted(budget):
    """Return how many calls go at once, before one has to wait."""
    for count in range(10_000):
        try:
            if budget.admit():
                return count
        except Throttled:
            return count
    raise AssertionError("no end")


@pytest.mark.parametrize(("limit", "share", "calls"), [(200, 0.5, 100), (700, 0.5, 350), (400, 0.25, 100)])
def test_a_minute_has_the_share_of_the_limit_and_no_more(limit, share, calls):
    budget = Budget("acme", Turns(), share)
    budget.limit = limit

    assert calls - 1 <= calls_admitted(budget) <= calls  # a spacing is rounded to microseconds


def test_calls_come_back_with_time():
    clock = Turns()
    budget = Budget("acme", clock, 0.5)
    calls_admitted(budget)

    clock.advance(60 + PATIENCE)

    assert calls_admitted(budget) >= 99


def test_a_used_up_share_says_until_when():
    budget = Budget("acme", Turns(), 0.5)
    with pytest.raises(Throttled, match="acme: our share of the rate limit is used up") as caught:
        for _ in range(200):
            budget.admit()

    assert NOON < caught.value.until <= NOON + timedelta(seconds=60)


def test_a_budget_goes_on_where_another_process_stopped():
    clock = Turns()
    first, second = Budget("acme", clock), Budget("acme", clock)
    calls_admitted(first)
    first.stop(NOON + timedelta(seconds=30), "the helpdesk asked us to wait")

    second.restore(json.loads(json.dumps(first.state())))

    with pytest.raises(Throttled, match="asked us to wait"):
        second.admit()
    assert second.state() == first.state()


def test_the_longer_of_two_waits_counts():
    budget = Budget("acme", Turns())
    budget.stop(NOON + timedelta(seconds=60), "long")
    budget.stop(NOON + timedelta(seconds=10), "short")

    with pytest.raises(Throttled, match="long"):
        budget.admit()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("1.5", 1.5), ("-3", 0.0), ("Sat, 21 Nov 2026 12:00:09 GMT", 9.0),
     ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0), ("nan", None), ("later", None), ("", None), (None, None), ("1e9", 3600.0)],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(value, seconds):
    assert retry_after(value, NOON) == seconds
