"""The dashboard as a team lead, a viewer and somebody with bad intentions meet it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bridge.model import Change, Effect, EffectKind, EffectState, Outcome, Severity, Stage
from bridge.web.dashboard import style_path
from bridge.web.dashboard.asked import Period, Selection
from bridge.web.visitors import Role
from tests.web.dash_states import HOSTILE, NOW, SAID, STORY, Desk, open_case

HOUR = timedelta(hours=1)
QUARTER = 300  # cases of a year: a small team
PAGES = ("/", "/?weeks=52&account=acme", "/cases", "/cases?state=all", f"/cases/{STORY}", "/work", "/cases/none")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk without a case."""
    return Desk(tmp_path)


@pytest.fixture
def browser(desk: Desk) -> Iterator[TestClient]:
    with TestClient(desk.app()) as client:
        yield client


@pytest.fixture
def team(tmp_path: Path) -> Desk:
    """A desk with a year of cases and a story."""
    made = Desk(tmp_path, QUARTER)
    made.story()
    return made


@pytest.fixture(scope="module")
def lead(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A browser on such a desk, for those who leave it as it is."""
    made = Desk(tmp_path_factory.mktemp("lead"), QUARTER)
    made.story()
    with TestClient(made.app()) as client:
        yield client


def text_of(html: str) -> str:
    """Return what a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def says(browser: TestClient, path: str) -> str:
    """Return what a page says."""
    return text_of(browser.get(path).text)


def rows(html: str) -> list[str]:
    """Return what the rows of the tables on a page say."""
    return [text_of(row) for row in re.findall(r"<tr role=\"row\"><th scope=\"row\".*?</tr>", html, re.S)]


# ------------------------------------------------------------------ every page
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_inert_and_keeps_to_itself(lead: TestClient, path: str) -> None:
    found = lead.get(path)

    assert found.status_code == (404 if path.endswith("none") else 200)
    assert not re.search(r"<script|\son\w+=|\sstyle=|<style|javascript:", found.text, re.I)
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_only_tickets_are_linked_outside(lead: TestClient, path: str) -> None:
    addresses = set(re.findall(r"(?:href|src|action)=\"(https?:[^\"]+)", lead.get(path).text))

    assert {re.sub(r"\d+$", "", one) for one in addresses} <= {
        "https://acme.zendesk.com/agent/tickets/", "https://shop.freshdesk.com/a/tickets/",
    }  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_head_answers_like_get(lead: TestClient, path: str) -> None:
    assert lead.head(path).status_code == lead.get(path).status_code


@pytest.mark.parametrize("path", ["/", "/cases", f"/cases/{STORY}", "/work"])
def test_while_the_store_is_down_every_page_says_so(desk: Desk, browser: TestClient, path: str) -> None:
    desk.story()
    browser.get(path)
    desk.store.down, desk.now = True, NOW + timedelta(minutes=2)

    found = browser.get(path)
    assert (found.status_code, found.headers["retry-after"]) == (503, "60")
    assert "Nothing is lost" in found.text
    desk.store.down = False
    assert browser.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/cases", f"/cases/{STORY}", "/work"])
def test_nothing_is_changed_by_looking(desk: Desk, browser: TestClient, path: str) -> None:
    desk.story()
    before = desk.store.audits(), desk.store.cases(), desk.store.parked()
    for method in ("GET", "HEAD"):
        browser.request(method, path)

    assert (desk.store.audits(), desk.store.cases(), desk.store.parked()) == before
    assert browser.post(path).status_code == 405


def test_the_visitor_can_sign_out_everywhere(lead: TestClient) -> None:
    for path in PAGES:
        page = lead.get(path).text
        assert "ana (operator)" in page
        assert re.search(r'action="/logout"><input type="hidden" name="csrf" value="token-of-ana">', page)


def test_the_style_is_kept_by_browsers_for_as_long_as_it_is_the_same(browser: TestClient) -> None:
    found = browser.get(style_path())

    assert found.headers["content-type"].startswith("text/css")
    assert "immutable" in found.headers["cache-control"]
    assert style_path() in browser.get("/").text
    assert browser.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("done", "said"),
    [("closed", "Put down"), ("retried", "tried again"), ("resumed", "begins recoveries again"), ("stale", "moved on"),
     ("refused", "cannot be done")],
)  # fmt: skip
def test_what_became_of_an_action_is_said(browser: TestClient, done: str, said: str) -> None:
    assert said in browser.get(f"/work?done={done}").text
    assert 'role="status"' in browser.get(f"/?done={done}").text


