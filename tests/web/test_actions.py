"""What operators do on the pages, what viewers and strangers cannot, and who it was in the audit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bridge.model import EffectState, Outcome
from bridge.rules import Rules, check, load
from bridge.store import Store
from bridge.web import web_app
from bridge.web.actions import ActionDesk, action_routes
from bridge.web.counts import Counts
from bridge.web.login import Login
from tests.bridge.test_store_cases import CASE, EFFECT, NOW, decision
from tests.bridge.test_store_effects import AUDIT, LEASE
from tests.web.people import KEY, logins_in, sign_in

RULES = load(Path(__file__).parent.parent.parent / "rules.yaml")
ACCOUNT = next(iter(RULES.accounts))
CLOSED = {"outcome": "unfixable", "cause": "Defect", "remedy": "Sent again", "version": "1", "back": "/cases/k1"}
FORMS = {"/cases/k1/close": CLOSED, "/effects/e1/retry": {}, f"/accounts/{ACCOUNT}/resume": {}}


@dataclass
class Office:
    """The actions over a real store, with people who really sign in."""

    store: Store
    login: Login
    rules: Rules = RULES
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        desk = ActionDesk(self.store, lambda: self.rules, lambda: NOW, self.woken.append)
        routes = action_routes(desk, self.login.guard)
        self.app = web_app([routes, self.login.routes()], Counts())

    def browser(self, name: str | None = "ana") -> TestClient:
        browser = TestClient(self.app, base_url="https://bridge.example", follow_redirects=False)
        if name:
            sign_in(browser, name)
        return browser

    def csrf(self, browser: TestClient) -> str:
        token = browser.cookies["__Host-recovery-bridge"]
        session = self.login._sessions.read(token, self.login._logins.entries())
        assert session
        return self.login._sessions.csrf(session)

    def send(self, path: str, form: Mapping[str, str] | None = None, name: str = "ana", **headers: str) -> Sent:
        """Send a form as somebody; returns status, where it leads, and the page."""
        browser = self.browser(name)
        sent = {"csrf": self.csrf(browser), **(FORMS.get(path, {}) if form is None else form)}
        answer = browser.post(path, data=sent, headers=headers)
        return Sent(answer.status_code, answer.headers.get("location", ""), answer.text)

    def untouched(self) -> bool:
        case = self.store.case("k1")
        state = self.store.account_state(ACCOUNT)["held"]
        return (case, state, self.parked(), self.woken) == (CASE, "held: too many", ["e1"], [])

    def parked(self) -> list[str]:
        return [one.effect.effect_id for one in self.store.parked()]

    def audits(self) -> list[tuple[str, str]]:
        return [(one.what, one.reason) for one in self.store.audits()][2:]  # after flagged, applied


@dataclass(frozen=True)
class Sent:
    """How a form was answered."""

    status: int
    leads_to: str
    page: str


@pytest.fixture(scope="module")
def stuck_file(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """A database to copy: an open case, an effect that is parked, and an account that a limit stopped."""
    path = tmp_path_factory.mktemp("stuck") / "bridge.db"
    shutil.copyfile(migrated_file, path)
    store = Store.open(f"sqlite:///{path}")
    store.save(decision(CASE, EFFECT))
    (claim,) = store.claim("acme", NOW, limit=9, lease=LEASE)
    store.finish(claim, EffectState.PARKED, audit=AUDIT, error="no answer")
    store.put_account_state(ACCOUNT, held="held: too many")
    store.close()
    return path


@pytest.fixture
def office(tmp_path: Path, stuck_file: Path) -> Iterator[Office]:
    shutil.copyfile(stuck_file, tmp_path / "bridge.db")
    store = Store.open(f"sqlite:///{tmp_path / 'bridge.db'}", busy=timedelta(milliseconds=5))
    login = Login(logins_in(tmp_path), KEY, lambda: NOW, Counts())
    yield Office(store, login)
    login.close()
    store.close()


# ------------------------------------------------------------------ what they do
def test_an_operator_closes_a_case_with_what_was_learned(office: Office) -> None:
    sent = office.send("/cases/k1/close")
    case = office.store.case("k1")

    assert (sent.status, sent.leads_to) == (303, "/cases/k1?done=closed")
    assert case
    assert (case.outcome, case.cause, case.remedy, case.party) == (
        Outcome.UNFIXABLE, "Defect", "Sent again", "product",
    )  # fmt: skip
    assert office.audits() == [("ended", "closed by ana: cause Defect, remedy Sent again, party product")]
    assert office.woken == ["acme"]


def test_a_party_that_was_chosen_stands_above_that_of_the_cause(office: Office) -> None:
    office.send("/cases/k1/close", {**CLOSED, "party": "third_party"})

    case = office.store.case("k1")
    assert case
    assert case.party == "third_party"


def test_a_case_that_has_ended_learns_its_cause(office: Office) -> None:
    office.send("/cases/k1/close", {"outcome": "no_response", "version": "1"})

    sent = office.send("/cases/k1/close", {"cause": "Too slow", "version": "2"})

    assert sent.leads_to == "/cases/k1?done=closed"
    assert office.audits()[1:] == [("learned", "by ana: cause Too slow, party service")]


def test_an_operator_has_a_parked_effect_tried_again(office: Office) -> None:
    sent = office.send("/effects/e1/retry", {"back": "/work?account=acme&done=stale"})

    assert (sent.status, sent.leads_to) == (303, "/work?account=acme&done=retried")
    assert (office.parked(), office.woken) == ([], ["acme"])
    assert office.audits() == [("retried", "flag: by ana")]
    assert office.store.audits(case_id="k1")[-1].what == "retried"


def test_an_operator_lets_an_account_go_on(office: Office) -> None:
    sent = office.send(f"/accounts/{ACCOUNT}/resume")
    state = office.store.account_state(ACCOUNT)

    assert (sent.status, sent.leads_to) == (303, "/work?done=resumed")
    assert (state["held"], datetime.fromisoformat(state["resumed_at"])) == ("", NOW)
    assert (office.audits(), office.woken) == ([("resumed", "by ana")], [ACCOUNT])
    assert [one.what for one in office.store.audits(ACCOUNT)][-1:] == ["resumed"]


# ------------------------------------------------------------------ who may not
@pytest.mark.parametrize("path", FORMS)
def test_a_viewer_may_look_and_not_act(office: Office, path: str) -> None:
    sent = office.send(path, name="vic")

    assert (sent.status, office.untouched()) == (403, True)
    assert "an operator can do this" in sent.page


@pytest.mark.parametrize("path", FORMS)
def test_a_stranger_is_asked_to_sign_in(office: Office, path: str) -> None:
    answer = office.browser(None).post(path, data=FORMS[path])

    assert (answer.status_code, answer.headers["location"], office.untouched()) == (303, "/login", True)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_that_was_made_for_somebody_else_does_nothing(office: Office, path: str) -> None:
    others = [office.csrf(office.browser(name)) for name in ("vic", "ana")]  # ana's is of another session
    for csrf in ("", "0" * 32, "\u00fc", *others):
        sent = office.send(path, {**FORMS[path], "csrf": csrf})

        assert (sent.status, office.untouched(), "not from your session" in sent.page) == (403, True, True)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_on_a_page_of_somebody_else_does_nothing(office: Office, path: str) -> None:
    for name, value in (("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")):
        assert (office.send(path, **{name: value}).status, office.untouched()) == (403, True)


@pytest.mark.parametrize("path", FORMS)
def test_looking_at_the_address_of_an_action_does_nothing(office: Office, path: str) -> None:
    assert (office.browser().get(path).status_code, office.untouched()) == (405, True)


@pytest.mark.parametrize("path", FORMS)
def test_what_is_no_form_does_nothing(office: Office, path: str) -> None:
    answer = office.browser().post(path, json={"csrf": "x"})

    assert (answer.status_code, office.untouched()) == (415, True)


# ------------------------------------------------------------------ what cannot be done
@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"outcome": ""}, "choose how it ended"),
        ({"outcome": "won"}, "unknown outcome; there are: recovered, improved"),
        ({"outcome": "dismissed"}, "unknown outcome"),  # it would count nowhere
        ({"cause": "Defekt"}, "unknown cause &#34;Defekt&#34;, did you mean &#34;Defect&#34;?; there are: Too slow"),
        ({"cause": "<b>x</b>"}, "unknown cause"),
        ({"party": "the moon"}, "unknown party; there are: service, product, policy, third_party"),
    ],
)
def test_words_that_cannot_be_used_are_given_back_whole(office: Office, changed: dict[str, str], why: str) -> None:
    sent = office.send("/cases/k1/close", {**CLOSED, **changed})

    assert (sent.status, office.untouched()) == (422, True)
    assert why in sent.page
    assert 'value="Sent again"' in sent.page
    assert 'name="version" value="1"' in sent.page
    assert "<b>" not in sent.page


def test_the_form_that_is_given_back_can_be_sent_at_once(office: Office) -> None:
    page = office.send("/cases/k1/close", {**CLOSED, "outcome": ""}).page

    assert '<option value="Defect" selected>' in page
    assert '<a href="/cases/k1">' in page
    assert office.send("/cases/k1/close", CLOSED).leads_to == "/cases/k1?done=closed"


def test_without_a_list_of_causes_any_is_taken(office: Office) -> None:
    before, _, rest = RULES.text.partition("\ncauses:")
    rules, _ = check(before + rest[rest.index("\n# ---") :])
    assert rules
    office.rules = rules

    office.send("/cases/k1/close", {**CLOSED, "cause": "The moon"})

    assert office.audits() == [("ended", "closed by ana: cause The moon, remedy Sent again")]


def test_a_case_ends_only_once(office: Office) -> None:
    office.send("/cases/k1/close")

    sent = office.send("/cases/k1/close", {**CLOSED, "version": "2"})

    assert (sent.status, "has ended already: unfixable, cause: Defect" in sent.page) == (422, True)


def test_a_case_that_moved_since_the_page_was_made_is_looked_at_again(office: Office) -> None:
    for version in ("0", "2", "", "x", "1.0"):
        sent = office.send("/cases/k1/close", {**CLOSED, "version": version})

        assert (sent.status, sent.leads_to, office.untouched()) == (303, "/cases/k1?done=stale", True)


def test_what_is_not_parked_any_more_is_not_tried_again(office: Office) -> None:
    office.send("/effects/e1/retry")

    assert office.send("/effects/e1/retry").leads_to == "/work?done=refused"
    assert office.woken == ["acme"]


def test_an_account_that_goes_on_already_is_left_alone(office: Office) -> None:
    office.send(f"/accounts/{ACCOUNT}/resume")

    assert office.send(f"/accounts/{ACCOUNT}/resume").leads_to == "/work?done=refused"
    assert len(office.audits()) == 1


@pytest.mark.parametrize("path", ["/cases/k2/close", "/effects/e2/retry", "/accounts/nobody/resume"])
def test_what_nobody_knows_cannot_be_changed(office: Office, path: str) -> None:
    sent = office.send(path, CLOSED)

    assert (sent.status, "There is no such" in sent.page, office.untouched()) == (404, True, True)


def test_nobody_is_led_elsewhere_afterwards(office: Office) -> None:
    for back in ("//evil.example", "https://evil.example", "/\\evil", "/\tx", "x"):
        sent = office.send("/cases/k1/close", {**CLOSED, "version": "0", "back": back})

        assert sent.leads_to == "/cases/k1?done=stale"


@pytest.mark.parametrize("path", FORMS)
def test_while_the_database_cannot_be_written_nothing_is_lost(office: Office, path: str) -> None:
    with office.store._writing():
        sent = office.send(path)

    assert (sent.status, office.untouched()) == (503, True)
    assert "nothing was changed" in sent.page
    assert path != "/cases/k1/close" or 'value="Sent again"' in sent.page
