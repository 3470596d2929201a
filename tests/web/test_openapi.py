"""The description of what is served: it agrees with the program, and whatever fits or does not fit it makes no 5xx.

schemathesis makes up the requests: those of strangers, and those of insiders, who know ids, keys and forms.
BRIDGE_TEST_REQUESTS is how many of each kind; `make soak` sends more.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.python.asgi import get_client
from starlette.routing import Route
from starlette.testclient import TestClient

from bridge.connector import Secret
from bridge.model import EffectState
from bridge.store import Store
from bridge.web import health_routes, web_app
from bridge.web.actions import ActionDesk, action_routes
from bridge.web.counts import Counts
from bridge.web.dashboard import DashDesk, dashboard_routes, style_path
from bridge.web.doorkeeper import Patience
from bridge.web.hooks import Door, Hooks
from bridge.web.keeping import Keeper
from bridge.web.login import Login
from bridge.web.metrics_page import metrics_routes
from bridge.web.survey_page import SurveyDesk, survey_routes
from connectors.freshdesk import hooks as freshdesk
from tests.bridge.test_store_cases import CASE, EFFECT, NOW, decision
from tests.bridge.test_store_effects import AUDIT, LEASE
from tests.web.people import KEY, logins_in, sign_in
from tests.web.survey_states import LINKS, Desk, path
from tests.web.test_actions import ACCOUNT, RULES

DESCRIBED = yaml.safe_load((Path(__file__).parents[2] / "bridge/web/openapi.yaml").read_text(encoding="utf-8"))
REQUESTS = int(os.environ.get("BRIDGE_TEST_REQUESTS", "5"))
COOKIE, SECRET, TOKEN = "__Host-recovery-bridge", "3f1c0a9d7e5b42688f6d0c1b2a394857", "a-token-for-scrapers"
OPERATIONS = [(where, how) for where, item in DESCRIBED["paths"].items() for how in item if how != "parameters"]
load_all_checks()
LOOKED_AT = CHECKS.get_by_names(["not_a_server_error", "status_code_conformance", "content_type_conformance"])
SIMPLE = settings(
    max_examples=REQUESTS,
    deadline=None,
    database=None,
    derandomize=REQUESTS == 5,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
THERE = {  # what insiders know, by path
    "/hooks/{account}": {"account": "shop"},
    "/survey/{token}": {"token": path("before").rpartition("/")[2]},
    "/cases/{case_id}": {"case_id": CASE.case_id},
    "/cases/{case_id}/close": {"case_id": CASE.case_id},
    "/effects/{effect_id}/retry": {"effect_id": EFFECT.effect_id},
    "/accounts/{account}/resume": {"account": ACCOUNT},
    "/static/dash-{digest}.css": {"digest": style_path()[13:-4]},
}


@dataclass
class Service:
    """Everything that is served, over a real database, with a case, a parked effect and an account that was stopped."""

    routes: list[Route]
    app: Any
    cookie: str  # of an operator
    csrf: str  # what the forms of that session carry


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    shutil.copyfile(migrated_file, folder / "bridge.db")
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store.open(f"sqlite:///{folder / 'bridge.db'}")))
        _leave_something_to_do(store)
        counts, survey = Counts(), Desk(kept={"before": (4, None)})
        keeper = stack.enter_context(closing(Keeper(store, lambda: NOW, lambda *_: None)))
        login = stack.enter_context(closing(Login(logins_in(folder), KEY, lambda: NOW, counts)))
        dashboard = DashDesk(store, lambda: RULES, lambda _, ticket: f"https://x/{ticket}", lambda: NOW)
        parts = [
            Hooks({"shop": Door(freshdesk, [SECRET])}, keeper, counts, lambda: NOW).routes(),
            survey_routes(SurveyDesk(lambda token: LINKS.read(token, NOW), survey.look, survey.take, lambda: NOW)),
            health_routes(lambda: store.ping() or ""),
            metrics_routes(lambda: b"", Secret(TOKEN)),
            login.routes(),
            dashboard_routes(dashboard, login.guard),
            action_routes(ActionDesk(store, lambda: RULES, lambda: NOW, lambda _: None), login.guard),
        ]
        app = web_app(parts, counts, Patience(limit=10**9))
        browser = TestClient(app, base_url="https://bridge.example")
        sign_in(browser)
        (csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', browser.get("/").text))
        yield Service([route for part in parts for route in part], app, browser.cookies[COOKIE], csrf)


def _leave_something_to_do(store: Store) -> None:
    store.save(decision(CASE, EFFECT))
    (claim,) = store.claim("acme", NOW, limit=9, lease=LEASE)
    store.finish(claim, EffectState.PARKED, audit=AUDIT, error="no answer")
    store.put_account_state(ACCOUNT, held="held: too many")


def ask(service: Service, operation: schemathesis.APIOperation, mode: GenerationMode, **headers: str) -> None:
    """Send requests to one operation and look at each answer."""
    with get_client(service.app, max_stream_events=1) as client:

        @SIMPLE
        @given(case=operation.as_strategy(generation_mode=mode, path_parameters=THERE.get(operation.path)))
        def one(case: schemathesis.Case) -> None:
            answer = case.call(session=client, base_url="https://bridge.example", headers=headers)
            case.validate_response(answer, checks=LOOKED_AT)

        one()


def test_what_is_served_is_described_and_what_is_described_is_served(service: Service) -> None:
    served = {
        (route.path.replace(style_path(), "/static/dash-{digest}.css"), method.lower())
        for route in service.routes
        for method in route.methods or ["GET"]
        if method != "HEAD"  # comes with GET
    }

    assert served == set(OPERATIONS)


@pytest.mark.parametrize(("where", "how"), OPERATIONS)
def test_no_stranger_makes_us_fail(service: Service, where: str, how: str) -> None:
    can_be_wrong = "requestBody" in DESCRIBED["paths"][where][how]  # anything may stand in a path or a query
    mode = GenerationMode.NEGATIVE if can_be_wrong else GenerationMode.POSITIVE

    ask(service, schemathesis.openapi.from_dict(DESCRIBED)[where][how], mode)


@pytest.mark.parametrize(("where", "how"), OPERATIONS)
def test_nobody_who_knows_everything_makes_us_fail(service: Service, where: str, how: str) -> None:
    described = copy.deepcopy(DESCRIBED)
    described["components"]["schemas"]["csrf"] = {"const": service.csrf}
    known = {
        "Cookie": f"{COOKIE}={service.cookie}",
        freshdesk.SECRET_HEADER: SECRET,
        "Authorization": f"Bearer {TOKEN}",
    }

    ask(service, schemathesis.openapi.from_dict(described)[where][how], GenerationMode.POSITIVE, **known)