def test_an_unknown_word_in_an_address_is_not_repeated(browser: TestClient) -> None:
    assert "<b>x" not in browser.get("/?done=<b>x&account=<b>x&weeks=<b>x").text


def test_shadow_mode_is_said_on_every_page(tmp_path: Path) -> None:
    with TestClient(Desk(tmp_path, mode="shadow").app()) as browser:
        assert all("Shadow mode:" in browser.get(path).text for path in ("/", "/cases", "/work"))


def test_live_mode_is_not_worth_a_word(browser: TestClient) -> None:
    assert "Shadow mode:" not in browser.get("/").text


# ------------------------------------------------------------------ the overview
def test_an_empty_desk_says_what_it_waits_for(browser: TestClient) -> None:
    page = says(browser, "/")

    assert "No open case." in page
    assert "No case was flagged in these 4 weeks" in page
    assert "Needs a person now" not in page


def test_without_an_open_case_it_says_since_when_all_is_quiet(desk: Desk, browser: TestClient) -> None:
    ended = open_case(stage=Stage.ENDED, outcome=Outcome.RECOVERED, due_at=None, ended_at=NOW - HOUR)
    desk.add(ended)

    assert "No open case. Since 13:29 nothing was rated badly." in says(browser, "/")


def test_recovery_counts_all_that_was_flagged_with_its_interval_and_bounds(desk: Desk, browser: TestClient) -> None:
    for number in range(10):
        desk.add(answered(number) if number < 3 else named(open_case(), number))

    page = says(browser, "/")
    assert "30% 3 of 10 cases. With 95% confidence: 11% to 60%." in page
    assert "Of 7 it is not known, or not yet: 30% if none of them is recovered, 100% if all are." in page


def test_cases_that_others_caused_are_left_out_beside_the_headline(desk: Desk, browser: TestClient) -> None:
    for number in range(4):
        desk.add(replace(answered(number), party="third_party" if number % 2 else "service", cause="x"))
    desk.add(named(open_case(), 9))

    assert "The service's own 67% of the 3" in says(browser, "/")


def test_the_most_urgent_case_is_first_with_owner_and_time_left(desk: Desk, browser: TestClient) -> None:
    desk.add(named(open_case(due_at=NOW + 2 * HOUR), 1))
    desk.add(named(open_case(due_at=NOW - HOUR, severity=Severity.CRITICAL), 2))

    first, second = rows(browser.get("/").text)[:2]
    assert first == "acme 2 critical Jon acknowledged reply 1h late Fri 20 Nov, 15:30 Story of acme 2"
    assert second == "acme 1 high Jon acknowledged reply in 2h Fri 20 Nov, 18:30 Story of acme 1"


def test_a_case_without_an_agent_names_its_group(desk: Desk, browser: TestClient) -> None:
    desk.add(open_case(assignee_id=None, group_id="20"))

    assert "nobody in Orders" in says(browser, "/")


def test_the_list_of_the_most_urgent_is_short_and_counts_the_rest(lead: TestClient) -> None:
    page = lead.get("/")

    assert len([row for row in rows(page.text) if "Story of" in row]) <= 20
    assert re.search(r"of \d+ open, \d+ late", text_of(page.text))


