"""What the parts of a rules file must agree about: errors that no part shows by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bridge.rules.document import Document, Loc
from bridge.rules.facts import fold
from bridge.rules.language import folded, whose
from bridge.rules.problems import Reporter, Spot
from bridge.rules.schema import RulesFile, SurveyText
from bridge.rules.values import Money


def check_agreement(file: RulesFile, document: Document, report: Reporter) -> None:
    """Report what contradicts something elsewhere in the file, or stands there already."""
    _accounts(file, document, report)
    _people(file, document, report)
    _currencies(file, document, report)
    _hours(file, document, report)
    _survey_texts(file, document, report)
    _causes(file, document, report)


def _accounts(file: RulesFile, document: Document, report: Reporter) -> None:
    """Report a helpdesk that stands there twice: each of its ratings would become two cases."""
    urls = {name: account.url.casefold() for name, account in file.accounts.items()}
    for url, spot, first in _twins((url, document.spot(("accounts", name, "url"))) for name, url in urls.items()):
        report.error(spot, f"{url} is the account in line {first.line} already: all would be done twice; delete one")


def _people(file: RulesFile, document: Document, report: Reporter) -> None:
    """Report people to whom tickets are assigned without a group or an agent to assign them to."""
    assigned = {name: key for key, book in file.playbooks.items() for name, what in book.people if what == "assign"}
    for name, playbook in assigned.items():
        if name in file.people and not file.people[name].can_be_assigned:
            advice = f'playbook "{playbook}" assigns tickets to "{name}": write a group or an agent here'
            report.error(document.key_spot(("people", name)), advice)


def _currencies(file: RulesFile, document: Document, report: Reporter) -> None:
    """Report amounts of goodwill that cannot be compared with the others."""
    amounts = [(money, document.spot(loc)) for money, loc in _amounts(file)]
    for money, spot in amounts[1:]:
        first, place = amounts[0]
        if money.currency != first.currency:
            report.error(spot, f"{money} is another currency than {first} in line {place.line}; use one for goodwill")


def _amounts(file: RulesFile) -> Iterator[tuple[Money, Loc]]:
    limits = file.limits
    if limits.goodwill_per_ticket:
        yield limits.goodwill_per_ticket, ("limits", "goodwill_per_ticket")
    if limits.goodwill_per_customer:
        yield limits.goodwill_per_customer.money, ("limits", "goodwill_per_customer")
    for number, line in enumerate(file.goodwill.lines if file.goodwill else ()):
        yield line.up_to, ("goodwill", "lines", number, "up_to")
    for name, book in file.playbooks.items():
        if book.goodwill:
            yield book.goodwill.up_to, ("playbooks", name, "goodwill", "up_to")


def _hours(file: RulesFile, document: Document, report: Reporter) -> None:
    places = [
        (" ".join(whose(entry)), document.spot(("hours", n, whose(entry)[0]))) for n, entry in enumerate(file.hours)
    ]
    for name, spot, first in _twins(places):
        advice = f"the hours of {name} stand in line {first.line} already; write all that differs there"
        report.error(spot, advice)


def _survey_texts(file: RulesFile, document: Document, report: Reporter) -> None:
    places = [(_for_whom(text), document.spot(("survey_texts", n))) for n, text in enumerate(file.survey_texts)]
    for name, spot, first in _twins(places):
        report.error(spot, f"there is a text for {name} in line {first.line} already; delete one")


def _for_whom(text: SurveyText) -> str:
    brand, language = folded(text.brand), text.language
    named = [f'brand "{brand}"'] * bool(brand) + [f'language "{language}"'] * bool(language)
    return " and ".join(named) or "any brand and language"


def _causes(file: RulesFile, document: Document, report: Reporter) -> None:
    """Report causes that cannot be told apart, and tags that the bridge itself adds."""
    names = [(fold(name), document.key_spot(("causes", name))) for name in file.causes]
    for name, spot, first in _twins(names):
        report.error(spot, f'the cause "{name}" stands in line {first.line} already; give this one another name')
    tagged = [(fold(cause.tag), name) for name, cause in file.causes.items() if cause.tag]
    tags = [(tag, document.spot(("causes", name, "tag"))) for tag, name in tagged]
    for tag, spot, first in _twins(tags):
        report.error(spot, f'the tag "{tag}" means the cause in line {first.line} already; choose another')
    added = {fold(tag): name for name, book in file.playbooks.items() for tag in book.tags}
    for tag, spot in tags:
        if tag in added:
            report.error(spot, f'playbook "{added[tag]}" adds the tag "{tag}" to every ticket; choose another here')


def _twins(names: Iterable[tuple[str, Spot]]) -> Iterator[tuple[str, Spot, Spot]]:
    """Yield each name that stood before, where it stands, and where it stood first."""
    seen: dict[str, Spot] = {}
    for name, spot in names:
        first = seen.setdefault(name, spot)
        if first is not spot:
            yield name, spot, first
