"""A desk that needs no helpdesk, for tests of the survey page: one link for every state that the page can be in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette

from bridge.answering import Asked, Standing
from bridge.errors import StoreError
from bridge.survey_link import Invitation, SurveyLinks
from bridge.web.survey_page import SurveyDesk, survey_routes

NOW = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
LINKS = SurveyLinks("a key of this installation", "https://recovery.example.com")


@dataclass
class Desk:
    """Answers as the bridge would, by the id of the case; *down* is a store that cannot be used."""

    now: datetime = NOW
    down: bool = False
    looked: int = 0
    kept: dict[str, tuple[int, str | None]] = field(default_factory=dict)

    def look(self, case_id: str, attempt: int) -> Asked:
        if self.down or case_id == "down":
            raise StoreError("the disk is full")
        self.looked += 1
        if case_id in ("over", "settled"):
            return Asked(Standing(case_id), 4)
        if case_id in self.kept:
            return Asked(Standing.ANSWERED, self.kept[case_id][0])
        return Asked(Standing.OPEN)

    def take(self, case_id: str, attempt: int, value: int, comment: str | None) -> Asked:
        asked = self.look(case_id, attempt)
        if asked.standing in (Standing.OPEN, Standing.ANSWERED):
            self.kept[case_id] = (value, comment)
            return Asked(Standing.ANSWERED, value)
        return asked

    def app(self, prefix: str = "") -> Starlette:
        desk = SurveyDesk(lambda token: LINKS.read(token, self.now), self.look, self.take, lambda: self.now)
        return Starlette(routes=survey_routes(desk, prefix=prefix))


def path(case_id: str = "c0ffee42", language: str | None = None, brand: str | None = None, days: int = 7) -> str:
    """Return the path of a link to a case's question."""
    invitation = Invitation(case_id, 1, NOW + timedelta(days=days), language, brand)
    return LINKS.link(invitation).removeprefix("https://recovery.example.com")