def test_times_are_those_of_the_rules_and_of_programs(desk: Desk, browser: TestClient) -> None:
    desk.add(open_case())

    page = browser.get("/").text
    assert '<time datetime="2026-11-20T16:30:00Z">Fri 20 Nov, 17:30</time>' in page
    assert "Times are those of Europe/Berlin" in page


def test_the_period_and_the_account_are_chosen_by_links(lead: TestClient) -> None:
    page = lead.get("/?weeks=13&account=acme").text

    assert '<a href="/?weeks=26&amp;account=acme">26 weeks</a>' in page
    assert '<a href="/?weeks=13">All accounts</a>' in page
    assert re.search(r'aria-current="true">13 weeks', page) and re.search(r'aria-current="true">acme', page)
    assert not any("Story of shop" in row for row in rows(page))


def test_charts_have_a_name_words_and_their_figures_as_a_table(lead: TestClient) -> None:
    page = lead.get("/?weeks=13").text

    charts = re.findall(r"<svg .*?</svg>", page, re.S)
    assert len(charts) == 6  # three, each for wide and for narrow screens
    assert all('role="img"' in one and "<title" in one and "<desc" in one for one in charts)
    for table in ("The funnel as a table", "Both charts as a table"):
        assert table in page
    assert len(set(re.findall(r'\bid="([^"]+)"', page))) == len(re.findall(r'\bid="([^"]+)"', page))


def test_a_week_whose_cases_are_still_open_is_marked(desk: Desk, browser: TestClient) -> None:
    desk.add(answered(1))
    assert 'class="dot young"' not in browser.get("/").text

    desk.add(named(open_case(), 2))
    desk.now += timedelta(minutes=2)
    assert 'class="dot young"' in browser.get("/").text


def test_our_lag_stands_apart_from_that_of_people(lead: TestClient) -> None:
    ours, people = lead.get("/?weeks=52").text.split("The people's:")

    assert "Our lag" in ours
    assert "customer</span>" in people.split("By rule")[0]


def test_nobody_is_ranked(team: Desk) -> None:
    """Agents are named as the owner of an open case and nowhere else on the overview."""
    team.sql("UPDATE cases SET assignee_id = NULL, group_id = '10'")

    page = says(TestClient(team.app()), "/?weeks=52")
    assert not re.search(r"\b(Ana|Cem|Mia|Jon|Lea|Tom|Ines|Paul|Rosa|Emil|Nora|Finn)\b", page)


def test_rules_lead_to_their_cases(lead: TestClient) -> None:
    page = lead.get("/?weeks=52&account=shop").text

    assert '<a href="/cases?state=all&amp;account=shop&amp;rule=Low+rating">Low rating</a>' in page


def test_figures_are_kept_for_a_minute_and_say_as_of_when(desk: Desk, browser: TestClient) -> None:
    browser.get("/")
    desk.add(open_case())
    desk.now += timedelta(seconds=59)

    assert "as of 16:30" in says(browser, "/") and "1 cases" not in says(browser, "/")
    assert "acme 1" in says(browser, "/")  # what is urgent is never old
    desk.now += timedelta(seconds=1)
    assert "as of 16:31" in says(browser, "/") and "0 of 1 cases" in says(browser, "/")


# ------------------------------------------------------------------ what needs a person
def alert(desk: Desk, browser: TestClient) -> str:
    """Return what is said to need a person."""
    found = re.search(r'aria-labelledby="needs-head">(.*?)</section>', browser.get("/").text, re.S)
    return text_of(found[1]) if found else ""


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"held": "held: 50 recoveries began; then: recovery-bridge resume acme"}, "begins no recovery, because 50"),
        ({"rules_refused": "rules.yaml:3: unknown key"}, "rules.yaml was changed and is not used"),
        ({"succeeded_at": (NOW - HOUR).isoformat()}, "acme was last read 1h ago"),
        ({"succeeded_at": ""}, "acme has never been read"),
        ({"error": "acme: 401 Unauthorized"}, "401 Unauthorized"),
        ({"silent": {"sign": "ratings", "since": (NOW - 99 * HOUR).isoformat(), "longest_s": 7200}}, "no rating has"),
    ],
)  # fmt: skip
def test_what_needs_a_person_stands_first(desk: Desk, browser: TestClient, state: dict[str, Any], said: str) -> None:
    desk.store.put_account_state("acme", **state)

    assert said in alert(desk, browser)


