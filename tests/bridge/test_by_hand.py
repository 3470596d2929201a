"""What people put down by command: ends, promises and goodwill, in tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from bridge.by_hand import (
    Grant,
    Learned,
    approver,
    close,
    conclude,
    currency_of,
    granted,
    is_address,
    learn,
    objections,
    overridden,
    promise,
    promise_kept,
    promised_until,
    read_amount,
    resumed,
    retried,
    typed,
)
from bridge.deadlines import PROMISE
from bridge.decision import Spent
from bridge.hours import Calendar
from bridge.model import Case, Category, Effect, EffectKind, Outcome, Severity, Stage
from bridge.rules import Goodwill, Limits, Rules, check
from bridge.rules.values import Money, MoneyWithin

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 9, 9, tzinfo=UTC)  # a Monday, 10:00 in Berlin
OFFICE = Calendar(BERLIN, (((time(9), time(13)), (time(14), time(18))),) * 5 + ((), ()))
CASE = Case(
    case_id="c1",
    account="acme",
    ticket_id="7",
    rating_id="31",
    category=Category.BAD,
    rating=1,
    scale_max=5,
    rated_at=NOW - timedelta(hours=2),
    flagged_at=NOW - timedelta(hours=1),
    rule="Low rating",
    rules_hash="abc",
    playbook="standard",
    severity=Severity.NORMAL,
    stage=Stage.ASSIGNED,
    due_at=NOW + timedelta(days=2),
    next_step="replied",
    reason='matched "Low rating"',
    original_agent_id="1",
    assignee_id="1",
    group_id="2",
    version=3,
)
ENDED = replace(CASE, stage=Stage.ENDED, outcome=Outcome.NO_RESPONSE, due_at=None, next_step="")


def eur(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


# ------------------------------------------------------------------ the end
def test_a_case_that_is_closed_says_what_was_learned() -> None:
    decision = close(CASE, Outcome.UNFIXABLE, Learned("Missing feature", party="product"), NOW)

    assert decision.case
    assert (decision.case.outcome, decision.case.cause, decision.case.party) == (
        Outcome.UNFIXABLE, "Missing feature", "product",
    )  # fmt: skip
    assert decision.audit.reason == "closed by hand: cause Missing feature, party product"


def test_closing_keeps_what_the_ticket_said_before() -> None:
    decision = close(replace(CASE, cause="Late", party="service"), Outcome.STOPPED, Learned(remedy="Sent again"), NOW)

    assert decision.case
    assert (decision.case.cause, decision.case.remedy, decision.case.party) == ("Late", "Sent again", "service")


def test_what_is_learned_later_leaves_the_outcome_alone() -> None:
    decision = learn(ENDED, Learned("Late"), NOW)

    assert decision.case == replace(ENDED, cause="Late", version=4)
    assert (decision.audit.what, decision.effects) == ("learned", ())


def test_a_case_is_stopped_unless_something_else_is_said() -> None:
    decision = conclude(CASE, None, Learned(), NOW, "ana")

    assert decision.case
    assert (decision.case.outcome, decision.audit.reason) == (Outcome.STOPPED, "closed by ana: nothing noted")


@pytest.mark.parametrize(
    ("case", "outcome", "learned", "why"),
    [
        (ENDED, Outcome.RECOVERED, Learned("Late"), "has ended already: no_response; leave out the outcome"),
        (ENDED, None, Learned(remedy="Sent again"), "has ended already: no_response; write its cause"),
        (replace(ENDED, cause="Late"), None, Learned("Late"), "has ended already: no_response, cause: Late"),
    ],
)
def test_a_case_ends_once_and_learns_its_cause_once(
    case: Case, outcome: Outcome | None, learned: Learned, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        conclude(case, outcome, learned, NOW)


def test_what_goes_on_says_who_wanted_it() -> None:
    effect = Effect("e1", "c1", "acme", "7", EffectKind.UPDATE, "flag")

    again, on = retried(effect, NOW, "ana"), resumed("acme", NOW, "ana")

    assert (again.case_id, again.ticket_id, again.what, again.reason) == ("c1", "7", "retried", "flag: by ana")
    assert (on.account, on.ticket_id, on.case_id, on.what, on.reason) == ("acme", "", None, "resumed", "by ana")


# ------------------------------------------------------------------ promises
@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2026-03-10", "2026-03-10 18:00+01:00"),  # the end of its working day
        ("2026-03-09", "2026-03-09 18:00+01:00"),  # today
        ("2026-03-14", "2026-03-15 00:00+01:00"),  # a Saturday, when nobody works
        ("2026-03-30", "2026-03-30 18:00+02:00"),  # after the clocks changed
        ("2026-03-10T15:00", "2026-03-10 15:00+01:00"),  # in the zone of the rules
        ("2026-03-10 15:00", "2026-03-10 15:00+01:00"),
        ("2026-03-10T15:00Z", "2026-03-10 15:00+00:00"),
    ],
)
def test_a_promise_lasts_until_work_ends_or_the_time_that_was_said(text: str, until: str) -> None:
    assert promised_until(text, OFFICE, NOW) == datetime.fromisoformat(until)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_around_the_clock_a_day_ends_at_midnight_whatever_the_clocks_do(day: str) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=BERLIN) + timedelta(days=1)

    assert promised_until(day, Calendar.always(BERLIN), NOW) == midnight


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2026-03-08", "has passed .* write a day or time that is to come"),
        ("2026-03-09T09:30", "has passed"),
        ("2126-03-10", "more than a year away; is the year right"),
        ("9999-12-31", "more than a year away"),
        ("0001-01-01T00:00+14:00", "more than a year away"),
        ("2027-03-12", "more than a year away"),
        ("tomorrow", '"tomorrow" is no day or time; write 2026-12-01, or'),
        ("", "no day or time"),
    ],
)
def test_a_promise_for_the_past_or_for_never_is_refused(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        promised_until(text, OFFICE, NOW)


def test_a_case_looks_at_its_promise_when_that_is_due_first() -> None:
    soon = NOW + timedelta(hours=3)

    case = promise(CASE, "Refund by bank", soon, BERLIN, NOW).case

    assert case
    assert (case.promise, case.promised_by) == ("Refund by bank", soon)
    assert (case.due_at, case.next_step, case.version) == (soon, PROMISE, 4)


def test_a_promise_delays_nothing_that_is_due_before_it() -> None:
    case = promise(CASE, "Refund", NOW + timedelta(days=9), BERLIN, NOW).case

    assert case
    assert (case.due_at, case.next_step) == (CASE.due_at, "replied")


def test_a_promise_does_not_hurry_a_rating_that_may_still_be_withdrawn() -> None:
    young = replace(CASE, stage=Stage.UNCONFIRMED)

    case = promise(young, "Refund", NOW + timedelta(minutes=1), BERLIN, NOW).case

    assert case
    assert case.due_at == young.due_at


def test_a_new_promise_is_not_broken_yet() -> None:
    broken = replace(CASE, promise="A call", promised_by=NOW - timedelta(days=1), promise_broken_at=NOW)

    case = promise(broken, "A call", NOW + timedelta(days=1), BERLIN, NOW).case

    assert case
    assert case.promise_broken_at is None


def test_what_somebody_types_is_bounded_and_inert() -> None:
    said = typed("{{ticket.id}}\n " + "x" * 9999)

    assert (said[:4], "\n" in said, len(said) <= 300) == ("{ {t", False, True)


def test_a_promise_that_was_kept_is_watched_no_longer() -> None:
    case = promise(CASE, "Refund", NOW + timedelta(hours=3), BERLIN, NOW).case
    assert case

    decision = promise_kept(case, NOW + timedelta(hours=1))

    assert decision.case
    assert (decision.case.promise, decision.case.promised_by) == (None, case.promised_by)  # of its field
    assert (decision.audit.what, decision.audit.reason) == ("promise_kept", '"Refund" was kept')
    assert decision.case.due_at == NOW + timedelta(hours=1)  # the next run looks what else there is


def test_a_promise_that_was_kept_too_late_says_so() -> None:
    late = replace(CASE, promise="Refund", promised_by=NOW - timedelta(hours=1), promise_broken_at=NOW)

    decision = promise_kept(late, NOW)

    assert decision.case
    assert decision.case.due_at == CASE.due_at
    assert decision.audit.reason == '"Refund" was kept too late'


# ------------------------------------------------------------------ goodwill
TABLE = Goodwill.model_construct(up_to=eur("20"), approval_above=eur("10"), approved_by="leads")
LIMITS = Limits.model_construct(
    goodwill_per_ticket=eur("50"), goodwill_per_customer=MoneyWithin(eur("120"), timedelta(days=90))
)


@pytest.mark.parametrize(
    ("amount", "on_ticket", "for_customer", "objection"),
    [
        ("10", "0", "0", ""),
        ("10.01", "0", "0", "10.01 EUR on this ticket needs the approval of leads (above 10 EUR)"),
        ("6", "5", "5", "11 EUR on this ticket needs the approval of leads (above 10 EUR)"),
        ("20.01", "0", "0", "20.01 EUR on this ticket is more than the 20 EUR that its goodwill allows"),
        ("40", "20", "20", "60 EUR on this ticket is more than limits: goodwill_per_ticket (50 EUR)"),
        ("5", "0", "116", "121 EUR for this customer is more than limits: goodwill_per_customer (120 EUR in 90d)"),
    ],
)
def test_what_is_more_than_an_agent_may_grant_alone_is_named(
    amount: str, on_ticket: str, for_customer: str, objection: str
) -> None:
    spent = Spent({"EUR": Decimal(on_ticket)}, {"EUR": Decimal(for_customer)})

    found = list(objections(eur(amount), TABLE, LIMITS, spent))

    assert found == [] if not objection else objection in found


def test_where_the_rules_offer_nothing_everything_is_more_than_that() -> None:
    assert list(objections(eur("1"), None, Limits(), Spent())) == ["rules.yaml offers no goodwill for such a case"]


@pytest.mark.parametrize(
    ("policy", "limits", "currency"),
    [(TABLE, Limits(), "EUR"), (None, LIMITS, "EUR"), (None, Limits(), None)],
)
def test_goodwill_is_granted_in_the_currency_of_the_rules(
    policy: Goodwill | None, limits: Limits, currency: str | None
) -> None:
    assert currency_of(policy, limits) == currency


@pytest.mark.parametrize("text", ["15", "15 euro", "-5 EUR", "15,50 EUR", "0 EUR", "", "1e3 EUR"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(like|write) \"?(20|15)(\.50)? EUR"):
        read_amount(text)


def test_an_amount_is_exact() -> None:
    assert read_amount("15.10 EUR") == eur("15.10")


def test_goodwill_within_the_table_is_put_down_alone() -> None:
    audit = granted(CASE, Grant(eur("5"), "", ""), NOW)

    assert (audit.what, audit.reason) == ("goodwill", "5 EUR granted")


def rules(people: str, settings: str = "") -> Rules:
    text = f"""version: 1
