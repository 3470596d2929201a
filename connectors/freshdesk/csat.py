"""Walking through ratings: which of Freshdesk's two CSAT systems an account uses, and where a walk stands.

The long-standing system lists ratings with `created_since` and page numbers; the newer one lists responses per survey
with page tokens. Neither filters by time of change, and the order of neither list is documented, so a walk reads all
pages and the next one begins before the start of the last.
Source: developers.freshdesk.com/api; the newer system from public client code (both read 2026-11-21).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bridge.connector import Tools
from bridge.errors import BadRecord, CredentialsRefused, NotFound, Refused
from bridge.model import Malformed, Rating, RatingPage
from connectors.freshdesk.api import PER_PAGE, Api, as_text, moment
from connectors.freshdesk.scales import parse_rating, parse_response, scale_of, scales_of

WINDOW = timedelta(days=28)  # how long after the question an answer may come
OVERLAP = timedelta(minutes=15)  # for ratings that become visible late
SURVEYS_AGE = timedelta(hours=1)  # of the list of surveys of the newer system
SCALES_AGE = timedelta(hours=24)
PROBE_AGE = timedelta(hours=24)
RATINGS, NEWER = "surveys/satisfaction_ratings", "customer-satisfaction/surveys"


@dataclass(frozen=True)
class Cursor:
    """Where a walk stands, or *done*: when the last finished one began. Times as the API writes them."""

    api: str  # "classic" or "new"
    done: str | None = None
    since: str = ""
    start: str | None = None
    newest: str = ""  # the latest created_at seen on this walk
    page: int = 1
    survey: str = ""
    token: str | None = None

    @staticmethod
    def read(text: str | None) -> Cursor | None:
        """Read a stored cursor; None for none, or for one that this version did not write."""
        try:
            cursor = Cursor(**json.loads(text or "null"))
        except (ValueError, TypeError):
            return None
        return cursor if cursor.done or cursor.since else None

    def __str__(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value != getattr(Cursor, name, None)})


class Csat:
    """The ratings of one account."""

    def __init__(self, api: Api, tools: Tools) -> None:
        self.api = api
        self.tools = tools

    def new_ratings(self, text: str | None) -> Iterator[RatingPage]:
        """Go on with a walk under way, else begin one shortly before the last finished one began."""
        cursor = Cursor.read(text)
        api = self.flavour()
        if cursor is None or cursor.done is None:
            return self._walk(_begin(api, cursor, self.tools.now() - WINDOW), _is_active)
        overlap = OVERLAP
        if api == "new":  # a survey that is new to us may have been answered since the list of surveys was read
            overlap += SURVEYS_AGE
        if cursor.api != api:  # the same for a system that is new to us
            overlap += PROBE_AGE
        return self._walk(Cursor(api, since=as_text(moment(cursor.done) - overlap)), _is_active)

    def past_ratings(self, since: datetime, text: str | None) -> Iterator[RatingPage]:
        """Go on with a walk under way, else begin one; surveys that are no longer sent are read too.

        The lists go by when a rating was given, so those that can have been changed since come along.
        """
        cursor = Cursor.read(text)
        if cursor and cursor.done:
            return iter(())
        return self._walk(_begin(self.flavour(), cursor, since - WINDOW), _was_sent)

    def ratings_of(self, ticket_id: str, rating_id: str | None) -> Sequence[Rating]:
        """Read the ratings of one ticket. Raises BadRecord if the one that is asked for cannot be read."""
        found: list[Rating] = []
        for each in self._answers_of(ticket_id):
            if isinstance(each, Rating) and each.ticket_id == ticket_id and rating_id in (None, each.rating_id):
                found.append(each)
            if isinstance(each, Malformed) and each.key == rating_id:
                raise BadRecord(f"{self.api.account}: {each.error}")
        return found

    # -------------------------------------------------------------- which system
    def flavour(self) -> str:
        """Return "classic" or "new", from memory for a day. Raises CredentialsRefused where there is neither."""
        known = self.tools.memory.recall("csat", PROBE_AGE)
        return str(known["api"]) if known else str(self.probe()["api"])

    def probe(self) -> dict[str, Any]:
        """Look at both systems: `api` is the one to read; `both` says that both hold answers of the last weeks."""
        since = {"created_since": as_text(self.tools.now() - WINDOW), "per_page": 1}
        classic = self.api.read_if_offered(RATINGS, since)
        surveys = self.api.read_if_offered(NEWER, {"per_page": PER_PAGE})
        if classic is None and surveys is None:
            raise CredentialsRefused(
                f"{self.api.account}: no satisfaction ratings to read: the plan has no surveys (they begin with Pro), "
                "or the agent of this API key may not see them",
                status=403,
            )
        sent_now = [survey for survey in _data(surveys) if _is_active(survey)]
        answered = any(_data(self.api.read_if_offered(f"{NEWER}/{survey['id']}/responses")) for survey in sent_now)
        use_new = classic is None or answered or bool(sent_now and not classic)
        found = {"api": "new" if use_new else "classic", "both": bool(classic and answered)}
        self.tools.memory.remember("csat", found)
        return found

    # -------------------------------------------------------------- walking
    def _walk(self, cursor: Cursor, wanted: Callable[[dict[str, Any]], bool]) -> Iterator[RatingPage]:
        return self._ratings(cursor) if cursor.api == "classic" else self._all_responses(cursor, wanted)

    def _started(self, cursor: Cursor) -> str:
        """Return when the walk began: the earlier of two clocks, so that neither can make a gap."""
        now = self.tools.now()
        return cursor.start or as_text(min(self.tools.http.helpdesk_time or now, now))

    def _ratings(self, cursor: Cursor) -> Iterator[RatingPage]:
        more = True
        while more:
            rows, more = self._page_of_ratings(cursor)
            scales = self._scales(rows)
            parsed = [parse_rating(row, scales) for row in rows]
            newest = max((each.rated_at for each in parsed if isinstance(each, Rating)), default=moment(cursor.since))
            cursor = replace(cursor, start=self._started(cursor), newest=max(cursor.newest, as_text(newest)))
            if rows:
                cursor = replace(cursor, page=cursor.page + 1)
            elif more := more and cursor.newest > cursor.since:  # cut off: begin again at the newest rating given
                cursor = replace(cursor, since=cursor.newest, page=1)
            yield _page(parsed, cursor if more else Cursor(cursor.api, done=cursor.start))

    def _page_of_ratings(self, cursor: Cursor) -> tuple[list[Any], bool]:
        try:
            return self.api.page(RATINGS, cursor.page, {"created_since": cursor.since})
        except Refused as no:
            # UNVERIFIED here: the list of tickets refuses pages beyond the 300th, naming the field `page`
            if cursor.page == 1 or not no.says("page"):
                raise
            return [], True

    def _scales(self, rows: Sequence[Any]) -> dict[str, list[int]]:
        """Return the codes of every survey; read again, once an hour at most, when a rating names an unknown one."""
        named = {str(row["survey_id"]) for row in rows if isinstance(row, dict) and row.get("survey_id")}
        if not named:
            return {}
        known = self.tools.memory.recall("scales", SCALES_AGE)
        is_fresh = self.tools.memory.recall("scales", SURVEYS_AGE) is not None
        if known is not None and (is_fresh or named <= known.keys()):
            return dict(known)
        scales = scales_of(self.api.read_if_offered("surveys") or [])
        self.tools.memory.remember("scales", scales)
        return scales

    # -------------------------------------------------------------- the newer system
    def surveys(self) -> list[dict[str, Any]]:
        """Return the surveys of the newer system, ordered by id; from memory for an hour."""
        known = self.tools.memory.recall("surveys", SURVEYS_AGE)
        if known is None:
            found: list[Any] = []
            token: str | None = None
            while True:
                body = self.api.read(NEWER, {"per_page": PER_PAGE, **({"next_token": token} if token else {})})
                found += _data(body)
                token = _next_token(body)
                if not token:
                    break
            known = [{name: survey.get(name) for name in ("id", "state", "questions")} for survey in found]
            self.tools.memory.remember("surveys", known)
        return sorted(known, key=lambda survey: str(survey["id"]))

    def _all_responses(self, cursor: Cursor, wanted: Callable[[dict[str, Any]], bool]) -> Iterator[RatingPage]:
        surveys = [survey for survey in self.surveys() if wanted(survey) and str(survey["id"]) >= cursor.survey]
        for survey in surveys:
            token = cursor.token if str(survey["id"]) == cursor.survey else None
            for parsed, following in self._responses_to(survey, cursor.since, token):
                cursor = replace(cursor, start=self._started(cursor), survey=str(survey["id"]), token=following)
                is_last = following is None and survey is surveys[-1]
                yield _page(parsed, Cursor(cursor.api, done=cursor.start) if is_last else cursor)
        if not surveys:
            yield _page([], Cursor(cursor.api, done=self._started(cursor)))

    def _responses_to(
        self, survey: dict[str, Any], since: str, token: str | None
    ) -> Iterator[tuple[list[Rating | Malformed], str | None]]:
        """Read the responses to one survey page by page, each with the token of the page behind it."""
        scale, since_at = scale_of(survey), moment(since)
        more = True
        is_resumed = token is not None
        while more:
            try:
                body = self._responses(survey["id"], since, token)
            except Refused as no:
                if is_resumed:  # the stored token is too old: from the first page again
                    token, is_resumed = None, False
                    continue
                if not isinstance(no, NotFound):
                    raise
                body = None  # 404: this survey has no responses yet
            is_resumed = False
            rows = _data(body)
            token = None if _ends_before(rows, since) else _next_token(body)
            more = token is not None
            yield [each for row in rows if _is_since(each := parse_response(row, survey, scale), since_at)], token

    def _responses(self, survey_id: Any, since: str, token: str | None) -> Any:
        path = f"{NEWER}/{survey_id}/responses"
        params = {"per_page": PER_PAGE, **({"next_token": token} if token else {})}
        try:
            return self.api.read(path, {**params, "created_after": since})
        except Refused as no:
            if not no.says("created_after"):  # UNVERIFIED that this filter exists
                raise
            return self.api.read(path, params)

    def _answers_of(self, ticket_id: str) -> Iterator[Rating | Malformed]:
        if self.flavour() == "classic":
            try:
                rows = list(self.api.rows(f"tickets/{ticket_id}/satisfaction_ratings"))
            except NotFound:
                return
            scales = self._scales(rows)
            yield from (parse_rating(row, scales) for row in rows)
            return
        since = as_text(self.tools.now() - WINDOW)  # no list of one ticket's responses is known: walk through all
        for survey in self.surveys():
            for parsed, _ in self._responses_to(survey, since, None):
                yield from parsed


def _begin(api: str, cursor: Cursor | None, since: datetime) -> Cursor:
    """Return the cursor of a walk under way, or of a new one where there is none or it walks in the other system."""
    if cursor is None:
        return Cursor(api, since=as_text(since))
    return cursor if cursor.api == api else Cursor(api, since=cursor.since)


def _page(parsed: Sequence[Rating | Malformed], cursor: Cursor) -> RatingPage:
    return RatingPage(
        ratings=tuple(each for each in parsed if isinstance(each, Rating)),
        malformed=tuple(each for each in parsed if isinstance(each, Malformed)),
        cursor=str(cursor),
    )


def _data(body: Any) -> list[Any]:
    """Return the rows of an answer of the newer system: an envelope, where there is one."""
    rows = body.get("data") if isinstance(body, dict) else body
    return rows if isinstance(rows, list) else []


def _next_token(body: Any) -> str | None:
    """Return the token inside the address of the next page."""
    following = (body.get("paging") or {}).get("next") if isinstance(body, dict) else None
    return next(iter(parse_qs(urlsplit(following or "").query).get("next_token", ())), None)


def _is_active(survey: dict[str, Any]) -> bool:
    return str(survey.get("state", "")).upper() == "ACTIVE"


def _was_sent(survey: dict[str, Any]) -> bool:
    return str(survey.get("state", "")).upper() != "DRAFT"


def _is_since(each: Rating | Malformed, since: datetime) -> bool:
    return isinstance(each, Malformed) or max(each.rated_at, each.updated_at) >= since


def _ends_before(rows: Sequence[Any], since: str) -> bool:
    """Return whether a page that runs from new to old has passed *since*, so that the rest is older still."""
    created = [row["created_at"] for row in rows if isinstance(row, dict) and isinstance(row.get("created_at"), str)]
    return len(created) > 1 and created == sorted(created, reverse=True) and created[0] > created[-1] < since
