"""Warnings about what happens to a case: times that never come, people who hear nothing, questions nobody can ask.

As in `lint`, only what is certain is claimed: whatever the tickets, the helpdesk and its people are like.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta

from bridge.hours import MIDNIGHT, Calendar, Hours, parse_duration, show_duration
from bridge.model import Severity
from bridge.rules.document import Loc
from bridge.rules.facts import fold
from bridge.rules.language import Rules, folded, whose
from bridge.rules.problems import Reporter, Spot
from bridge.rules.schema import Goodwill, GoodwillLine, Playbook, Survey, SurveyText

ANSWERS_COUNT_FOR = timedelta(days=28)  # after the solution; later ones the helpdesks do not record
CLOCK_CHANGES = timedelta(hours=2)  # more than those of a quarter of a year can add to the hours of some weeks
ANSWERABLE_FOR = timedelta(hours=48)  # with less time left a ticket is solved again: see bridge/deadlines.py
SLACK = timedelta(hours=4)  # by which a question is planned earlier, for runs that are late

_WEEK, _DAY = timedelta(days=7), timedelta(days=1)


def lint_playbooks(rules: Rules, report: Reporter) -> None:
    """Add the warnings about playbooks and what they refer to."""
    for name, book in rules.playbooks.items():
        _deadlines(name, book, rules, report)
        _after_solution(name, book, rules, report)
        _nobody(name, book, rules, report)
    _working_days(rules, report)
    _questions(rules, report)
    _texts(rules, report)
    _goodwill(rules, report)
    _people(rules, report)
    _quiet_hours(rules, report)
    _incidents(rules, report)


def _spot(rules: Rules, name: str, *path: str | int) -> Spot:
    """Return where a key of a playbook stands: in itself, or in the one that it is like."""
    while path[0] not in rules.document.at(("playbooks", name)) and (parent := rules.playbooks[name].like):
        name = parent
    return rules.document.spot(("playbooks", name, *path))


# ------------------------------------------------------------------ times that never come
def _deadlines(name: str, book: Playbook, rules: Rules, report: Reporter) -> None:
    most = _most_working_time(rules)
    for number, deadline in enumerate(book.deadlines):
        above, spot = book.deadlines[:number], _spot(rules, name, "deadlines", number, "within")
        if deadline.within >= most:
            report.warning(spot, _never_comes(deadline.within, rules))
        elif deadline in above:
            report.warning(spot, "this deadline stands in the list twice; delete one")
        elif longer := [other.within for other in above if other.within > deadline.within]:
            shown = f"{show_duration(deadline.within)} stands below {show_duration(longer[0])}"
            report.warning(spot, f"{shown}, but the shortest deadline is acted on first; write them in that order")
    if book.remind_if_silent and book.remind_if_silent >= most:
        report.warning(_spot(rules, name, "remind_if_silent"), _never_comes(book.remind_if_silent, rules))


def _never_comes(wait: timedelta, rules: Rules) -> str:
    shown, given_up = show_duration(wait), show_duration(rules.limits.give_up_after)
    return (
        f"{shown} of working time never pass before a case is given up after {given_up} (limits.give_up_after);"
        " only open hours count: write the hours of work that you mean, like 16h for two days"
    )


def _most_working_time(rules: Rules) -> timedelta:
    """Return more working time than anybody can have until a case is given up."""
    weeks = [rules.settings.working_hours, *(own.working_hours for own in rules.hours if own.working_hours)]
    return max(_most_within(rules.limits.give_up_after, week) for week in weeks)


def _most_within(span: timedelta, week: Sequence[Hours]) -> timedelta:
    """Return no less than the working time of any *span*: whole weeks, and of the rest the longest days."""
    days = sorted((sum((_length(*hours) for hours in day), timedelta()) for day in week), reverse=True)
    touched = -(-(span % _WEEK) // _DAY) + 1
    most = span // _WEEK * sum(days, timedelta()) + sum(days[:touched], timedelta())
    return min(span, most + CLOCK_CHANGES * (1 + span.days // 90))


def _length(start: time, end: time) -> timedelta:
    first = date.min
    last = first + _DAY if end == MIDNIGHT else first
    return datetime.combine(last, end) - datetime.combine(first, start)


def _working_days(rules: Rules, report: Reporter) -> None:
    """Warn of working time that is written in days: a day of it is 24 open hours."""
    weeks = [rules.settings.working_hours, *(own.working_hours for own in rules.hours if own.working_hours)]
    longest = max(sum((_length(*hours) for hours in day), timedelta()) for week in weeks for day in week)
    if longest >= _DAY:
        return
    for name in rules.playbooks:
        book = rules.document.at(("playbooks", name))
        deadlines = [("deadlines", number, "within") for number in range(len(book.get("deadlines") or ()))]
        for path in (*deadlines, ("remind_if_silent",)):
            loc: Loc = ("playbooks", name, *path)
            written = rules.document.at(loc)
            if isinstance(written, str) and "d" in written:
                wait = parse_duration(written)
                meant = show_duration(wait.days * longest + wait % _DAY)
                hours = f"{wait / timedelta(hours=1):g}"
                advice = f"these are {hours} hours of work; for {wait.days} days of work write {meant}"
                report.warning(rules.document.spot(loc), advice, meant)


def _after_solution(name: str, book: Playbook, rules: Rules, report: Reporter) -> None:
    check_in, survey = book.check_in, book.survey
    if survey is None:
        return
    after = show_duration(survey.after)
    if check_in and check_in.after > survey.after:
        advice = f"the customer is asked after {after}, before the owner looks whether it holds; check in earlier"
        report.warning(_spot(rules, name, "check_in", "after"), advice)
    if survey.remind_after and survey.remind_after >= survey.answer_within:
        advice = (
            f"nobody is reminded: answers are waited for only {show_duration(survey.answer_within)} (answer_within)"
        )
        report.warning(_spot(rules, name, "survey", "remind_after"), advice)
    if survey.by != "link" and survey.after + survey.answer_within > ANSWERS_COUNT_FOR:
        total = show_duration(survey.after + survey.answer_within)
        advice = f"after + answer_within are {total}, but the helpdesks record no answers after 28d; shorten one"
        report.warning(_spot(rules, name, "survey", "answer_within"), advice)


def report_late_reminders(rules: Rules, account: str, closes_after: timedelta, report: Reporter) -> None:
    """Warn where an account closes solved tickets before a customer who does not answer would be reminded."""
    for name, survey in _surveys(rules) if rules.settings.surveys != "off" else ():
        earliest = timedelta() if _may_be_solved_again(survey, closes_after, rules) else survey.after / 2
        if survey.remind_after and earliest + survey.remind_after >= closes_after:
            closed = f"{account} closes tickets {show_duration(closes_after)} after they are solved"
            advice = f"this reminder comes too late: {closed}; remind earlier, or let it close later"
            report.warning(_spot(rules, name, "survey", "remind_after"), advice)


def _may_be_solved_again(survey: Survey, closes_after: timedelta, rules: Rules) -> bool:
    """True if the question may find so little time left that the ticket is solved once more, and closes later."""
    if survey.reopen == "always":
        return True
    if survey.by != "auto" or survey.reopen == "never":
        return False
    needed = min(ANSWERABLE_FOR, survey.answer_within)
    delay = SLACK + (_length(*rules.settings.quiet_hours) % _DAY if rules.settings.quiet_hours else timedelta())
    return survey.after + delay + needed > closes_after and survey.after / 2 + delay + needed > closes_after


# ------------------------------------------------------------------ people
def _nobody(name: str, book: Playbook, rules: Rules, report: Reporter) -> None:
    if book.assign_to_first_available or any(person.can_be_told for person in rules.people.values()):
        return
    advice = "nobody is named here, and nobody of people can be told: these cases would wait for ever"
    report.warning(_spot(rules, name, "assign_to_first_available"), f"{advice}; name original_agent, or a person")


def _people(rules: Rules, report: Reporter) -> None:
    told = {name for book in rules.playbooks.values() for name, what in book.people if what == "notify"}
    told |= {rules.settings.daily_report.to} if rules.settings.daily_report else set()
    approve = {goodwill.approved_by for goodwill, _ in _all_goodwill(rules) if goodwill.approval_above}
    for name, person in rules.people.items():
        if person.can_be_told:
            continue
        spot = rules.document.key_spot(("people", name))
        if name in told:
            report.warning(spot, f'"{name}" is notified, but there is no notify here: nobody hears of it')
        if name in approve:
            report.warning(spot, f'"{name}" approves goodwill, but there is no notify here: nobody can be asked')
        if person.digest:
            advice = "there is no notify here, so there is nothing to collect; add one, or delete digest"
            report.warning(rules.document.spot(("people", name, "digest")), advice)


# ------------------------------------------------------------------ the second question
def _questions(rules: Rules, report: Reporter) -> None:
    settings, document = rules.settings, rules.document
    if settings.survey_list and settings.surveys != "listed":
        advice = f"this list means nothing while surveys are {settings.surveys}; write surveys: listed, or delete it"
        report.warning(document.spot(("settings", "survey_list")), advice)
    if settings.surveys == "off":
        if settings.allow_rerating:
            spot = document.spot(("settings", "allow_rerating"))
            report.warning(spot, "this means nothing while surveys are off; turn them on, or delete it")
        return
    if settings.survey_page:
        return
    for name, survey in _surveys(rules):
        if survey.by == "link":
            advice = "there is no settings.survey_page, where our own question is answered: nobody is asked that way"
            report.warning(_spot(rules, name, "survey", "by"), advice)
        elif survey.by == "auto" and settings.survey_mail == "smtp":
            advice = "without settings.survey_page whom the helpdesk's own survey cannot reach is not asked"
            report.warning(document.spot(("settings", "survey_mail")), advice)


def _surveys(rules: Rules) -> list[tuple[str, Survey]]:
    """Return the surveys of the playbooks that any rule follows."""
    names = dict.fromkeys(rule.playbook for rule in rules.rules)
    return [(name, survey) for name in names if (survey := rules.playbooks[name].survey)]


def _texts(rules: Rules, report: Reporter) -> None:
    texts, document = rules.survey_texts, rules.document
    if texts and not _surveys(rules):
        advice = "nobody reads these: no playbook that a rule follows has a survey"
        report.warning(document.key_spot(("survey_texts",)), advice)
    if rules.asks_again and rules.survey_text(None, None) is None:
        others = "a customer of another brand or language" if texts else "every customer"
        advice = f"{others} gets a built-in English text; add an entry of survey_texts without brand and language"
        report.warning(document.spot(("settings", "surveys")), advice)
    for number, text in enumerate(texts):
        spot = document.spot(("survey_texts", number))
        if rules.asks_again and rules.settings.survey_mail == "smtp" and text.sender is None:
            report.warning(spot, "no sender: our own mail with this text comes from BRIDGE_MAIL_FROM; add one")
        elif text.brand and text is _first_of_brand(text.brand, texts) and (missing := _missing(text.brand, rules)):
            shown = ", ".join(missing)
            advice = f'brand "{text.brand}" has texts of its own, but none in {shown}, in which there are others'
            report.warning(document.spot(("survey_texts", number, "brand")), f"{advice}; add it")


def _first_of_brand(brand: str, texts: Iterable[SurveyText]) -> SurveyText:
    return next(text for text in texts if folded(text.brand) == folded(brand))


def _missing(brand: str, rules: Rules) -> list[str]:
    """Return the languages of other texts in which a customer of this brand reads none, or none of the brand."""
    languages = dict.fromkeys(text.language for text in rules.survey_texts if text.language)
    found = ((language, rules.survey_text(brand, language)) for language in languages)
    return [tag for tag, text in found if text is None or not text.language or folded(text.brand) != folded(brand)]


# ------------------------------------------------------------------ goodwill
def _goodwill(rules: Rules, report: Reporter) -> None:
    table, document = rules.goodwill, rules.document
    if table and all(rules.playbooks[rule.playbook].goodwill for rule in rules.rules):
        advice = "every playbook that a rule follows has a goodwill of its own: this table is never used"
        report.warning(document.key_spot(("goodwill",)), advice)
    for number, line in enumerate(table.lines if table else ()):
        if _is_covered(line, table.lines[:number] if table else ()):
            advice = "this line is never reached: those above it take all that it is for"
            report.warning(document.spot(("goodwill", "lines", number)), advice)
    limit = rules.limits.goodwill_per_ticket
    if not _all_goodwill(rules):
        for name, note in rules.notes.items():
            if offers := sorted(field for field in note.fields if field.startswith("goodwill_")):
                spot = report.find(f"{{{offers[0]}", document.key_spot(("notes", name)))
                report.warning(spot, f"nothing may be offered in this file, so {{{offers[0]}}} is always empty")
    for goodwill, loc in _all_goodwill(rules):
        if limit and goodwill.up_to.amount > limit.amount:
            advice = f"nobody may offer {goodwill.up_to}: limits.goodwill_per_ticket is {limit}"
            report.warning(document.spot((*loc, "up_to")), advice)
        if goodwill.approval_above and goodwill.approval_above.amount >= goodwill.up_to.amount:
            advice = f"nobody is ever asked: no more than {goodwill.up_to} may be offered at all (up_to)"
            report.warning(document.spot((*loc, "approval_above")), advice)


def _all_goodwill(rules: Rules) -> list[tuple[Goodwill, Loc]]:
    table: Sequence[GoodwillLine] = rules.goodwill.lines if rules.goodwill else ()
    found: list[tuple[Goodwill, Loc]] = [(line, ("goodwill", "lines", number)) for number, line in enumerate(table)]
    for name, book in rules.playbooks.items():
        if book.goodwill and "goodwill" in rules.document.at(("playbooks", name)):
            found.append((book.goodwill, ("playbooks", name, "goodwill")))
    return found


def _is_covered(line: GoodwillLine, above: Sequence[GoodwillLine]) -> bool:
    """True only if for each of its severities one line above fits all customers whom *line* fits."""
    return all(any(_fits(other, severity, line) for other in above) for severity in line.severity or Severity)


def _fits(other: GoodwillLine, severity: Severity, line: GoodwillLine) -> bool:
    if severity not in (other.severity or Severity):
        return False
    return not other.tags or (bool(line.tags) and line.tags <= other.tags)


# ------------------------------------------------------------------ hours and incidents
def _quiet_hours(rules: Rules, report: Reporter) -> None:
    """Warn where the quiet hours leave no working hour in which anybody could be messaged."""
    places: list[tuple[Calendar, Loc]] = [(rules.calendar(), ("settings",))]
    own = [(number, *whose(entry)) for number, entry in enumerate(rules.hours)]
    places += [(rules.calendar(**{kind: name}), ("hours", number)) for number, kind, name in own]
    for calendar, loc in places:
        written = rules.document.at(loc) or ()
        key = next((key for key in ("quiet_hours", "working_hours") if key in written), None)
        if (
            key
            and calendar.quiet
            and all(_is_within(*hours, calendar.quiet) for day in calendar.weekly for hours in day)
        ):
            advice = "the quiet hours take up all working hours: nobody is ever messaged while at work"
            report.warning(rules.document.spot((*loc, key)), advice)


def _is_within(start: time, end: time, quiet: tuple[time, time]) -> bool:
    """True if an opening lies within the quiet hours, which may go past midnight."""
    begins, ends = quiet
    if begins < ends:
        return begins <= start and MIDNIGHT < end <= ends
    return begins <= start or MIDNIGHT < end <= ends


def _incidents(rules: Rules, report: Reporter) -> None:
    known: dict[str, str] = {}
    for number, rule in enumerate(rules.rules):
        if rule.incident and (first := known.setdefault(fold(rule.incident), rule.incident)) != rule.incident:
            spot = rules.document.spot(("rules", number, "incident"))
            report.warning(spot, f'this and "{first}" above are two incidents; write it the same way if it is one')
