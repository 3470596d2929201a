"""Zendesk: which CSAT an account uses, and reading its ratings page by page.

Source: api-reference/ticketing/ticket-management/satisfaction_ratings, .../csat_survey_responses, .../csat_surveys and
.../incremental_exports (read 2026-11-21). An account has either legacy ratings or the new surveys, never both.

Late answers are the normal case: an answer may come, and change, 28 days after the offer. Legacy: it is not documented
whether `start_time` means the time of the offer or of the answer, so each poll reads the bad ratings of the whole
window until a row has shown the latter. New: responses cannot be asked for by their last change, so the tickets that
changed lead to them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.connector import Tools
from bridge.errors import BadRecord, CredentialsRefused, NotFound, Refused
from bridge.model import Category, Malformed, Rating, RatingPage
from connectors.zendesk.pages import PAGE_SIZE, PAGED, Params, moved, next_position, read_all, read_page, record, rows
from connectors.zendesk.ratings import (
    Surveys,
    holder_added,
    legacy_rating,
    option_labels,
    read_rows,
    read_surveys,
    survey_rating,
    unknown_reasons,
)

ANSWER_WITHIN = timedelta(days=28)
OVERLAP = timedelta(minutes=15)  # read again what was read, for rows that became visible late
FLAVOUR_AGE = timedelta(hours=24)
EXPORT_SIZE = 1000  # tickets per page of the incremental export
EXPORT_LAG = timedelta(seconds=61)  # the export refuses a younger start

RATINGS = "/api/v2/satisfaction_ratings"
RESPONSES = "/api/v2/guide/survey_responses"
SURVEYS = "/api/v2/guide/en-us/surveys"  # scales and ids are the same in every locale
ONE_RESPONSE = "/api/v2/guide/en-us/survey_responses"
EXPORT = "/api/v2/incremental/tickets/cursor"

_FLAVOUR, _START_TIME = "csat", "start_time_means"  # names in the account's memory
Step = tuple[list[Rating], list[Malformed], str | None]  # one page, and the position of the next
State = dict[str, Any]  # what is inside a cursor
Look = Callable[[str], Mapping[str, Any] | None]  # at one ticket, None if it is gone


class Csat:
    """The ratings of one account, whichever CSAT it uses."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._http = tools.http
        self._memory = tools.memory
        self._known = Surveys()

    # -------------------------------------------------------------- which CSAT
    def uses_surveys(self, *, fresh: bool = False) -> bool:
        """True if the account uses the new surveys; asked once a day unless *fresh*."""
        found = (None if fresh else self._memory.recall(_FLAVOUR, FLAVOUR_AGE)) or self._detect()
        self._known = Surveys(found.get("scales", {}), found.get("reasons", {}))
        return bool(found["flavour"] == "survey")

    def survey_id(self) -> str | None:
        """Return the id of the survey that is switched on; None if there is none."""
        found = self._memory.recall(_FLAVOUR, FLAVOUR_AGE)
        if found is None or (found["flavour"] == "survey" and "survey" not in found):
            found = self._detect()
        return str(found["survey"]) if found.get("survey") else None

    def scales(self) -> Mapping[str, Sequence[int]]:
        """Return the steps of each survey's scale, by the id of the survey."""
        return {name: steps for name, steps in self._known.scales.items() if "/" not in name}

    def _detect(self) -> State:
        """Ask for enabled surveys; words and scales of survey versions seen earlier stay known."""
        try:
            found = list(read_all(self._http, SURVEYS, "surveys", {"filter[types]": "CUSTOMER_SATISFACTION"}))
        except NotFound:
            found = []
        except CredentialsRefused as exc:
            if exc.status != 403:
                raise
            found = []
        if enabled := next((survey for survey in found if survey.get("state") == "enabled"), None):
            earlier, now = self._memory.recall(_FLAVOUR) or {}, read_surveys(found)
            scales = {**earlier.get("scales", {}), **now.scales}
            reasons = {**earlier.get("reasons", {}), **now.reasons}
            state = {"flavour": "survey", "survey": enabled.get("id"), "scales": scales, "reasons": reasons}
        else:
            state = {"flavour": "legacy"}
        self._memory.remember(_FLAVOUR, state)
        return state

    # -------------------------------------------------------------- the verbs
    def new_ratings(self, cursor: str | None) -> Iterator[RatingPage]:
        """Yield what may have been rated since *cursor*."""
        if not self.uses_surveys():
            yield from self._poll_legacy(_state(cursor, "legacy"))
            return
        state = _state(cursor, "survey")
        if "export" in state or "start" in state:
            yield from self._follow_changes(state)
        else:
            yield from self._sweep_window(state)

    def past_ratings(self, since: datetime, cursor: str | None) -> Iterator[RatingPage]:
        """Yield every rating given or changed at or after *since*."""
        flavour = "survey" if self.uses_surveys() else "legacy"
        state = _state(cursor, flavour)
        if state.get("done"):
            return
        start = _time(state["from"]) if "from" in state else self._first_offer(since, flavour)
        walk = self._walk_responses if flavour == "survey" else self._walk_received
        for ratings, malformed, position in walk(start, state.get("after")):
            kept = [rating for rating in ratings if rating.updated_at >= since]
            more: State = {"from": _seconds(start), "after": position} if position else {"done": True}
            yield _page(kept, malformed, flavour, more)

    def _first_offer(self, since: datetime, flavour: str) -> datetime:
        """Return when the oldest survey was offered that may have been answered since."""
        return since if flavour == "legacy" and self._start_means_update() else since - ANSWER_WITHIN

    def ratings_of(self, ticket_id: str, rating_id: str | None, look: Look) -> list[Rating]:
        """Return the ratings of a ticket, or one of them, as they are now; *look* reads the ticket where it helps.

        Raises BadRecord if one cannot be read.
        """
        surveys = self.uses_surveys()
        if (
            rating_id is not None and rating_id.isdigit()
        ):  # ids of responses are ULIDs; an account may have changed over
            return self._legacy(rating_id)
        if rating_id is None and not surveys:
            return self._shown_on(look(ticket_id) or {})
        ratings, malformed = self._responses_of([ticket_id])
        for unread in malformed:
            if rating_id in (None, unread.key):
                raise BadRecord(f"{self._http.account}: {unread.error}")
        if rating_id is None and any(rating.category in self._tools.needs.categories for rating in ratings):
            ticket = look(ticket_id)  # which is wanted next anyway, and may spare its history
            return [holder_added(rating, ticket) for rating in ratings]
        return [rating for rating in ratings if rating_id in (None, rating.rating_id)]

    # -------------------------------------------------------------- legacy
    def _poll_legacy(self, state: State) -> Iterator[RatingPage]:
        walk = state if "began" in state else self._begin(state.get("polled"))
        for ratings, malformed, position in self._walk_legacy(_time(walk["start"]), walk["score"], walk.get("after")):
            more = {**walk, "after": position} if position else {"polled": walk["began"]}
            yield _page(ratings, malformed, "legacy", more)

    def _begin(self, polled: int | None) -> State:
        now = self._tools.now()
        if polled is not None and self._start_means_update():
            return {"began": _seconds(now), "start": _seconds(_time(polled) - OVERLAP), "score": "received"}
        score = "received" if Category.GOOD in self._tools.needs.categories else "bad"
        return {"began": _seconds(now), "start": _seconds(now - ANSWER_WITHIN), "score": score}

    def _walk_received(self, start: datetime, position: str | None) -> Iterator[Step]:
        return self._walk_legacy(start, "received", position)

    def _walk_legacy(self, start: datetime, score: str, position: str | None) -> Iterator[Step]:
        params = {"score": score, "start_time": _seconds(start), **PAGED}
        for found, after in self._pages(RATINGS, "satisfaction_ratings", params, position):
            self._observe(found, start)
            ratings, malformed = read_rows(found, legacy_rating)
            yield ratings, malformed, after

    def _start_means_update(self) -> bool:
        return bool(self._memory.recall(_START_TIME) == "update")

    def _observe(self, found: Sequence[Any], start: datetime) -> None:
        """Remember it if a row offered before *start* and answered after it came back."""
        edge = f"{start:%Y-%m-%dT%H:%M:%SZ}"  # the vendor's own form, so that texts compare as times
        if any(_straddles(row, edge) for row in found) and not self._start_means_update():
            self._memory.remember(_START_TIME, "update")

    def _legacy(self, rating_id: str) -> list[Rating]:
        path = f"{RATINGS}/{rating_id}"
        try:
            found = record(self._http, path, self._http.read(path)).get("satisfaction_rating")
        except NotFound:
            return []
        rating = legacy_rating(found[0] if isinstance(found, list) and found else found)  # the OpenAPI says list
        return [rating] if rating else []

    def _shown_on(self, ticket: Mapping[str, Any]) -> list[Rating]:
        rating_id = (ticket.get("satisfaction_rating") or {}).get("id")
        return self._legacy(str(rating_id)) if rating_id else []

    # -------------------------------------------------------------- new surveys
    def _sweep_window(self, state: State) -> Iterator[RatingPage]:
        """Read the responses to all offers that can still be answered; later polls follow what changes."""
        began = state.get("began", _seconds(self._tools.now()))
        for ratings, malformed, position in self._walk_responses(_time(began) - ANSWER_WITHIN, state.get("after")):
            more = {"began": began, "after": position} if position else {"start": _seconds(_time(began) - OVERLAP)}
            yield _page(ratings, malformed, "survey", more)

    def _walk_responses(self, start: datetime, position: str | None) -> Iterator[Step]:
        params = {"filter[created_at_start]": _seconds(start) * 1000, **PAGED}
        for found, after in self._pages(RESPONSES, "survey_responses", params, position):
            ratings, malformed = read_rows(found, self._survey_rating)
            yield ratings, malformed, after

    def _follow_changes(self, state: State) -> Iterator[RatingPage]:
        """Read the tickets that changed and the survey responses of those."""
        position = state.get("export")
        while True:
            try:
                body = self._export(position, state)
            except Refused:
                if position is None:
                    raise
                yield from self._sweep_window({})  # the export no longer knows this cursor
                return
            tickets = {str(t["id"]): t for t in rows(self._http, EXPORT, body, "tickets") if _may_be_rated(t)}
            ratings, malformed = self._responses_of(list(tickets))
            after, ended = body.get("after_cursor") or position, bool(body.get("end_of_stream", True))
            more = {"export": after} if after else state
            yield _page([holder_added(r, tickets.get(r.ticket_id)) for r in ratings], malformed, "survey", more)
            if ended:
                return
            position = moved(self._http, EXPORT, position, after)

    def _export(self, position: str | None, state: State) -> Mapping[str, Any]:
        params: dict[str, Any] = {"support_type_scope": "all", "per_page": EXPORT_SIZE}
        if position is None:
            params["start_time"] = min(state["start"], _seconds(self._tools.now() - EXPORT_LAG))
        else:
            params["cursor"] = position
        return record(self._http, EXPORT, self._http.read(EXPORT, params))

    def _responses_of(self, ticket_ids: Sequence[str]) -> tuple[list[Rating], list[Malformed]]:
        ratings: list[Rating] = []
        malformed: list[Malformed] = []
        for first in range(0, len(ticket_ids), PAGE_SIZE):
            subjects = ",".join(f"zen:ticket:{ticket_id}" for ticket_id in ticket_ids[first : first + PAGE_SIZE])
            found = list(
                read_all(self._http, RESPONSES, "survey_responses", {**PAGED, "filter[subject_zrns]": subjects})
            )
            good, bad = read_rows(found, self._survey_rating)
            ratings += good
            malformed += bad
        return ratings, malformed

    def _survey_rating(self, response: Any) -> Rating | None:
        rating = survey_rating(response, self._known)
        if rating is None or rating.category is not Category.BAD:
            return rating
        unknown = unknown_reasons(response, self._known)
        if not unknown:
            return rating
        self._learn_reasons(rating.rating_id, unknown)
        return survey_rating(response, self._known)

    def _learn_reasons(self, response_id: str, unknown: Sequence[str]) -> None:
        """Read the words of a reason from the full response; an option without words keeps its id."""
        path = f"{ONE_RESPONSE}/{response_id}"
        try:
            shown = record(self._http, path, self._http.read(path)).get("survey_response") or {}
        except (Refused, CredentialsRefused):
            shown = {}
        labels = {option: option for option in unknown}
        for answer in shown.get("answers") or ():
            labels |= option_labels((answer.get("question") or {}).get("options") or ())
        self._known = replace(self._known, reasons={**self._known.reasons, **labels})
        kept = {"flavour": "survey", "scales": dict(self._known.scales), "reasons": dict(self._known.reasons)}
        self._memory.remember(_FLAVOUR, {**(self._memory.recall(_FLAVOUR) or {}), **kept})

    # -------------------------------------------------------------- pages
    def _pages(
        self, path: str, key: str, params: Params, position: str | None
    ) -> Iterator[tuple[list[Any], str | None]]:
        """Yield the rows of each page with the position of the next; a stored position may be too old."""
        stored = position is not None
        while True:
            try:
                body = read_page(self._http, path, params, position)
            except Refused:
                if not stored:
                    raise
                stored, position = False, None
                continue
            stored = False
            after = moved(self._http, path, position, next_position(body))
            yield rows(self._http, path, body, key), after
            if after is None:
                return
            position = after


def _page(ratings: list[Rating], malformed: list[Malformed], flavour: str, state: State) -> RatingPage:
    cursor = json.dumps({"flavour": flavour, **state}, separators=(",", ":"))
    return RatingPage(tuple(ratings), tuple(malformed), cursor)


def _state(cursor: str | None, flavour: str) -> State:
    """Return what a cursor says; nothing if it is of the account's other CSAT."""
    state = json.loads(cursor) if cursor else {}
    return state if state.get("flavour") == flavour else {}


def _may_be_rated(ticket: Mapping[str, Any]) -> bool:
    return ticket.get("status") not in ("new", "deleted")


def _straddles(row: Any, edge: str) -> bool:
    try:
        return bool(row["created_at"] < edge <= row["updated_at"])
    except (KeyError, TypeError):
        return False


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
