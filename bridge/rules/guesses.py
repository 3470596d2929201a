"""What people write instead of what rules.yaml wants, and what they mean by it: guesses, only ever used as suggestions.

The words come from other tools (triggers, SQL, test frameworks), from both helpdesks and from everyday English.
Patterns are compiled when they are first needed: most runs need none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

MEANT: Mapping[str, tuple[str, ...]] = {  # a word -> what it may stand for; the first that fits its place is suggested
    # keys of rules and blocks
    "if": ("when",), "where": ("when",), "match": ("when",), "matches": ("when",), "filter": ("when",),
    "filters": ("when",), "condition": ("when",), "conditions": ("when",), "trigger": ("when",),
    "except": ("unless",), "not": ("unless", "none_of", "has_none"), "exclude": ("unless",), "but_not": ("unless",),
    "or": ("any",), "one_of": ("any", "any_of"), "any_if": ("any",), "either": ("any",),
    "do": ("playbook",), "then": ("playbook", "otherwise"), "action": ("playbook",), "actions": ("playbook",),
    "title": ("name", "ticket_subject"), "id": ("name",), "rule": ("name", "rules"),
    "extends": ("like",), "inherits": ("like",), "parent": ("like",), "base": ("like",), "inherit": ("like",),
    "sla": ("deadlines",), "escalation": ("deadlines",), "escalate": ("otherwise", "deadlines"), "else": ("otherwise",),
    "on_breach": ("otherwise",), "in": ("any_of", "within"), "due": ("within",), "due_in": ("within",),
    "assign_to": ("assign_to_first_available", "assign"), "assignee": ("assign_to_first_available", "assign", "agent"),
    "owner": ("assign_to_first_available", "agent"), "assign": ("assign_to_first_available",),
    "type": ("connector",), "helpdesk": ("connector",), "vendor": ("connector",), "host": ("url",), "domain": ("url",),
    "subdomain": ("url",), "address": ("url", "notify"), "tz": ("timezone",), "dry_run": ("mode",),
    "slack": ("notify",),
    "email": ("notify", "agent", "channel"), "mail": ("notify", "agent", "email"), "chat": ("notify",),
    "channel": ("notify",), "team": ("group",), "user": ("agent",), "message": ("note", "text", "comment"),
    "body": ("text", "comment"), "template": ("note",), "start": ("from",), "since": ("from",), "end": ("to",),
    "until": ("to",), "delay": ("after",), "wait": ("after",), "reminder": ("remind_after",), "tag": ("tags",),
    "label": ("tags",), "labels": ("tags",), "business_hours": ("working_hours",), "office_hours": ("working_hours",),
    "teams": ("people",), "persons": ("people",), "staff": ("people",), "templates": ("notes",), "actors": ("people",),
    # placeholders
    "first_name": ("customer_first_name",), "requester_first_name": ("customer_first_name",),
    "requester_name": ("customer_name",), "ticket": ("ticket_id",), "title_of_ticket": ("ticket_subject",),
    "subject": ("ticket_subject",), "deadline": ("reply_by",), "due_at": ("reply_by",), "url": ("link",),
    "survey_url": ("link",), "survey_link": ("link",), "agent_name": ("assignee",), "goodwill": ("goodwill_left",),
    # fields
    "score": ("rating", "rating_text"), "stars": ("rating",), "csat": ("rating",), "satisfaction": ("rating",),
    "feedback": ("comment",), "text": ("comment",), "age": ("rated",), "rated_at": ("rated",), "via": ("channel",),
    "source": ("channel",), "lang": ("language",), "locale": ("language",), "user_tags": ("customer_tags",),
    "requester_tags": ("customer_tags",), "contact_tags": ("customer_tags",), "org_tags": ("organization_tags",),
    "company_tags": ("organization_tags",), "organisation_tags": ("organization_tags",),
    "customer": ("customer_tags", "customer_name"),
    "name": ("customer_name",), "rating": ("rating_text",),
    # operators
    "contains": ("mentions", "has"), "include": ("mentions", "has"), "includes": ("mentions", "has"),
    "contains_any": ("has_any", "mentions"), "words": ("mentions",), "has_not": ("has_none",), "is": ("any_of", "has"),
    "equals": ("any_of", "has"), "eq": ("any_of", "has"), "not_in": ("none_of", "has_none"), "is_not": ("none_of",),
    "ne": ("none_of",), "is_set": ("present",), "exists": ("present",), "empty": ("present",),
    "any_of": ("has_any", "mentions"), "none_of": ("has_none",), "all_of": ("has_all",), "has": ("any_of", "mentions"),
    "lt": ("at_most", "newer_than"), "lte": ("at_most", "newer_than"), "<": ("at_most", "newer_than"),
    "<=": ("at_most", "newer_than"), "max": ("at_most",), "below": ("at_most",), "less_than": ("at_most", "newer_than"),
    "gt": ("at_least", "older_than"), "gte": ("at_least", "older_than"), ">": ("at_least", "older_than"),
    ">=": ("at_least", "older_than"), "min": ("at_least",), "above": ("at_least",), "more_than": ("at_least",
    "older_than"), "greater_than": ("at_least", "older_than"),
    # values
    "negative": ("bad",), "unhappy": ("bad",), "unsatisfied": ("bad",), "dissatisfied": ("bad",), "low": ("bad",),
    "positive": ("good",), "happy": ("good",), "satisfied": ("good",), "ok": ("neutral",),
    "medium": ("normal",), "urgent": ("critical",), "critical": ("urgent",), "highest": ("critical", "urgent"),
    "test": ("shadow",), "dry-run": ("shadow",), "dryrun": ("shadow",), "off": ("shadow", "never"), "on": ("live",
    "everyone"), "production": ("live",), "active": ("live",), "all": ("everyone",), "none": ("off", "never"),
    "answered": ("replied",), "responded": ("replied",), "contacted": ("replied",), "resolved": ("solved",),
    "closed": ("solved",), "seen": ("acknowledged",), "ack": ("acknowledged",), "accepted": ("acknowledged",),
    "original_assignee": ("original_agent",), "last_agent": ("original_agent",), "agent": ("original_agent",
    "assignee"), "group": ("same_team",), "same_group": ("same_team",), "phone_call": ("phone",), "voice": ("phone",),
    "monday": ("mon",), "tuesday": ("tue",), "wednesday": ("wed",), "thursday": ("thu",), "friday": ("fri",),
    "saturday": ("sat",), "sunday": ("sun",), "weekdays": ("mon-fri",), "link_survey": ("link",), "own": ("link",),
}  # fmt: skip

_COUNTRIES = {
    "germany": "DE", "deutschland": "DE", "austria": "AT", "switzerland": "CH", "france": "FR", "spain": "ES",
    "italy": "IT", "netherlands": "NL", "belgium": "BE", "poland": "PL", "portugal": "PT", "ireland": "IE",
    "usa": "US", "united states": "US", "uk": "GB", "united kingdom": "GB", "england": "GB-ENG", "canada": "CA",
    "australia": "AU", "india": "IN", "brazil": "BR", "sweden": "SE", "norway": "NO", "denmark": "DK",
    "bavaria": "DE-BY", "bayern": "DE-BY", "berlin": "DE-BE", "hamburg": "DE-HH", "hessen": "DE-HE",
    "california": "US-CA", "new york": "US-NY", "texas": "US-TX", "scotland": "GB-SCT", "ontario": "CA-ON",
}  # fmt: skip
_LANGUAGES = {
    "german": "de", "deutsch": "de", "english": "en", "french": "fr", "spanish": "es", "italian": "it", "dutch": "nl",
    "portuguese": "pt", "polish": "pl", "brazilian": "pt-br", "swedish": "sv", "danish": "da", "norwegian": "no",
}  # fmt: skip
_AMOUNT = r"([0-9]{1,4})\s*(m|min|mins|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)\b\.?(?:\s|,|and)*"
_CLOCK = r"([0-2]?[0-9])(?:[:.h]([0-5][0-9]))?\s*(am|pm|a\.m\.|p\.m\.|uhr)?"
_CURRENCIES = {"€": "EUR", "euro": "EUR", "euros": "EUR", "$": "USD", "dollar": "USD", "dollars": "USD", "£": "GBP"}
_AMOUNT_OF_MONEY = r"([^\W\d_]+|[€$£])?\s*([0-9]{1,9})(?:[.,]([0-9]{1,2}))?\s*([^\W\d_]+|[€$£])?"
_DASHES = r"\s*[\u2010-\u2015\u2212-]\s*|\s+(?:to|bis)\s+"


def meant(word: str, known: Mapping[str, str]) -> str | None:
    """Return which of the *known* words (by their folded form) a word of another tool stands for, or None."""
    found = MEANT.get(word.strip().casefold().replace(" ", "_"), ())
    return next((known[candidate] for candidate in found if candidate in known), None)


def duration(text: str) -> str | None:
    """Guess `30m` from `30 minutes`, `14d` from `2 weeks`, `1h 30m` from `1 hour and 30 min`."""
    parts = []
    rest = text.strip()
    while rest:
        found = re.match(_AMOUNT, rest, re.IGNORECASE)
        if not found:
            return None
        number, unit = int(found[1]), found[2][0].lower()
        parts.append(f"{number * 7}d" if unit == "w" else f"{number}{unit}")
        rest = rest[found.end() :]
    return " ".join(parts) or None


def clock(text: str) -> str | None:
    """Guess `16:00` from `4 pm`, `16.00`, `16h00` or `16`."""
    found = re.fullmatch(_CLOCK, text.strip(), re.IGNORECASE)
    if not found:
        return None
    hour, half = int(found[1]), (found[3] or "").lower()[:1]
    if half in ("a", "p") and not 1 <= hour <= 12:
        return None
    hour = hour % 12 + (12 if half == "p" else 0) if half in ("a", "p") else hour
    return f"{hour:02}:{found[2] or '00'}" if hour < 24 else None


def span(text: str) -> str | None:
    """Guess `09:00-18:00` from `9-18`, `9am to 6pm` or one with a long dash."""
    halves = re.split(_DASHES, text.strip())
    times = [clock(half) for half in halves]
    return f"{times[0]}-{times[1]}" if len(times) == 2 and all(times) else None


def days(text: str) -> str | None:
    """Guess `mon-fri` from `monday to friday`, `Mon - Fri` or `weekdays`."""
    words = re.split(_DASHES, text.strip().lower())
    short = [MEANT.get(word, (word[:3],))[0] for word in words]
    names = {"mon", "tue", "wed", "thu", "fri", "sat", "sun", "mon-fri"}
    return "-".join(short) if len(short) <= 2 and names.issuperset(short) else None


def money(text: str) -> str | None:
    """Guess `50 EUR` from `50€`, `EUR 50`, `50 euros` or `50EUR`."""
    found = re.fullmatch(_AMOUNT_OF_MONEY, text.strip())
    if not found or bool(found[1]) == bool(found[4]):
        return None
    word = found[1] or found[4]
    currency = _CURRENCIES.get(word.casefold(), word.upper())
    return f"{found[2]}{'.' + found[3] if found[3] else ''} {currency}" if re.fullmatch("[A-Z]{3}", currency) else None


def day(text: str) -> str | None:
    """Guess `2026-12-20` from `20.12.2026`, `2026/12/20` or `12/20/2026`; None where two days are possible."""
    numbers = [int(part) for part in re.findall("[0-9]+", text)] if re.fullmatch(r"[0-9./ -]{6,12}", text) else []
    if len(numbers) != 3:
        return None
    year, middle, last = numbers if numbers[0] > 31 else (numbers[2], numbers[1], numbers[0])
    swapped = numbers[0] <= 31 and "." not in text
    found = [d for d in ((middle, last), *(((last, middle),) if swapped else ())) if _is_day(year, *d)]
    return f"{year:04}-{found[0][0]:02}-{found[0][1]:02}" if len(set(found)) == 1 else None


def _is_day(year: int, month: int, number: int) -> bool:
    try:
        return 2000 <= date(year, month, number).year < 2100
    except ValueError:
        return False


def url(text: str) -> str | None:
    """Guess `https://acme.zendesk.com` from the bare host, from one with http, or from the address of a page."""
    found = re.fullmatch(r"(?:[a-z]+:/*)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?:[/?#].*)?", text.strip(), re.IGNORECASE)
    return f"https://{found[1]}" if found else None


def country(text: str) -> str | None:
    """Guess `DE` from `Germany`, `DE-BE` from `de_be`."""
    word = text.strip()
    if word.casefold() in _COUNTRIES:
        return _COUNTRIES[word.casefold()]
    code = word.upper().replace("_", "-")
    return code if re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", code) else None


def language(text: str) -> str | None:
    """Guess `de` from `German`."""
    return _LANGUAGES.get(text.strip().casefold())


def within(text: str) -> tuple[str, str] | None:
    """Split `1/30d`, `2 per month` or `120 EUR every 90 days` into what and how long, both as they are written here."""
    found = re.fullmatch(r"(.+?)\s*(?:/|\bin\b|\bper\b|\beach\b|\bevery\b)\s*(.+)", text.strip())
    if not found:
        return None
    word = found[2].strip().lower()
    named = {"day": "1d", "week": "7d", "month": "30d", "quarter": "90d", "year": "365d", "hour": "1h"}
    span = named.get(word) or duration(word)
    return (found[1].strip(), span) if span else None
