"""Webhooks in: what is stored before it is acknowledged, and what everything else is answered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bridge.errors import SettingsError
from bridge.store import Store
from bridge.web import health_routes, routed, web_app
from bridge.web.counts import Counts
from bridge.web.doorkeeper import MOST_BYTES, Doorkeeper, Patience
from bridge.web.hooks import Door, Hooks, doors_of
from bridge.web.keeping import Keeper
from connectors.freshdesk import hooks as freshdesk
from connectors.sandbox.company import founded
from connectors.zendesk import hooks as zendesk

NOW = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
OLD, NEW = "old-signing-secret==", "new-signing-secret=="
SHARED = "3f1c0a9d7e5b42688f6d0c1b2a394857"
BODY = b'{"ticket_id": "7"}'
JSON = {"content-type": "application/json; charset=utf-8"}
CANARY = "kanarienvogel"
ELSEWHERE = "203.0.113.9"


def signed(body: bytes = BODY, secret: str = NEW, at: datetime = NOW) -> dict[str, str]:
    """Return the headers of a delivery of Zendesk."""
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    mac = base64.b64encode(hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256).digest()).decode()
    return {**JSON, zendesk.SIGNATURE: mac, zendesk.SIGNED_AT: stamp}


def with_secret(secret: str = SHARED) -> dict[str, str]:
    """Return the headers of a delivery of Freshdesk."""
    return {**JSON, freshdesk.SECRET_HEADER: secret}


async def call(
    app: Doorkeeper,
    path: str,
    headers: dict[str, str],
    parts: Sequence[bytes],
    source: str = ELSEWHERE,
    *,
    method: str = "POST",
    ends: bool = True,
) -> tuple[int, dict[str, str], bytes]:
    """Make one request; without *ends* the sender falls silent before the end of the body."""
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "client": (source, 1), "server": ("bridge", 80),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip
    left, said = list(parts), []

    async def receive() -> dict[str, Any]:
        if not left and not ends:
            await asyncio.Event().wait()
        part = left.pop(0) if left else b""
        return {"type": "http.request", "body": part, "more_body": bool(left) or not ends}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], answered, b"".join(one.get("body", b"") for one in said[1:])


class Site:
    """A server without its sockets, beside a real database."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, NOW
        self.store = Store.open(f"sqlite:///{path}", busy=timedelta(milliseconds=5))
        self.counts, self.rung = Counts(), list[tuple[str, datetime]]()
        self.keeper = Keeper(self.store, lambda: self.now, lambda *hint: self.rung.append(hint))
        doors = {"acme": Door(zendesk, [OLD, NEW]), "shop": Door(freshdesk, [SHARED])}
        self.hooks = Hooks(doors, self.keeper, self.counts, lambda: self.now)
        health = health_routes(lambda: self.store.ping() or "")
        self.app = web_app([self.hooks.routes(), health], self.counts, Patience(clock=lambda: 0.0))

    def post(self, account: str, headers: dict[str, str], *parts: bytes, **how: Any) -> int:
        """Send one webhook and return the status of its answer."""
        status, _, body = asyncio.run(call(self.app, f"/hooks/{account}", headers, parts or [BODY], **how))
        assert body == b""
        return status

    def stored(self) -> list[tuple[str, str]]:
        """Return account and ticket of every hint in the database."""
        with closing(sqlite3.connect(self.path)) as db:
            return list(db.execute("SELECT account, ticket_id FROM inbox WHERE source = 'hint' ORDER BY inbox_id"))


@pytest.fixture
def site(tmp_path: Path, migrated_file: Path) -> Iterator[Site]:
    shutil.copyfile(migrated_file, tmp_path / "bridge.db")
    site = Site(tmp_path / "bridge.db")
    yield site
    site.keeper.close()
    site.store.close()


# ------------------------------------------------------------------ genuine ones
@pytest.mark.parametrize(("account", "headers"), [("acme", signed()), ("shop", with_secret())])
def test_a_genuine_webhook_is_stored_then_acknowledged(site: Site, account: str, headers: dict[str, str]) -> None:
    assert site.post(account, headers) == 200
    assert site.stored() == [(account, "7")]
    assert site.rung == [(account, NOW + site.hooks.doors[account].vendor.RIPENS_IN)]


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_while_secrets_change_both_are_accepted(site: Site, secret: str) -> None:
    assert site.post("acme", signed(secret=secret)) == 200


def test_a_secret_that_was_taken_out_is_refused(site: Site) -> None:
    site.hooks.doors = {"acme": Door(zendesk, [NEW])}

    assert site.post("acme", signed(secret=OLD)) == 401