def test_parked_effects_and_failed_records_need_a_person(desk: Desk, browser: TestClient) -> None:
    desk.story()
    desk.fail("31", "acme: rating 31 has no field 'ticket_id'")

    assert "1 write or message could not be done: look" in alert(desk, browser)
    assert "1 record could not be worked on: look" in alert(desk, browser)


def test_work_names_what_is_stuck_and_offers_to_try_again(desk: Desk, browser: TestClient) -> None:
    desk.story()
    desk.fail("31", "acme: rating 31 has no field 'ticket_id'")
    desk.store.put_account_state("acme", held="held: 50 recoveries began; then: recovery-bridge resume acme")

    page = browser.get("/work").text
    assert "550 mailbox is full" in page and "rating 31 has no field &#39;ticket_id&#39;" in page
    for action in ("/effects/9c41d0aa/retry", "/accounts/acme/resume"):
        form = re.search(rf'<form method="post" action="{action}">(.*?)</form>', page, re.S)
        assert form and 'name="csrf" value="token-of-ana"' in form[1] and 'name="back" value="/work"' in form[1]


def test_work_names_people_and_groups_instead_of_ids(desk: Desk, browser: TestClient) -> None:
    change = Change(assignee_id="103", group_id="10")
    desk.add(
        open_case(),
        Effect("e1", open_case().case_id, "acme", "7", EffectKind.UPDATE, "flag", change=change),
        state=EffectState.PARKED,
    )

    page = browser.get("/work").text
    assert "assign to Jon in group Care" in page
    assert "103" not in page


def test_limits_say_how_full_they_are(desk: Desk, browser: TestClient) -> None:
    for number in range(5):
        desk.add(named(open_case(flagged_at=NOW - HOUR / 2), number))

    assert "acme recoveries begun within an hour 5 50" in says(browser, "/work")
    assert 'value="0.1"' in browser.get("/").text


# ------------------------------------------------------------------ cases
def named(case: Any, number: int) -> Any:
    """Return a case as the one of another ticket and customer."""
    return replace(case, case_id=f"c{number}", ticket_id=f"{number}", rating_id=f"r{number}", customer=f"k{number}")


def answered(number: int) -> Any:
    """Return a case whose customer is happy again."""
    from bridge.model import Answer, Category

    done = {"contacted_at": NOW - 2 * HOUR, "solved_at": NOW - HOUR, "asked_at": NOW - HOUR, "ended_at": NOW - HOUR}
    answer = Answer(NOW - HOUR, Category.GOOD, 5, 5)
    ended = open_case(stage=Stage.ENDED, outcome=Outcome.RECOVERED, due_at=None, next_step="", answer=answer, **done)
    return named(ended, number)


def listed(browser: TestClient, query: str) -> list[str]:
    """Return the tickets of a list."""
    return [row.split(maxsplit=2)[1] for row in rows(browser.get(f"/cases{query}").text)]


@pytest.fixture
def few(desk: Desk) -> Desk:
    desk.add(named(open_case(), 1))
    desk.add(named(open_case(account="shop", rule="Low rating", flagged_at=NOW - timedelta(days=8)), 2))
    desk.add(answered(3))
    desk.add(replace(answered(4), rule="Low rating", outcome=Outcome.NO_RESPONSE))
    return desk


