"""Freshdesk: the automation rule that tells us of ratings: how to make it, whether it is there, and its secret.

Source: developers.freshdesk.com/api, Automations, and the vendor's support pages (read 2026-11-21). UNVERIFIED: how the
API names the event of a rating. Nobody makes a rule of such a name by guessing: people do, by our recipe, and what they
made is read back.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridge.connector import WEBHOOK_SECRET, Finding, Level, Secret, SetupStep, Tools
from connectors.freshdesk.api import Api
from connectors.freshdesk.automations import ON_UPDATE, OURS, WHERE, Rule, is_active, rules_of
from connectors.freshdesk.hooks import SECRET_HEADER

TITLE = f"{OURS}Tell of ratings"
HEADER = "X-Bridge-Secret"
BODY = '{"ticket_id": "{{ticket.id}}"}'
NAMES_TICKET = re.compile(r"\{\{\s*ticket\.id\s*\}\}")
RATED = re.compile("feedback|survey|satisf|csat|rating")
REQUESTER, EITHER = 2, 3  # who performs what a rule waits for
SHOWN = "(what setup --show-secret shows)"
POLLED = "ratings are found by polling alone"


def recipe(url: str, secret: str) -> list[str]:
    """Return what an admin fills in, field by field; *secret* says where the secret is found."""
    return [
        f"name: {TITLE}",
        "when an action performed by: Requester",
        "involves any of these events: Customer feedback, received, any",
        "on tickets with these properties: none",
        "perform this action: Trigger webhook",
        "request type: POST",
        f"URL: {url}",
        "requires authentication: no",
        f"custom headers: {HEADER}: {secret}",
        "encoding: JSON",
        f"content: Advanced: {BODY}",
    ]


# ------------------------------------------------------------------ what is there
def hooks(rules: Sequence[Rule], url: str) -> Iterator[tuple[Rule, Mapping[str, Any]]]:
    """Yield each rule that sends a webhook to this address, with the action that does."""
    for rule in rules:
        for action in rule.get("actions") or ():
            if isinstance(action, dict) and str(action.get("url", "")).rstrip("/") == url:
                yield rule, action


def amiss(rule: Rule, action: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return what keeps a rule from telling us of ratings; "" if nothing does."""
    performer = (rule.get("performer") or {}).get("type", EITHER)
    events = [str(event.get("field_name")) for event in rule.get("events") or () if isinstance(event, dict)]
    content, brought = action.get("content"), _brought(action)
    wrong = {
        "is switched off": not is_active(rule),
        "does not wait for requesters": performer not in (REQUESTER, EITHER),
        "waits for no event that looks like a rating": not any(RATED.search(event.lower()) for event in events),
        "does not send by POST": str(action.get("request_type")).upper() in ("GET", "PUT", "PATCH", "DELETE"),
        "names no ticket in its content": isinstance(content, str) and not NAMES_TICKET.search(content),
        f"brings no {HEADER}": not brought,
        "brings a secret that is not known here": bool(brought.strip("*")) and brought not in known,
    }
    return " and ".join(what for what, is_so in wrong.items() if is_so)


def _brought(action: Mapping[str, Any]) -> str:
    """Return the secret that an action sends along, perhaps as asterisks: in our header, or as a password."""
    headers = action.get("custom_headers")
    pairs = headers.items() if isinstance(headers, dict) else ()
    ours = [str(value) for name, value in pairs if str(name).strip().lower() == SECRET_HEADER]
    login = action.get("auth_header")
    return next(iter(ours), "") or str((login if isinstance(login, dict) else {}).get("password") or "")


