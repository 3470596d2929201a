"""What `doctor` looks at: this machine's own side first, then what the connector finds in the helpdesk.

How customers will be asked again is found out by planning it, for a ticket that would be solved now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from bridge.app import App
from bridge.connector import Asking, Finding, Level
from bridge.deadlines import ask_at
from bridge.decision import Situation
from bridge.errors import BadRecord, CredentialsRefused, HelpdeskError
from bridge.hours import Calendar, show_duration
from bridge.model import Case, Category, Directory, Severity, Stage, Status, Ticket
from bridge.notify import Channels
from bridge.owner import Staff
from bridge.rules import Playbook, Rules, Survey
from bridge.survey import in_words, plan

SET_SMTP = "set BRIDGE_SMTP_URL, such as smtp://user:password@mail.example.com:587"
SET_SLACK = "set BRIDGE_SLACK_WEBHOOK to the address of a chat webhook"
MAKE_A_WAY = (
    "make one way possible: recovery-bridge setup installs the rule that mails our words, "
    "settings.survey_mail: smtp mails them from here, settings.survey_page is for our own question"
)
LATER = "let that automation wait longer, or write a shorter time"
PAGE_WITHIN = 5.0  # seconds
EVERYWHERE = ZoneInfo("UTC")


def examine(app: App, account: str) -> Iterator[Finding]:
    """Yield the findings about one account; trouble with the helpdesk is a finding, not an end."""
    try:
        failed = False
        for finding in app.engine.desks[account].doctor():
            failed = failed or finding.level is Level.FAIL
            yield finding
        if failed:
            with suppress(HelpdeskError, BadRecord):  # that has been told
                yield from _asking(app, account)
            return
        yield from _names(app, account)
        yield from _asking(app, account)
    except CredentialsRefused as exc:
        yield Finding(Level.FAIL, str(exc), "check the secrets of this account and the role of their user")
    except (HelpdeskError, BadRecord) as exc:
        yield Finding(Level.FAIL, str(exc), "check the url of this account and the way there")


def examine_here(app: App) -> Iterator[Finding]:
    """Yield the findings about this machine: the database, and the ways to members of staff."""
    damage = app.store.quick_check()
    if damage:
        yield Finding(Level.FAIL, f"the database is damaged: {damage[0]}", "restore a backup")
    else:
        yield Finding(Level.OK, f"the database is sound ({app.store.size() // 1024} KiB)")
    for name, person in app.rules.people.items():
        missing = {_unreachable(one.notify, app.delivery.channels) for one in person.variants if one.notify} - {None}
        if missing:
            yield Finding(Level.WARNING, f"{name} cannot be told anything", "; ".join(sorted(filter(None, missing))))
    if served_at := app.rules.settings.served_at:
        yield from _way_in(served_at)
    if _asked_by(app.rules):
        yield from _way_out(app)


def _unreachable(target: str, channels: Channels) -> str | None:
    """Return what to set so that a target can be reached, or None if it can."""
    if target.startswith("#"):
        return None if channels.slack_webhook else SET_SLACK
    if "://" in target:
        return None
    return None if channels.smtp_url else SET_SMTP


def _way_in(served_at: str) -> Iterator[Finding]:
    """Look whether we are found where webhooks and links lead."""
    if urlsplit(served_at).scheme != "https":
        todo = "write the https address under which the world sees this machine"
        yield Finding(Level.WARNING, f"settings.served_at: only this machine can open {served_at}", todo)
    if trouble := _page_trouble(served_at):
        todo = "start recovery-bridge serve, and let the proxy before it lead there; until then polls find ratings"
        yield Finding(Level.WARNING, f"settings.served_at: {served_at}/healthz {trouble}", todo)
    else:
        yield Finding(Level.OK, f"serve is found at {served_at}")


# ------------------------------------------------------------------ asking customers again
def _asked_by(rules: Rules) -> dict[str, Playbook]:
    """Return the playbooks that ask customers again; none while surveys are off."""
    if rules.settings.surveys == "off":
        return {}
    return {name: playbook for name, playbook in rules.playbooks.items() if playbook.survey}


def _way_out(app: App) -> Iterator[Finding]:
    """Look at our own mail server and our own page, as far as questions need them."""
    settings = app.rules.settings
    if settings.survey_mail == "smtp" and app.delivery.channels.smtp_url is None:
        yield Finding(Level.WARNING, "settings.survey_mail is smtp, and there is no mail server", SET_SMTP)
    if page := settings.survey_page:
        if urlsplit(page).scheme != "https":
            todo = "write the https address under which the world sees this machine"
            yield Finding(Level.WARNING, f"settings.survey_page: customers cannot open {page}", todo)
        if trouble := _page_trouble(page):
            todo = "serve the page of our question there, or leave survey_page out"
            yield Finding(Level.WARNING, f"settings.survey_page: {page}/healthz {trouble}", todo)


def _page_trouble(page: str) -> str | None:
    """Return what is wrong with an address at which we should be served, or None if we answer."""
    import requests

    try:
        with requests.get(f"{page}/healthz", timeout=PAGE_WITHIN, allow_redirects=False, stream=True) as answer:
            status = answer.status_code
    except (requests.RequestException, ValueError) as exc:  # urllib3 lets some of its own errors about urls through
        return f"does not answer ({type(exc).__name__})"
    return None if status == 200 else f"answers {status}"


def _asking(app: App, account: str) -> Iterator[Finding]:
    """Say for each playbook with a survey how its customers will be asked on this account, or why they will not."""
    playbooks = _asked_by(app.rules)
    if not playbooks:
        if any(playbook.survey for playbook in app.rules.playbooks.values()):
            yield Finding(Level.NOTE, "customers are not asked again: settings.surveys is off")
        return
    asking = app.engine.desks[account].asking(fresh=True)
    found: dict[tuple[Level, str, str], list[str]] = {}
    for name, playbook in playbooks.items():
        for one in _outlook(playbook, account, app, asking):
            found.setdefault((one.level, one.what, one.todo), []).append(name)
    for (level, what, todo), names in found.items():
        yield Finding(level, f"{', '.join(names)}: {what}", todo)


def _outlook(playbook: Playbook, account: str, app: App, asking: Asking) -> Iterator[Finding]:
    """Yield what becomes of a ticket that is solved now: how its customer is asked, and what comes too late."""
    closes_after, survey = asking.closes_after, playbook.survey or Survey.model_construct()
    wait = _wait(survey, closes_after, app.now())
    found = plan(*_solved(playbook, account, app, asking, wait))
    closes = f"tickets close {show_duration(closes_after)} after they are solved" if closes_after else ""
    is_late = closes_after is not None and wait >= closes_after
    if isinstance(found, str):
        todo = LATER if is_late else MAKE_A_WAY
        reasons = "; ".join(dict.fromkeys(found.split("; ")))  # both ways may lack the same
        yield Finding(Level.WARNING, f"customers cannot be asked again: {reasons}", todo)
    elif found.on_new_ticket:
        yield Finding(Level.WARNING, f"customers are asked {in_words(found)}, because {closes}", LATER)
    elif wait < survey.after:
        what = f"customers are asked after {show_duration(wait)}, not {show_duration(survey.after)}, because {closes}"
        yield Finding(Level.NOTE, f"{what}; {in_words(found)}")
    else:
        yield Finding(Level.OK, f"customers are asked {in_words(found)}, {show_duration(wait)} after the solution")
    if closes_after:
        yield from _too_late(playbook, closes_after, closes)


def _too_late(playbook: Playbook, closes_after: timedelta, closes: str) -> Iterator[Finding]:
    """Yield what the close automation of the account leaves no time for."""
    check_in = playbook.check_in.after if playbook.check_in else timedelta()
    if check_in >= closes_after:
        what = f"check_in: after {show_duration(check_in)} the owner cannot be asked on the ticket: {closes}"
        yield Finding(Level.WARNING, what, LATER)
    longest = max((deadline.within for deadline in playbook.deadlines), default=timedelta())
    if playbook.ticket == "note_only" and longest >= closes_after:
        what = f"deadlines: {show_duration(longest)} is too late on a ticket that stays solved: {closes}"
        yield Finding(Level.WARNING, what, LATER)


def _wait(survey: Survey, closes_after: timedelta | None, now: datetime) -> timedelta:
    return ask_at(now, survey, Calendar.always(EVERYWHERE), closes_after) - now


def _solved(
    playbook: Playbook, account: str, app: App, asking: Asking, wait: timedelta
) -> tuple[Case, Playbook, Situation]:
    """Make up a case whose ticket was solved so long ago, to plan its question."""
    now, closed = app.now(), asking.closes_after is not None and wait >= asking.closes_after
    case = Case(
        "", account, "", "", Category.BAD, 1, 5, now, now, "", "", "", Severity.NORMAL, Stage.SOLVED, now, "", "",
        None, None, None, solved_at=now - wait,
    )  # fmt: skip
    ticket = Ticket("", Status.CLOSED if closed else Status.SOLVED, updated_at=now, read_at=now)
    staff = Staff(app.rules, Directory(now, {}, {}), Calendar.always(EVERYWHERE), {}, now)
    situation = Situation(
        account=account, ticket=ticket, staff=staff, facts=None, link="", shadow=False, new_id=str, asking=asking
    )
    return case, playbook, situation


def _names(app: App, account: str) -> Iterator[Finding]:
    """Compare the groups and agents that rules.yaml names with those of the helpdesk."""
    directory = app.engine.desks[account].directory(fresh=True)
    able = sum(agent.unusable is None for agent in directory.agents.values())
    yield Finding(
        Level.OK, f"{able} of {len(directory.agents)} agents can be given tickets, {len(directory.groups)} groups"
    )
    for problem in app.rules.unknown_names({account: directory}):
        what = f"{problem.path}:{problem.line}:{problem.column}: {problem.message}"
        yield Finding(Level.WARNING, what, "correct the name, or ignore this if it is of another account")