@pytest.mark.parametrize(
    ("query", "tickets"),
    [
        ("", {"1", "2"}),
        ("?state=ended", {"3", "4"}),
        ("?state=all", {"1", "2", "3", "4"}),
        ("?state=nonsense&page=x&week=never&outcome=none&account=nobody", {"1", "2"}),
        ("?account=shop", {"2"}),
        ("?rule=Low+rating&state=all", {"2", "4"}),
        ("?rule=Unknown", set()),
        ("?outcome=recovered", {"3"}),
        ("?state=open&outcome=no_response", {"4"}),
        ("?state=all&week=2026-11-16", {"1", "3", "4"}),
        ("?state=all&week=2026-11-12", {"2"}),
        ("?page=99", set()),
    ],
)
def test_cases_are_narrowed_down(few: Desk, browser: TestClient, query: str, tickets: set[str]) -> None:
    assert set(listed(browser, query)) == tickets


def test_filters_stay_chosen(few: Desk, browser: TestClient) -> None:
    page = browser.get("/cases?state=all&account=shop&rule=Low+rating&week=2026-11-09").text

    for value in ("all", "shop", "Low rating", "2026-11-09"):
        assert f'<option value="{value}" selected>' in page


def test_a_rule_that_is_gone_can_be_asked_for(few: Desk, browser: TestClient) -> None:
    assert '<option value="Gone &lt;b&gt;" selected>Gone &lt;b&gt;</option>' in browser.get("/cases?rule=Gone+<b>").text


def test_a_list_goes_on_behind_links(lead: TestClient) -> None:
    first = lead.get("/cases?state=all&account=acme")
    after = re.search(r'<a href="(/cases[^"]+)" rel="next"', first.text)
    assert after
    second = lead.get(after[1].replace("&amp;", "&"))

    assert "page=2" in after[1] and "account=acme" in after[1]
    assert len(rows(first.text)) == 50
    assert not set(rows(first.text)) & set(rows(second.text))
    assert 'rel="prev"' in second.text and 'rel="prev"' not in first.text


def test_a_page_behind_the_last_one_leads_back(few: Desk, browser: TestClient) -> None:
    assert '<a href="/cases" rel="prev">' in browser.get("/cases?page=99").text


# ------------------------------------------------------------------ one case
def test_a_case_tells_its_whole_story(desk: Desk, browser: TestClient) -> None:
    desk.story(promise="A call", promised_by=NOW + HOUR, incident="Outage in March")
    page = says(browser, f"/cases/{STORY}")

    for said in (
        "Jon has it. Next: reply, by Fri 20 Nov, 17:30 (in 1h)",
        "Original agent Cem",
        "Rule Angry VIP Playbook urgent rules.yaml 5eed",
        "original agent Cem is away until Monday",
        "same team Jon : the fewest open cases",
        "Fri 20 Nov, 14:30 acknowledged +1h 1m",
        "flagged : matched &#34;Angry VIP&#34;",
        "applied ticket 4711: reopen, assign to Jon in group Care, priority high, tags + csat-recovery, private note",
        "parked tell supervisors oncall@example.com: 550 mailbox is full",
        "Promised &#34;A call&#34; Promised by Fri 20 Nov, 17:30",
        "Part of the incident Outage in March",
    ):
        assert said in page


def test_customers_words_are_bounded_and_only_in_the_story(desk: Desk, browser: TestClient) -> None:
    desk.story(SAID * 100)

    assert 1 < browser.get(f"/cases/{STORY}").text.count("Nobody called me back") < 8
    assert not any("Nobody called" in browser.get(path).text for path in ("/", "/cases", "/work"))


