"""Keeping watch: a silence is told once and ends by itself, a stopped account is told, and a report leaves every day.

Real store and real HTTP to a chat on loopback; one settable clock. A restart is a new watch over the same store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Request, Response

from bridge.connector import Secret
from bridge.model import Category, Rating
from bridge.notices import AGAIN_AFTER, Notices
from bridge.notify import Channels
from bridge.rules import Rules, check
from bridge.status import account_status, status_text
from bridge.store import Store
from bridge.vigil import LISTEN_EVERY, Vigil
from connectors.sandbox.server import serve
from tests.bridge.stories import MONDAY as STORY
from tests.bridge.stories import story_in
from tests.bridge.test_store_cases import CASE, ENDED, decision

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
CANARY = "kanarienvogel"
RULES = """
version: 1
accounts: {{acme: {{connector: zendesk, url: https://acme.zendesk.com}}}}
settings: {{mode: {mode}, timezone: Europe/Berlin{settings}}}
people: {{leads: {{group: Leads, notify: "#leads"}}}}
playbooks: {{standard: {{assign_to_first_available: [original_agent, leads]}}}}
rules: [{{name: Low rating, when: {{rating: bad}}, playbook: standard}}]
"""
REPORT = ', daily_report: {to: leads, at: "08:30"}'


class Chat:
    """The staff's chat, which may be down."""

    def __init__(self) -> None:
        self.is_down = False
        self.messages: list[dict[str, Any]] = []
        self.ids: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        self.ids.append(request.headers["X-Bridge-Message"])
        if not self.is_down:
            self.messages.append(request.get_json())
        return Response(status=503 if self.is_down else 200)(environ, start_response)

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.messages]


@dataclass
class Watch:
    """A watch over one account, its clock, and the chat of its leads."""

    store: Store
    chat: Chat
    url: str
    now: datetime = MONDAY
    rules: Rules = field(init=False)
    rated: int = 0

    def __post_init__(self) -> None:
        self.under()
        self.store.put_account_state("acme", imported_at=self.now.isoformat(), succeeded_at=self.now.isoformat())

    def under(self, settings: str = "", mode: str = "live") -> None:
        """Begin anew with other settings."""
        rules, problems = check(RULES.format(settings=settings, mode=mode))
        assert rules, problems
        self.rules = rules

    def rate(self, at: datetime, category: Category = Category.BAD) -> None:
        self.rated += 1
        given = Rating(f"r{self.rated}", f"t{self.rated}", category, 1, 2, at, at, comment=CANARY)
        early = MONDAY - 900 * DAY
        self.store.add_ratings("acme", [given], source="poll", seen_at=self.now, memory_before=early)

    def keep(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Watch once, in a process of its own."""
        channels = Channels(slack_webhook=Secret(self.url), now=lambda: self.now)
        notices = Notices(self.rules, self.store, channels, lambda: self.now)
        Vigil(self.rules, self.store, notices, lambda: self.now, stopping).keep()

    def later(self, step: timedelta, every: timedelta = HOUR) -> None:
        """Let time pass and watch every so often."""
        end = self.now + step
        while self.now < end:
            self.now = min(self.now + every, end)
            self.keep()

    @property
    def status(self) -> str:
        return status_text([account_status(self.store, self.rules, "acme", self.now)], self.now)


@pytest.fixture
def watch(tmp_path: Path, migrated_file: Path) -> Iterator[Watch]:
    path = tmp_path / "bridge.db"
    path.write_bytes(migrated_file.read_bytes())
    store, chat = Store.open(f"sqlite:///{path}"), Chat()
    with serve(chat) as url:
        yield Watch(store, chat, url)
    store.close()


@pytest.fixture
def lively(watch: Watch) -> Watch:
    """An account with a rating a day for 40 days, the last one just now."""
    for number in range(41):
        watch.rate(MONDAY - number * DAY)
    watch.keep()
    return watch


# ------------------------------------------------------------------ silence
def test_a_lively_account_is_no_news(lively: Watch) -> None:
    lively.later(DAY)

    assert lively.chat.messages == []
    assert "SILENT" not in lively.status


def test_whoever_hears_is_told_once_of_a_silence(lively: Watch) -> None:
    lively.later(3 * DAY)

    (told,) = lively.chat.texts
    assert "acme: no rating has arrived for 1d 1h, never before for more than 1d" in told
    assert "The helpdesk was last read 1d 1h ago" in told
    assert CANARY not in told


def test_a_silence_stands_in_the_status_until_something_arrives(lively: Watch) -> None:
    lively.later(2 * DAY)
    assert "  SILENT: no rating has arrived for 2d, never before for more than 1d\n" in f"{lively.status}\n"

    lively.rate(lively.now)
    lively.now += MINUTE
    lively.keep()

    assert "SILENT" not in lively.status
    assert len(lively.chat.messages) == 1


def test_the_next_silence_is_told_again_once_it_is_longer_than_this_one(lively: Watch) -> None:
    lively.later(2 * DAY)
    lively.rate(lively.now)
    lively.later(2 * DAY)
    assert len(lively.chat.messages) == 1

    lively.later(2 * HOUR)

    assert "never before for more than 2d" in lively.chat.texts[1]


def test_ratings_of_which_none_begins_a_recovery_are_told(lively: Watch) -> None:
    for number in range(41):
        at = MONDAY - number * DAY
        case = replace(ENDED, case_id=f"k{number}", ticket_id=f"t{number}", customer=None, flagged_at=at, version=1)
        lively.store.save(decision(case))
    for number in range(49):
        lively.rate(MONDAY + number * HOUR)

    lively.later(2 * DAY)

    (told,) = lively.chat.texts
    assert "acme: ratings arrive and none begins a recovery for 1d 1h, never before for more than 1d" in told
    assert "recovery-bridge explain --latest no_rule" in told


def test_a_young_account_is_not_judged_and_says_so_to_programs(watch: Watch) -> None:
    watch.rate(MONDAY)
    watch.later(9 * DAY, every=DAY)

    found = account_status(watch.store, watch.rules, "acme", watch.now).as_json()

    assert watch.chat.messages == []
    assert found["silence"] is None
    assert (found["rhythm"]["ratings"]["count"], found["rhythm"]["ratings"]["is_known"]) == (1, False)


def test_before_its_past_was_read_nothing_is_unusual(lively: Watch) -> None:
    with lively.store._writing() as tx:
        tx.exec_driver_sql("DELETE FROM account_state WHERE key = 'imported_at'")

    lively.later(9 * DAY, every=DAY)

    assert lively.chat.messages == []


def test_shadow_mode_shows_a_silence_and_tells_nobody(lively: Watch) -> None:
    lively.under(mode="shadow")
    lively.later(3 * DAY, every=6 * HOUR)

    assert "SILENT" in lively.status
    assert lively.chat.messages == []


def test_the_past_is_looked_through_once_an_hour_at_most(lively: Watch) -> None:
    asked: list[datetime] = []

    def heard() -> str:
        return str(lively.store.account_state("acme")["rhythm"]["at"])

    for _ in range(120):
        lively.now += MINUTE
        lively.rate(lively.now)
        lively.keep()
        asked.append(datetime.fromisoformat(heard()))

    assert len(set(asked)) <= 2 * HOUR / LISTEN_EVERY + 1


# ------------------------------------------------------------------ telling
def test_what_did_not_get_through_is_told_later_with_the_same_id(lively: Watch) -> None:
    lively.chat.is_down = True
    lively.later(26 * HOUR)
    tried = len(lively.chat.ids)
    lively.chat.is_down = False

    lively.later(AGAIN_AFTER, every=MINUTE)

    assert tried >= 1
    assert len(lively.chat.messages) == 1
    assert len(set(lively.chat.ids)) == 1


def test_a_broken_chat_is_not_tried_with_every_pass(lively: Watch) -> None:
    lively.chat.is_down = True
    lively.later(25 * HOUR + MINUTE)
    before = len(lively.chat.ids)

    lively.later(HOUR, every=MINUTE)

    assert len(lively.chat.ids) - before <= HOUR / AGAIN_AFTER


def test_quiet_hours_hold_a_notice_back(lively: Watch) -> None:
    lively.under(', quiet_hours: "09:00-14:00"')  # the silence begins at 10:00 in Berlin
    lively.later(26 * HOUR)
    assert lively.chat.messages == []

    lively.later(3 * HOUR)

    assert len(lively.chat.messages) == 1


def test_a_watch_that_was_killed_before_it_could_say_so_tells_again_with_the_same_id(lively: Watch) -> None:
    lively.later(26 * HOUR)
    lively.store.put_account_state("acme", told_silence_ratings={})

    lively.keep()

    assert len(lively.chat.messages) == 2
    assert len(set(lively.chat.ids)) == 1


def test_the_status_of_several_accounts_says_once_why_the_rules_are_refused(watch: Watch) -> None:
    for account in ("acme", "shop"):
        watch.store.put_account_state(account, rules_refused="rules.yaml:3:1: unknown key")

    reports = [account_status(watch.store, watch.rules, account, watch.now) for account in ("acme", "shop")]
    assert status_text(reports, watch.now).count("rules.yaml:3:1: unknown key") == 1


def test_each_time_that_a_limit_stops_an_account_is_told_once(watch: Watch) -> None:
    for hour in (1, 2):
        watch.store.put_account_state("acme", held="50 recoveries began", held_at=f"2026-03-02T0{hour}:00:00+00:00")
        watch.later(2 * HOUR)
        watch.store.put_account_state("acme", held="")
        watch.keep()

    assert watch.chat.texts == ["*Recovery Bridge: acme begins no recovery*\nacme: 50 recoveries began"] * 2


def fall_silent(watch: Watch, sign: str) -> None:
    silent = {"sign": sign, "since": MONDAY.isoformat(), "longest_s": 3600.0}
    watch.store.put_account_state("acme", silent=silent, rhythm={"at": watch.now.isoformat(), "last_row": 0})


def test_silences_of_two_kinds_that_come_by_turns_are_told_once_each(watch: Watch) -> None:
    for sign in ("ratings", "flagged") * 2:
        fall_silent(watch, sign)
        watch.keep()

    assert len(watch.chat.messages) == 2


def test_that_a_stopped_account_begins_no_recovery_is_not_told_as_a_silence(watch: Watch) -> None:
    fall_silent(watch, "flagged")
    watch.store.put_account_state("acme", held="50 recoveries began", held_at=MONDAY.isoformat())

    watch.keep()

    assert watch.chat.texts == ["*Recovery Bridge: acme begins no recovery*\nacme: 50 recoveries began"]


def test_who_has_to_stop_tells_nothing_more(watch: Watch) -> None:
    watch.store.put_account_state("acme", held="50 recoveries began", held_at=MONDAY.isoformat())

    watch.keep(stopping=lambda: True)

    assert watch.chat.messages == []


# ------------------------------------------------------------------ the daily report
def berlin(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    """Return a moment that the clocks in Berlin show."""
    offset = timedelta(hours=2 if (month, day) >= (3, 29) else 1)
    return datetime(2026, month, day, hour, minute, tzinfo=UTC) - offset


@pytest.fixture
def reporting(watch: Watch) -> Watch:
    """A watch that has sent its report of Monday."""
    watch.under(REPORT)
    watch.now = berlin(2, 8, 30)
    watch.keep()
    watch.chat.messages.clear()
    return watch


def reports_at(watch: Watch, *moments: datetime) -> list[int]:
    """Return how many reports left at each moment."""
    found = []
    for watch.now in moments:
        before = len(watch.chat.messages)
        watch.keep()
        found.append(len(watch.chat.messages) - before)
    return found


def test_a_report_leaves_once_a_day_with_the_first_pass_after_its_time(reporting: Watch) -> None:
    moments = [berlin(3, 8, 29), berlin(3, 8, 31), berlin(3, 8, 32), berlin(3, 23), berlin(4, 8, 29), berlin(4, 9)]

    assert reports_at(reporting, *moments) == [0, 1, 0, 0, 0, 1]


def test_a_report_that_was_missed_is_sent_late_and_the_next_one_in_time(reporting: Watch) -> None:
    assert reports_at(reporting, berlin(4, 3), berlin(4, 4), berlin(4, 8, 31)) == [1, 0, 1]


@pytest.mark.parametrize("minute", [0, 30])
def test_changing_the_clocks_costs_no_report_and_brings_none_twice(reporting: Watch, minute: int) -> None:
    reporting.under(REPORT.replace("08:30", f"02:{minute:02}"))  # on 29 March there is no such time
    reporting.now = berlin(28, 1)
    reporting.keep()
    reporting.chat.messages.clear()

    reporting.later(3 * DAY - 2 * HOUR, every=30 * MINUTE)

    assert len(reporting.chat.messages) == 3


def test_another_time_of_day_brings_no_second_report_on_the_same_day(reporting: Watch) -> None:
    reporting.under(REPORT.replace("08:30", "12:00"))

    assert reports_at(reporting, berlin(2, 12, 1), berlin(3, 12, 1)) == [0, 1]


def test_a_report_says_what_was_done_since_the_last_one(reporting: Watch) -> None:
    reporting.rate(berlin(2, 8))
    reporting.now = berlin(2, 12)
    reporting.rate(berlin(2, 12))
    reporting.rate(berlin(2, 13))
    reporting.store.save(decision(replace(ENDED, flagged_at=berlin(2, 12), ended_at=berlin(2, 18), version=1)))
    due_at = berlin(3, 8)
    reporting.store.save(
        decision(replace(CASE, case_id="k2", ticket_id="8", customer="c2", flagged_at=berlin(2, 13), due_at=due_at))
    )

    assert reports_at(reporting, berlin(3, 8, 30)) == [1]

    assert reporting.chat.texts[0] == (
        "*Recovery Bridge: the daily report*\n"
        "since Mon 02 Mar 2026, 08:30 CET\n"
        "acme: 2 ratings, 2 recoveries began, 1 ended (1 recovered), 0 effects, 0 parked; 1 open, 1 overdue"
    )


def test_a_report_names_what_is_silent_or_stopped(reporting: Watch) -> None:
    for number in range(41):
        reporting.rate(MONDAY - number * DAY)
    reporting.store.put_account_state("acme", held="50 recoveries began", error="acme: GET /api: 500")
    reporting.later(3 * DAY, every=6 * HOUR)

    said = reporting.chat.texts[-1]

    assert "\n  SILENT: no rating has arrived for 2d" in said
    assert "\n  begins no recovery: 50 recoveries began\n  could not be read just now: recovery-bridge status" in said


def test_shadow_mode_reports_too(reporting: Watch) -> None:
    reporting.under(REPORT, mode="shadow")

    assert reports_at(reporting, berlin(3, 9)) == [1]


def test_a_run_sends_the_report(tmp_path: Path) -> None:
    with story_in(
        tmp_path, "acme", ("  mode: live", "  mode: live\n  daily_report: {to: leads}"), start=STORY
    ) as story:
        story.later(DAY, every=6 * HOUR)

        assert [text for text in story.posted("#recovery-leads") if "the daily report" in text]


# ------------------------------------------------------------------ in rules.yaml
@pytest.mark.parametrize(
    ("wanted", "advice"),
    [
        ("{to: nobody}", 'unknown person "nobody"'),
        ("{at: 08:30}", 'the key "to" is missing here'),
        ("{to: leads, at: noon}", "is not a time of day"),
    ],
)
def test_a_report_to_nobody_is_a_mistake(wanted: str, advice: str) -> None:
    rules, problems = check(RULES.format(settings=f", daily_report: {wanted}", mode="live"))

    assert rules is None
    assert advice in problems[0].headline


def test_a_report_to_somebody_who_cannot_be_told_is_warned_of() -> None:
    text = RULES.format(settings=', daily_report: {to: desk, at: "08:30"}', mode="live")
    _, problems = check(text.replace("people: {", "people: {desk: {group: Desk}, "))

    assert [problem.message for problem in problems if problem.line == 5] == [
        '"desk" is notified, but there is no notify here: nobody hears of it'
    ]
