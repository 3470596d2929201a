"""Freshdesk stand-in: both of its APIs for surveys.

The long-standing one (2A: /surveys, /surveys/satisfaction_ratings) follows developers.freshdesk.com/api (read
2026-11-21), the newer one (2B: /customer-satisfaction/surveys) the schemas of public clients. How an account with one
of them answers at the paths of the other is UNVERIFIED: a new account lists nothing at 2A, an old one has no 2B.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox import freshdesk_shapes as shapes
from connectors.sandbox.freshdesk_http import (
    body_of,
    check_keys,
    invalid,
    listed,
    missing_feature,
    moment,
    not_found,
    number,
    window,
)
from connectors.sandbox.freshdesk_records import Answer, Ticket
from connectors.sandbox.wsgi import Call, answer, route

if TYPE_CHECKING:
    from connectors.sandbox.freshdesk import FreshdeskDesk

BASE = "/api/v2"
OLD = f"{BASE}/surveys"
NEW = f"{BASE}/customer-satisfaction/surveys"


def _created_at(known: Answer) -> datetime:
    return known.created_at


class SurveyEndpoints:
    """Surveys and their answers."""

    def __init__(self, desk: FreshdeskDesk) -> None:
        self.desk = desk

    def routes(self) -> Iterable[Rule]:
        """Return the rules of both APIs."""
        yield route("GET", OLD, self.list_surveys)
        yield route("GET", f"{OLD}/satisfaction_ratings", self.list_ratings)
        yield route("GET", f"{BASE}/tickets/<int:ticket_id>/satisfaction_ratings", self.ratings_of)
        yield route("POST", f"{BASE}/tickets/<int:ticket_id>/satisfaction_ratings", self.add_rating)
        yield route("GET", NEW, self.list_new_surveys)
        yield route("GET", f"{NEW}/<survey_id>/responses", self.list_responses)
        yield route("POST", f"{NEW}/<survey_id>/responses", self.add_response)

    # -------------------------------------------------------------- 2A
    def list_surveys(self, _call: Call) -> Response:
        """List the surveys."""
        return answer([shapes.survey(self.desk)] if self._has_old() else [])

    def list_ratings(self, call: Call) -> Response:
        """List ratings by `created_since` and `user_id`; a page costs the same however many there are."""
        page, per_page = window(call)
        low, high = self._span(moment(call, "created_since")) if self._has_old() else (0, 0)
        user = number(call, "user_id")
        rows: Any = self.desk.answers
        if user is not None:
            rows = [known for known in rows[low:high] if known.user_id == user]
            low, high = 0, len(rows)
        shown = [shapes.rating(self.desk, rows[at]) for at in self._places(low, high, (page - 1) * per_page, per_page)]
        return listed(call, shown, page * per_page < high - low)

    def _span(self, since: datetime | None) -> tuple[int, int]:
        """Return from where to where in the sorted answers a list shows them."""
        latest = self.desk.now() - self.desk.ratings_visible_after
        high = bisect_right(self.desk.answers, latest, key=_created_at)
        return (bisect_left(self.desk.answers, since, key=_created_at) if since else 0), high

    def _places(self, low: int, high: int, first: int, per_page: int) -> list[int]:
        """Return where in the sorted answers the rows of one page stand."""
        wanted = range(first, min(first + per_page, high - low))
        return [high - 1 - at if self.desk.newest_rating_first else low + at for at in wanted]

    def ratings_of(self, call: Call, ticket_id: int) -> Response:
        """List the ratings of one ticket."""
        self._ticket(ticket_id)
        page, per_page = window(call)
        found = self.desk.answers_of.get(ticket_id, []) if self._has_old() else []
        last = page * per_page
        shown = [shapes.rating(self.desk, known) for known in found[last - per_page : last]]
        return listed(call, shown, len(found) > last)

    def add_rating(self, call: Call, ticket_id: int) -> Response:
        """Record an answer given elsewhere."""
        ticket, body = self._ticket(ticket_id), body_of(call)
        check_keys(body, ("feedback", "ratings"))
        value = (body.get("ratings") or {}).get("default_question")
        if not self._has_old() or value not in self.desk.scale():
            raise invalid("ratings", "It should contain accepted ratings only")
        return answer(shapes.rating(self.desk, self._record(ticket, value, body.get("feedback"))), 201)

    def _has_old(self) -> bool:
        if self.desk.csat == "none":
            raise missing_feature("Surveys")
        return self.desk.csat != "new"

    # -------------------------------------------------------------- 2B
    def list_new_surveys(self, call: Call) -> Response:
        """List the surveys of the newer API."""
        self._need_new()
        state = call.args.get("state")
        found = [shapes.new_survey(self.desk)] if state in (None, "ACTIVE") else []
        return answer({"data": found, "paging": {"next": None, "previous": None}})

    def list_responses(self, call: Call, survey_id: str) -> Response:
        """List responses behind a token; 404 where there are none."""
        self._need_survey(survey_id)
        _, per_page = window(call)
        low, high = self._span(self._created_after(call))
        if low == high:
            raise not_found()
        token = call.args.get("next_token")
        first = self._place(token) if token else 0
        shown = [shapes.response(self.desk, self.desk.answers[at]) for at in self._places(low, high, first, per_page)]
        following = None
        if first + per_page < high - low:
            token = urlsafe_b64encode(str(first + per_page).encode()).decode()
            following = f"{call.base_url}?{urlencode({**call.args.to_dict(), 'next_token': token})}"
        return answer({"data": shown, "paging": {"next": following, "previous": None}})

    def _created_after(self, call: Call) -> datetime | None:
        since = moment(call, "created_after")
        if since and self.desk.created_after == "refused":
            raise invalid("created_after", "Unexpected/invalid field in request", "invalid_field")
        return since if self.desk.created_after == "honoured" else None

    def _place(self, token: str) -> int:
        try:
            return int(urlsafe_b64decode(token))
        except ValueError:
            raise invalid("next_token", "It is not a valid token") from None

    def add_response(self, call: Call, survey_id: str) -> Response:
        """Record a response given elsewhere."""
        self._need_survey(survey_id)
        body = body_of(call)
        check_keys(body, ("ticket_id", "answers"))
        said = {one.get("question_id"): one.get("value") for one in body.get("answers", ())}
        if said.get("Q_1") not in self.desk.scale():
            raise invalid("answers", "It should contain accepted values only")
        made = self._record(self._ticket(int(body.get("ticket_id", 0))), said["Q_1"], said.get("Q_3"))
        return answer(shapes.response(self.desk, made), 201)

    def _need_new(self) -> None:
        if self.desk.csat == "none":
            raise missing_feature("Surveys")
        if self.desk.csat != "new":
            raise not_found()

    def _need_survey(self, survey_id: str) -> None:
        self._need_new()
        if survey_id != shapes.survey_uuid(self.desk):
            raise not_found()

    # -------------------------------------------------------------- both
    def _record(self, ticket: Ticket, value: int, comment: str | None) -> Answer:
        me = self.desk.api_agent
        return self.desk.answered.record(ticket, value, comment, who=(f"api:{me}", me))

    def _ticket(self, ticket_id: int) -> Ticket:
        ticket = self.desk.tickets.get(ticket_id)
        if ticket is None:
            raise not_found()
        return ticket