def test_hostile_words_stay_words(desk: Desk, browser: TestClient) -> None:
    desk.story(
        HOSTILE, rule=HOSTILE, reason=HOSTILE, next_step=HOSTILE, cause=HOSTILE, promise=HOSTILE, promised_by=NOW,
        playbook=HOSTILE,
    )  # fmt: skip
    desk.sql("UPDATE effect SET error = ?", HOSTILE)
    desk.store.remember("acme", "directory", {"agents": [{"agent_id": "103", "name": HOSTILE}], "groups": {}}, NOW)

    for path in ("/", "/cases", f"/cases/{STORY}", "/work"):
        page = browser.get(path).text
        assert "<script" not in page and '"onload' not in page and ">49<" not in page
        assert "\u202e" not in page
        assert "&lt;script&gt;" in page


def test_a_case_shows_what_every_rule_saw(desk: Desk, browser: TestClient) -> None:
    desk.story()

    assert 'rule "Angry VIP": ' in browser.get(f"/cases/{STORY}").text.replace("&#34;", '"')


def test_an_operator_can_close_an_open_case(desk: Desk, browser: TestClient) -> None:
    desk.story()
    page = browser.get(f"/cases/{STORY}").text

    form = re.search(rf'<form class="fields" method="post" action="/cases/{STORY}/close">(.*?)</form>', page, re.S)
    assert form
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[1]))
    assert hidden == {"csrf": "token-of-ana", "version": "3", "back": f"/cases/{STORY}"}
    assert re.findall(r'(?:select|input type="text") id="\w+" name="(\w+)"', form[1]) == [
        "outcome", "cause", "remedy", "party",
    ]  # fmt: skip
    assert "<option>Too slow</option>" in form[1]


def test_of_an_ended_case_only_the_cause_can_be_added(desk: Desk, browser: TestClient) -> None:
    desk.add(answered(1))
    desk.add(replace(answered(2), cause="Too slow"))

    assert 'name="cause"' in browser.get("/cases/c1").text and 'name="outcome"' not in browser.get("/cases/c1").text
    assert 'action="/cases' not in browser.get("/cases/c2").text


def test_a_viewer_sees_everything_and_is_offered_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, role=Role.VIEWER)
    desk.story()
    desk.store.put_account_state("acme", held="held: 50 recoveries began; then: recovery-bridge resume acme")

    with TestClient(desk.app()) as browser:
        for path in ("/", "/cases", f"/cases/{STORY}", "/work"):
            assert re.findall(r'method="post" action="([^"]+)"', browser.get(path).text) == ["/logout"]


def test_an_account_that_is_gone_leaves_its_cases_without_links(desk: Desk, browser: TestClient) -> None:
    desk.add(named(open_case(account="old"), 1))
    gone = TestClient(desk.app())

    page = gone.get("/cases/c1").text
    assert "old ticket 1" in page and "zendesk" not in page
    assert gone.get("/").status_code == gone.get("/cases").status_code == 200


@pytest.mark.parametrize("case_id", ["none", "x" * 5000, "%00", "%F0%9F%98%80", "a'b"])
def test_an_unknown_case_is_a_kind_page(browser: TestClient, case_id: str) -> None:
    found = browser.get(f"/cases/{case_id}")

    assert found.status_code == 404
    assert "No such case" in found.text


# ------------------------------------------------------------------ addresses
def test_an_address_says_only_what_is_not_usual() -> None:
    assert Period(weeks=4).but() == "/"
    assert Period(weeks=13, account="acme").but(account=None) == "/?weeks=13"
    assert Selection(state="all").but(rule="A & B") == "/cases?state=all&rule=A+%26+B"


@pytest.mark.parametrize("query", [{"page": "0"}, {"page": "-1"}, {"page": "9" * 30}, {"page": "²"}, {"page": "1e3"}])
def test_odd_pages_are_the_first(query: dict[str, str]) -> None:
    assert Selection.read(query, ()).page == 1


@pytest.mark.parametrize("week", ["", "x", "2026-02-30", "0001-01-01", "9999-12-31", "9" * 500])
def test_odd_weeks_do_no_harm(browser: TestClient, week: str) -> None:
    assert browser.get(f"/cases?week={week}").status_code == 200
