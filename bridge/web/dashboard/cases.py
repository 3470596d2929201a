"""Cases in rows: the most urgent ones, and the list with its filters and pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.model import Case
from bridge.show import Names
from bridge.web.dashboard.said import NEXT, Clock, Moment, is_pressing, standing

Link = Callable[[str, str], str]  # account, ticket -> the address of the ticket for a member of staff


@dataclass(frozen=True)
class Row:
    """One case in a list; *left* is how long its next step has, or is late."""

    case_id: str
    account: str
    ticket_id: str
    link: str
    owner: str
    severity: str
    is_pressing: bool
    stands: str
    rule: str
    next_step: str
    flagged: Moment
    due: Moment | None
    left: str
    is_late: bool
    ended: Moment | None


@dataclass(frozen=True)
class Rows:
    """Makes rows of cases."""

    names: Mapping[str, Names]  # by account
    link: Link
    clock: Clock

    def row(self, case: Case) -> Row:
        """Return a case as a row."""
        clock, due, ended = self.clock, case.due_at, case.ended_at
        return Row(
            case_id=case.case_id,
            account=case.account,
            ticket_id=case.carrier_id,
            link=ticket_link(self.link, case.account, case.carrier_id),
            owner=self.names.get(case.account, Names()).owner(case),
            severity=str(case.severity),
            is_pressing=is_pressing(case.severity),
            stands=standing(case),
            rule=case.rule,
            next_step=NEXT.get(case.next_step, case.next_step),
            flagged=clock.time(case.flagged_at),
            due=clock.time(due) if due else None,
            left=clock.left(due) if due else "",
            is_late=clock.is_past(due),
            ended=clock.time(ended) if ended else None,
        )


def ticket_link(link: Link, account: str, ticket_id: str) -> str:
    """Return the address of a ticket; "" for an account that is no longer in rules.yaml."""
    try:
        return link(account, ticket_id)
    except KeyError:
        return ""