def test_a_retry_of_zendesk_has_a_signature_of_its_own(site: Site) -> None:
    site.post("acme", signed())
    site.now += timedelta(minutes=8)

    assert site.post("acme", signed(at=site.now)) == 200


def test_a_test_delivery_without_a_ticket_is_well_and_stores_nothing(site: Site) -> None:
    assert site.post("acme", signed(b'{"ping": 1}'), b'{"ping": 1}') == 200
    assert site.stored() == []


class Ledger:
    """Stands in for the store: notes how many hints each commit holds."""

    def __init__(self) -> None:
        self.commits: list[int] = []

    def add_hints(self, hints: Sequence[Any], _now: datetime) -> list[bool]:
        self.commits.append(len(hints))
        return [True] * len(hints)


def test_hints_that_arrive_together_share_a_commit() -> None:
    ledger = Ledger()
    keeper = Keeper(ledger, lambda: NOW, lambda *_: None)  # type: ignore[arg-type]

    async def arrive() -> list[bool]:
        return await asyncio.gather(*[keeper.keep("acme", str(number), "7") for number in range(100)])

    assert asyncio.run(arrive()) == [True] * 100
    assert ledger.commits == [100]
    keeper.close()


# ------------------------------------------------------------------ everything else
DEEP = b"[" * 300 + b"]" * 300
DEEPER = b"[" * 100_000
Bad = tuple[str, dict[str, str], bytes, int, str]  # account, headers, body; status and what is counted
BAD: list[Bad] = [
    ("acme", {**JSON}, BODY, 401, "unsigned"),
    ("acme", signed(secret="a stranger's"), BODY, 401, "forged"),
    ("acme", signed(secret=zendesk.PUBLIC_TEST_SECRET), BODY, 401, "forged"),
    ("acme", signed(), b'{"ticket_id": "8"}', 401, "forged"),
    ("acme", signed(at=NOW - timedelta(seconds=301)), BODY, 401, "stale"),
    ("acme", signed(at=NOW + timedelta(seconds=301)), BODY, 401, "stale"),
    ("acme", signed() | {"content-type": "text/plain"}, BODY, 415, "content_type"),
    ("acme", signed(b"{"), b"{", 400, "not_json"),
    ("acme", signed(b"\xff\xfe\xfa"), b"\xff\xfe\xfa", 400, "not_json"),
    ("acme", signed(b""), b"", 400, "not_json"),
    ("acme", signed(DEEP), DEEP, 400, "too_deep"),
    ("acme", signed(DEEPER), DEEPER, 400, "too_deep"),
    ("shop", {**JSON}, BODY, 401, "unsigned"),
    ("shop", with_secret("0" * 32), BODY, 401, "forged"),
    ("shop", with_secret() | {"content-type": "application/x-www-form-urlencoded"}, BODY, 415, "content_type"),
    ("shop", with_secret(), b'{"ticket_id": "x" "y"}', 400, "not_json"),
    ("shop", with_secret(), DEEP, 400, "too_deep"),
    ("nobody", signed(), BODY, 401, "unknown_account"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad[0]} {bad[-1]}")
def test_bad_input_is_refused_without_a_detail(site: Site, caplog: pytest.LogCaptureFixture, bad: Bad) -> None:
    account, headers, body, status, why = bad
    with caplog.at_level(logging.WARNING, "bridge"):
        assert site.post(account, headers, body) == status

    known = {"account": account} if account in site.hooks.doors else {}
    assert site.counts.get("webhooks_total", outcome=why, **known) == 1
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"webhook answered {status}: it") and "; " in said and "{" not in said
    assert site.stored() == []


