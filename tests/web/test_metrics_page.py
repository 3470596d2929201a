"""`/metrics`: with a token for whoever has it, without one for this machine alone, never through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from bridge.connector import Secret
from bridge.errors import StoreError
from bridge.metrics import Metrics
from bridge.rules import check
from bridge.store import Store
from bridge.web import web_app
from bridge.web.counts import Counts
from bridge.web.metrics_page import metrics_routes

SAID = b"# HELP recovery_bridge_held\n"
RULES = """
version: 1
accounts: {acme: {connector: zendesk, url: https://acme.zendesk.com}}
rules: [{name: Low rating, when: {rating: bad}, playbook: standard}]
playbooks: {standard: {}}
"""
TOKEN = Secret("prometheus-token")
HERE, ELSEWHERE = ("127.0.0.1", 5000), ("192.0.2.7", 5000)
ADDRESS = "http://127.0.0.1:8080"


def asked(
    token: Secret | None, client: tuple[str, int], headers: Mapping[str, str] | None = None, address: str = ADDRESS
) -> tuple[int, bytes]:
    """Ask for the metrics; returns status and body."""
    app = web_app([metrics_routes(lambda: SAID, token)], Counts())
    said = {name: value.encode("latin-1") for name, value in (headers or {}).items()}
    answer = TestClient(app, client=client, base_url=address).get("/metrics", headers=said)
    return answer.status_code, answer.content


@pytest.mark.parametrize("client", [HERE, ("::1", 5000), ("127.8.8.8", 5000)])
def test_without_a_token_this_machine_may_look(client: tuple[str, int]) -> None:
    assert asked(None, client) == (200, SAID)


@pytest.mark.parametrize("client", [ELSEWHERE, ("10.0.0.8", 5000), ("testclient", 5000)])
def test_without_a_token_others_find_nothing(client: tuple[str, int]) -> None:
    assert asked(None, client) == (404, b"")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_what_went_through_a_proxy_is_not_from_this_machine(header: str) -> None:
    assert asked(None, HERE, {header: "127.0.0.1"}) == (404, b"")


@pytest.mark.parametrize("address", ["http://recovery.example.com", "http://127.0.0.1.example.com", "http://10.0.0.8"])
def test_a_tunnel_and_a_proxy_that_says_nothing_are_known_by_the_name_that_was_asked_for(address: str) -> None:
    assert asked(None, HERE, address=address) == (404, b"")


@pytest.mark.parametrize("address", ["http://localhost:8080", "http://[::1]:8080"])
def test_this_machine_has_several_names(address: str) -> None:
    assert asked(None, HERE, address=address) == (200, SAID)


def test_with_a_token_whoever_has_it_may_look_from_anywhere() -> None:
    said = {"Authorization": "Bearer prometheus-token", "Via": "1.1 caddy"}
    assert asked(TOKEN, ELSEWHERE, said, "https://recovery.example.com") == (200, SAID)


@pytest.mark.parametrize(
    "said", ["", "Bearer", "Bearer prometheus", "Bearer prometheus-token-2", "Basic prometheus-token", "Bearer \u00e4"]
)
def test_with_a_token_nobody_else_may_look_not_even_from_here(said: str) -> None:
    assert asked(TOKEN, HERE, {"Authorization": said}) == (401, b"")


def test_while_the_database_cannot_be_used_there_is_nothing_to_read() -> None:
    def broken() -> bytes:
        raise StoreError("locked")

    app = web_app([metrics_routes(broken, None)], Counts())

    assert TestClient(app, client=HERE, base_url=ADDRESS).get("/metrics").status_code == 503


def test_prometheus_reads_what_the_store_and_this_process_have_counted(store: Store) -> None:
    rules, _ = check(RULES)
    assert rules
    counts = Counts()
    metrics = Metrics(store, lambda: rules, lambda: datetime.now(UTC), counts.all)
    client = TestClient(web_app([metrics_routes(metrics.text, None)], counts), client=HERE, base_url=ADDRESS)
    client.post("/hooks/nobody")

    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'recovery_bridge_held{account="acme"} 0.0\n' in answer.text
    assert 'recovery_bridge_requests_refused_total{status="404"} 1.0\n' in answer.text
