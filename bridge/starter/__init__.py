"""The first rules.yaml of an installation, and its tests, from a few answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from bridge.rules import Problem, check

SUFFIXES = {"zendesk": ".zendesk.com", "freshdesk": ".freshdesk.com"}
IMPORTANT = """\
  - name: Important customer
    when:
      rating: bad
      customer_tags: {{has_any: [{tags}]}}
    severity: high
    playbook: urgent

"""
IMPORTANT_TEST = """\
  - name: An important customer comes first
    ticket: {{customer_tags: [{tag}]}}
    expect: {{rule: Important customer, severity: high, assign: ana}}

"""


@dataclass(frozen=True)
class Answers:
    """What somebody answered; everything but the helpdesks has a default that works."""

    accounts: Mapping[str, tuple[str, str]]  # name -> (connector, url)
    timezone: str = "UTC"
    working_hours: str = "mon-fri 09:00-18:00"
    holidays: str = ""  # a country or region
    leads: str = "Team Leads"  # the group that takes over
    notify: str = "leads@example.com"
    important: tuple[str, ...] = ("vip",)  # tags of customers who come first


def text_of_rules(answers: Answers) -> str:
    """Write rules.yaml. Names that people typed are put in quotes where YAML would read them differently."""
    accounts = [
        f"  {name}: {{connector: {connector}, url: {_quoted(url)}}}"
        for name, (connector, url) in answers.accounts.items()
    ]
    days, _, hours = answers.working_hours.partition(" ")
    tags = ", ".join(map(_quoted, answers.important))
    return _template("rules.yaml").substitute(
        accounts="\n".join(accounts),
        timezone=_quoted(answers.timezone),
        working_hours=f"{_quoted(days)}: {_quoted(hours.strip())}",
        holidays=f"  holidays: {_quoted(answers.holidays)}\n" if answers.holidays else "",
        leads=_quoted(answers.leads),
        notify=_quoted(answers.notify),
        important=IMPORTANT.format(tags=tags) if tags else "",
    )


def text_of_tests(answers: Answers) -> str:
    """Write rules_test.yaml, which passes."""
    tag = _quoted(answers.important[0]) if answers.important else ""
    important = IMPORTANT_TEST.format(tag=tag) if tag else ""
    return _template("rules_test.yaml").substitute(leads=_quoted(answers.leads), important=important)


def problems(answers: Answers) -> list[Problem]:
    """Return what is wrong with answers: the errors that their rules.yaml would have."""
    return [problem for problem in check(text_of_rules(answers))[1] if not problem.is_warning]


def address(connector: str, typed: str) -> tuple[str, str]:
    """Return the name of an account and its url from what somebody typed: acme, acme.zendesk.com or an address."""
    typed = typed.strip().rstrip("/")
    scheme, _, rest = typed.rpartition("://")
    host = rest if set(rest) & set(".:") else f"{rest}{SUFFIXES[connector]}"
    first = host.partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9]", "_", first) if first[:1].isalpha() else connector
    return name[:30], f"{scheme or 'https'}://{host}"


def _quoted(text: str) -> str:
    """Return a text as YAML reads it back, in quotes unless it is a plain word."""
    plain = text.replace(" ", "").replace("-", "").replace("/", "").replace(":", "")
    dangerous = not plain.isalnum() or not text[:1].isalnum() or ": " in text or text.endswith(":")
    return json.dumps(text, ensure_ascii=False) if dangerous or text in ("true", "false", "null") else text


def _template(name: str) -> Template:
    return Template(files("bridge.starter").joinpath(f"{name}.template").read_text(encoding="utf-8"))