def test_the_log_says_what_to_do_about_a_secret_that_is_not_known(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.post("shop", with_secret("0" * 32))

    assert [record.getMessage() for record in caplog.records] == [
        "webhook answered 401: its signature or secret is not a known one;"
        " run recovery-bridge setup again, or look at BRIDGE_SHOP_WEBHOOK_SECRET"
    ]


def test_a_test_of_a_webhook_is_nothing_to_worry_about(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bridge"):
        assert site.post("shop", with_secret(), b"{}") == 200

    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "names no ticket" in caplog.text


def test_a_replay_is_refused_and_a_second_process_knows_it_too(site: Site, tmp_path: Path) -> None:
    site.post("acme", signed())
    another = Site(tmp_path / "bridge.db")

    assert site.post("acme", signed()) == 401
    assert another.post("acme", signed()) == 401
    assert len(site.stored()) == 1
    another.keeper.close()
    another.store.close()


def test_the_same_words_of_freshdesk_at_once_are_one_hint(site: Site) -> None:
    assert [site.post("shop", with_secret()) for _ in range(2)] == [200, 200]
    assert len(site.stored()) == 1


def test_a_log_line_holds_nothing_that_came(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"ticket_id": CANARY}).encode()
    with caplog.at_level(logging.DEBUG, "bridge"):
        site.post("shop", with_secret(), body)
        site.post(CANARY, with_secret(), body)
        site.post("shop", with_secret(CANARY), body)

    assert len(caplog.records) == 3
    assert CANARY not in caplog.text + json.dumps([str(vars(record)) for record in caplog.records])


def test_only_post_is_answered(site: Site) -> None:
    status, _, _ = asyncio.run(call(site.app, "/hooks/acme", {}, [], method="GET"))

    assert status == 405


# ------------------------------------------------------------------ size and time
@pytest.mark.parametrize(
    ("headers", "parts"),
    [
        ({"content-length": "50000000"}, [b"x"]),
        ({"content-length": "-1"}, [b"x"]),
        ({"content-length": "9" * 5000}, [b"x"]),
        ({}, [b"x" * 65536] * 5),
    ],
)
def test_a_body_that_is_too_large_is_not_read_to_its_end(
    site: Site, headers: dict[str, str], parts: list[bytes]
) -> None:
    status, answered, _ = asyncio.run(call(site.app, "/hooks/shop", with_secret() | headers, parts))

    assert status == 413
    assert answered["connection"] == "close"


def test_a_body_of_the_largest_size_is_taken(site: Site) -> None:
    body = b'{"ticket_id": 7, "text": "' + b"x" * (MOST_BYTES - 28) + b'"}'

    assert len(body) == MOST_BYTES
    assert site.post("shop", with_secret(), body[:1000], body[1000:]) == 200


def test_a_body_that_does_not_end_is_not_waited_for(site: Site) -> None:
    hasty = Doorkeeper(site.app, site.counts, within=0.01)

    status, answered, _ = asyncio.run(call(hasty, "/hooks/shop", with_secret(), [b"{"], ends=False))

    assert (status, answered["connection"]) == (408, "close")


# ------------------------------------------------------------------ sources
def test_a_source_that_was_refused_often_is_told_to_wait(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    answers = [site.post("acme", JSON) for _ in range(61)]
    said = len(caplog.records)

    assert answers == [401] * 60 + [429]
    assert said == 60


def test_a_stranger_at_the_same_addresses_shuts_nobody_out(site: Site) -> None:
    for _ in range(61):
        site.post("acme", JSON)

    assert site.post("acme", signed()) == 200
    assert site.post("acme", JSON, source="198.51.100.1") == 401


def test_pages_wait_for_whom_was_refused_often(site: Site) -> None:
    for _ in range(60):
        site.post("acme", JSON)

    status, answered, _ = asyncio.run(call(site.app, "/survey/x", {}, [], method="GET"))
    healthy, _, _ = asyncio.run(call(site.app, "/healthz", {}, [], method="GET"))

    assert (status, answered["retry-after"], healthy) == (429, "60", 200)


@pytest.mark.parametrize(("source", "times"), [("127.0.0.1", 1), ("172.18.0.2", 1), ("8.8.8.8", 0)])
def test_a_proxy_that_nobody_told_us_of_is_warned_of_once(
    site: Site, caplog: pytest.LogCaptureFixture, source: str, times: int
) -> None:
    for _ in range(2):
        site.post("shop", with_secret() | {"x-forwarded-for": ELSEWHERE}, source=source)

    assert caplog.text.count(f"a proxy at {source} forwards requests") == times


def test_a_proxy_that_we_know_is_not_warned_of(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    known: Any = ProxyHeadersMiddleware(site.app, "127.0.0.1")  # type: ignore[arg-type]
    headers = with_secret() | {"x-forwarded-for": "10.0.0.7"}

    status, _, _ = asyncio.run(call(known, "/hooks/shop", headers, [BODY], source="127.0.0.1"))

    assert (status, caplog.text) == (200, "")


def test_what_is_behind_the_door_may_be_replaced(site: Site) -> None:
    site.app.lead_to(routed([health_routes(lambda: "")]))

    assert asyncio.run(call(site.app, "/hooks/shop", with_secret(), [BODY]))[0] == 404
    assert asyncio.run(call(site.app, "/healthz", {}, [], method="GET"))[0] == 200


def test_a_minute_later_all_is_forgiven() -> None:
    clock = iter([0.0, 1.0, 2.0, 61.0])
    patience = Patience(1, lambda: next(clock))
    patience.count(ELSEWHERE)

    assert patience.is_over(ELSEWHERE)
    patience.count("another")
    assert not patience.is_over(ELSEWHERE)


# ------------------------------------------------------------------ the database
def test_while_the_database_cannot_be_written_webhooks_are_to_come_again(site: Site) -> None:
    with closing(sqlite3.connect(site.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, answered, _ = asyncio.run(call(site.app, "/hooks/acme", signed(), [BODY]))
        other.rollback()

    assert (status, answered["retry-after"]) == (503, "30")
    assert site.stored() == site.rung == []
    assert site.post("acme", signed()) == 200  # nothing was remembered of the first


def test_no_webhook_goes_into_a_database_that_was_removed(site: Site) -> None:
    site.post("acme", signed())
    site.path.unlink()

    assert site.post("acme", signed(secret=OLD)) == 503


def test_health_tells_a_working_database_from_a_damaged_one(site: Site) -> None:
    def status(path: str) -> int:
        return asyncio.run(call(site.app, path, {}, [], method="GET"))[0]

    assert (status("/healthz"), status("/readyz")) == (200, 200)
    site.store.close()
    site.path.write_bytes(b"no database" * 1000)
    assert (status("/healthz"), status("/readyz")) == (200, 503)


# ------------------------------------------------------------------ secrets
@pytest.mark.parametrize("text", [f"{OLD},{NEW}", f"{OLD}\n{NEW}\n", f" {OLD} , {NEW} "])
def test_several_secrets_may_be_active(tmp_path: Path, text: str) -> None:
    firm = founded(NOW, tmp_path)
    doors = doors_of(firm.rules(), {**firm.env, "BRIDGE_ACME_WEBHOOK_SECRET": text})

    assert {name: list(door.secrets) for name, door in doors.items()} == {"acme": [OLD, NEW]}


@pytest.mark.parametrize(
    ("variable", "secret"),
    [("BRIDGE_ACME_WEBHOOK_SECRET", f"{NEW},{zendesk.PUBLIC_TEST_SECRET}"), ("BRIDGE_SHOP_WEBHOOK_SECRET", "hunter2")],
)
def test_a_secret_that_protects_nothing_is_named_at_the_start(tmp_path: Path, variable: str, secret: str) -> None:
    with pytest.raises(SettingsError, match=variable) as told:
        doors_of(founded(NOW, tmp_path).rules(), {"BRIDGE_STATE_DIR": str(tmp_path), variable: secret})

    assert secret not in str(told.value)


def test_the_secret_that_setup_keeps_is_as_good_as_those_of_the_environment(tmp_path: Path) -> None:
    firm = founded(NOW, tmp_path)
    (tmp_path / "acme.webhook_secret").write_text(NEW)
    (tmp_path / "shop.webhook_secret").write_text(SHARED)

    doors = doors_of(firm.rules(), {**firm.env, "BRIDGE_ACME_WEBHOOK_SECRET": OLD})

    assert {name: door.secrets for name, door in doors.items()} == {"acme": (OLD, NEW), "shop": (SHARED,)}


@pytest.mark.parametrize("before", [{}, {"acme": Door(zendesk, (OLD,))}], ids=["none", "another"])
def test_a_secret_that_came_since_the_start_opens_the_door(site: Site, before: dict[str, Door]) -> None:
    site.hooks.doors, site.hooks.find = before, lambda: {"acme": Door(zendesk, (NEW,))}

    assert site.post("acme", signed()) == 200
    assert site.counts.get("webhooks_total", outcome="kept", account="acme") == 1


def test_whoever_knocks_without_end_makes_us_look_once_a_second(site: Site) -> None:
    looks = iter(range(100))
    site.hooks.find = lambda: {"acme": Door(zendesk, (f"{next(looks)}",))}

    for _ in range(5):
        site.post("acme", signed(secret="of-a-stranger"))
    site.now += timedelta(seconds=1)
    site.post("acme", signed(secret="of-a-stranger", at=site.now))

    assert next(looks) == 2


def test_where_secrets_cannot_be_looked_for_the_doors_stay_as_they_are(site: Site) -> None:
    def unreadable() -> dict[str, Door]:
        raise SettingsError("acme.webhook_secret: cannot be read")

    site.hooks.find = unreadable

    assert [site.post("acme", signed(secret=secret)) for secret in ("of-a-stranger", NEW)] == [401, 200]