def findings(rules: Sequence[Rule], tools: Tools, given: Sequence[str]) -> Iterator[Finding]:
    """Say whether ratings are told at once, and what stands in the way. *given*: the secrets of the environment."""
    if tools.hooks_at is None:
        if any(rule.get("name") == TITLE for rule in rules):
            what = f"the rule {TITLE!r} is left over from before: settings.served_at is not set"
            yield Finding(Level.WARNING, what, f"delete it under {WHERE}, or write served_at and run setup")
        return
    known = _known(tools, given)
    found = {str(rule.get("name")): amiss(rule, action, known) for rule, action in hooks(rules, tools.hooks_at)}
    if not found:
        yield Finding(Level.WARNING, f"no rule tells us of ratings: {POLLED}", _todo(tools.hooks_at, given))
    elif "" in found.values():
        name = next(name for name, wrong in found.items() if not wrong)
        yield Finding(Level.OK, f"the rule {name!r} tells {tools.hooks_at} of ratings")
    else:
        for name, wrong in found.items():
            what = f"the rule {name!r} {wrong}: {POLLED}"
            yield Finding(Level.WARNING, what, _todo(tools.hooks_at, given))


def _todo(url: str, given: Sequence[str]) -> str:
    return f"run recovery-bridge setup; then under {WHERE}: {'; '.join(recipe(url, _place(given)))}"


def _place(given: Sequence[str]) -> str:
    """Return where the secret is found."""
    return "(the one in the variable of this account that ends in _WEBHOOK_SECRET)" if given else SHOWN


def _known(tools: Tools, given: Sequence[str]) -> list[str]:
    kept = tools.memory.recall_secret(WEBHOOK_SECRET)
    return [*given, *([kept] if kept else [])]


# ------------------------------------------------------------------ setting up
def set_up(api: Api, tools: Tools, given: Sequence[str], *, dry_run: bool) -> Iterator[SetupStep]:
    """Make the secret that the rule brings, unless the environment has one, and say how the rule is made."""
    if tools.hooks_at is None:
        return
    if not given:
        yield _secret(tools, dry_run=dry_run)
    rules = rules_of(api, ON_UPDATE) or ()
    wrong = [amiss(rule, action, _known(tools, given)) for rule, action in hooks(rules, tools.hooks_at)]
    what = f"automation rule {TITLE}"
    if "" in wrong:
        yield SetupStep(what, "present")
    else:
        why = f"the one that is there {wrong[0]}; it has to be" if wrong else "there is none; add one"
        lines = [f"{what}: {why}, under {WHERE}", *recipe(tools.hooks_at, _place(given))]
        yield SetupStep("\n".join(lines), "by hand")


def _secret(tools: Tools, *, dry_run: bool) -> SetupStep:
    what = f"secret of automation rule {TITLE}, for its header {HEADER}: kept here"
    if kept := tools.memory.recall_secret(WEBHOOK_SECRET):
        return SetupStep(what, "present", Secret(kept))
    if dry_run:
        return SetupStep(what, "missing")
    made = secrets.token_urlsafe(32)
    tools.memory.remember_secret(WEBHOOK_SECRET, made)
    return SetupStep(what, "created", Secret(made))


def remove(api: Api, tools: Tools, *, dry_run: bool) -> Iterator[SetupStep]:
    """Take away the rule of our name, and forget the secret that it brought."""
    kept = tools.memory.recall_secret(WEBHOOK_SECRET)
    rules = rules_of(api, ON_UPDATE)
    there = [rule for rule in rules or () if rule.get("name") == TITLE]
    what = f"automation rule {TITLE}"
    if len(there) > 1:
        twice = f"there are {len(there)} of this name, and nothing was touched; delete all but one and run setup again"
        yield SetupStep(f"{what} ({twice})", "by hand")
        return
    if not (there or kept):
        if tools.hooks_at:
            yield _unread(what) if rules is None else SetupStep(what, "absent")
        return
    if not dry_run:
        for rule in there:
            api.session.write("DELETE", f"/api/v2/automations/{ON_UPDATE}/rules/{rule['id']}", None)
        tools.memory.forget_secret(WEBHOOK_SECRET)
    yield _unread(what) if rules is None else SetupStep(what, "present" if dry_run else "removed")


def _unread(what: str) -> SetupStep:
    return SetupStep(f"{what} (rules cannot be read; delete it under {WHERE} if it is there)", "by hand")