accounts: {{acme: {{connector: zendesk, url: https://acme.zendesk.com}}}}
settings: {{{settings}}}
people: {{{people}}}
playbooks:
  standard: {{}}
rules: [{{name: Low rating, when: {{rating: bad}}, playbook: standard}}]
"""
    found, problems = check(text)
    assert found, problems
    return found


def test_the_approver_hears_of_goodwill_beyond_the_table() -> None:
    leads = rules('leads: {notify: "#leads"}, boss: {notify: boss@example.com}')
    grant = Grant(eur("25"), "Third failure", "25 EUR on this ticket is more than the 20 EUR")

    decision = overridden(CASE, grant, approver(TABLE, CASE, leads, None), leads, effect_id="e1", now=NOW)

    (effect,) = decision.effects
    assert (effect.kind, effect.person, effect.target) == (EffectKind.ALERT, "leads", "#leads")
    assert "25 EUR granted; 25 EUR on this ticket is more than the 20 EUR; because: Third failure" in str(effect.text)
    assert (decision.audit.what, decision.case) == ("override", None)


def test_where_the_approver_cannot_be_told_somebody_else_is() -> None:
    told = approver(TABLE, CASE, rules("leads: {group: Leads}, boss: {notify: boss@example.com}"), None)

    assert told
    assert told.name == "boss"


def test_quiet_hours_hold_back_a_message_about_goodwill() -> None:
    leads = rules("leads: {notify: leads@example.com}", "quiet_hours: 21:00-10:00")
    grant = Grant(eur("25"), "Third failure", "too much")

    (effect,) = overridden(CASE, grant, leads.person("leads"), leads, effect_id="e1", now=NOW).effects

    assert effect.not_before == NOW + timedelta(hours=1)


def test_where_nobody_can_be_told_the_message_waits_for_whoever_looks() -> None:
    leads = rules("leads: {group: Leads}")
    told = approver(None, CASE, leads, None)

    (effect,) = overridden(CASE, Grant(eur("25"), "why", "too much"), told, leads, effect_id="e1", now=NOW).effects

    assert (effect.person, effect.target, effect.step) == (None, None, "override:e1:tell:nobody")


# ------------------------------------------------------------------ opting out
@pytest.mark.parametrize(("text", "holds"), [("mia@customer.example", True), ("mia", False), ("a b@c", False)])
def test_an_address_has_a_name_and_a_host(text: str, holds: bool) -> None:
    assert is_address(text) is holds
