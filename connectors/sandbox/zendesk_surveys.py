"""Satisfaction in the stand-in Zendesk: the legacy ratings and the newer survey responses, of which an account has one.

Shapes: the vendor's pages on satisfaction ratings and CSAT survey responses, and the sample payloads.
Whether one ticket may be offered a second survey is not documented: `SurveyCalls.second_offer` switches it. That a
legacy rating can be given again by the link of a later mail is UNVERIFIED too; on the ticket's page it can.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox.wsgi import Call, Refusal, answer, route
from connectors.sandbox.zendesk_account import Account, not_found
from connectors.sandbox.zendesk_pages import (
    asked,
    asked_list,
    asked_number,
    bad_request,
    cursor_of,
    cursor_page,
    key_of,
    page,
)
from connectors.sandbox.zendesk_rows import SCORE_FILTERS, By, File, Row, moment_of, stamp, stamp_ms

ANSWER_WITHIN = timedelta(days=28)
TICKET_ZRN = "zen:ticket:"
CATEGORIES = {2: ("bad", "good"), 3: ("bad", "neutral", "good"), 5: ("bad", "bad", "neutral", "good", "good")}
_ULID = string.digits + "ABCDEFGHJKMNPQRSTVWXYZ"
_LEGACY_LINK = re.compile(r"/requests/(\d+)/satisfaction/new/(\w+)")
_NEW_LINK = re.compile(r"/survey_responses/(\w+)\?access_token=(\w+)")
_OURS = ("created", "token")  # what we keep beside the fields of a response


def guide_error(status: int, code: str) -> Refusal:
    """Return an error in the style of the newer endpoints."""
    return Refusal(status, {"errors": [{"code": code, "status": str(status), "title": code}]})


class SurveyCalls:
    """Both kinds of satisfaction: their state beyond the account's, and their endpoints."""

    def __init__(self, account: Account, scale_max: int, second_offer: str) -> None:
        self.account = account
        self.scale_max = scale_max
        self.second_offer = second_offer
        self._newest_ulid = 0
        self.enabled = account.csat == "new"
        self.responses: list[Row] = []  # oldest first; created_at is kept beside the answer's fields
        self._of_ticket: dict[int, list[Row]] = {}
        self._by_id: dict[str, Row] = {}
        self.survey = self._new_survey()
        self._tokens: dict[int, str] = {}  # of the legacy survey, by ticket
        account.on_offer = self.open_offer
        account.mailer.survey_link = self.link_for

    def routes(self) -> Iterable[Rule]:
        """Return the rules of this part."""
        guide = "/api/v2/guide"
        return (
            route("GET", "/api/v2/satisfaction_ratings", self.list_ratings),
            route("GET", "/api/v2/satisfaction_ratings/count", self.count_ratings),
            route("GET", "/api/v2/satisfaction_ratings/<int:rating_id>", self.show_rating),
            route("GET", "/api/v2/satisfaction_reasons", self.reasons),
            route("GET", guide + "/<locale>/surveys", self.list_surveys),
            route("GET POST", guide + "/survey_responses", self.list_or_create_responses),
            route("GET", guide + "/<locale>/survey_responses/<response_id>", self.show_response),
        )

    # -------------------------------------------------------------- legacy ratings
    def list_ratings(self, call: Call) -> Response:
        """List ratings by score and time, in the order of the time that start_time means."""
        self._require_legacy()
        score, start, end = asked(call, "score"), asked_number(call, "start_time"), asked_number(call, "end_time")
        asked(call, "sort_order")
        if score is not None and score not in SCORE_FILTERS:
            raise bad_request("InvalidValue", f"Invalid value for score: {score}")
        words = None if score is None else SCORE_FILTERS[score]
        low = ("" if start is None else _unix(start), 0)
        high = ("9" if end is None else _unix(end), 0)
        index, ratings = self.account.rating_index, self.account.ratings

        def after(key: Any) -> Iterator[tuple[Any, Row]]:
            for rating_id in index.after(words, (key[0], key[1])):
                place = (ratings[rating_id][index.by], rating_id)
                if place > high:
                    return
                yield place, ratings[rating_id]

        return answer(page(call, "satisfaction_ratings", after, low, lambda: index.count(words, low, high)))

    def count_ratings(self, _call: Call) -> Response:
        """Count all ratings."""
        count = {"value": len(self.account.ratings), "refreshed_at": stamp(self.account.now())}
        return answer({"count": count})

    def show_rating(self, _call: Call, rating_id: int) -> Response:
        """Show one rating (live: an object; the OpenAPI says a list)."""
        self._require_legacy()
        if rating_id not in self.account.ratings:
            raise not_found()
        return answer({"satisfaction_rating": self.account.ratings[rating_id]})

    def reasons(self, _call: Call) -> Response:
        """List the reasons that customers can pick."""
        return answer({"reasons": list(self.account.reasons.values())})

    def _require_legacy(self) -> None:
        """What an account with the newer survey answers here is UNVERIFIED; this one is the unfriendliest."""
        if self.account.csat == "none":
            raise Refusal(403, {"error": {"title": "Forbidden", "message": "You do not have access to this page."}})

    # -------------------------------------------------------------- the newer survey
    def _new_survey(self) -> Row:
        options = [{"rating": n, "rating_category": c} for n, c in enumerate(CATEGORIES[self.scale_max], 1)]
        at = stamp_ms(self.account.now())
        rating = {"id": self._ulid(), "type": "rating_scale_numeric", "sub_type": "customer_satisfaction",
                  "alias": "customer_satisfaction", "options": options,
                  "headline": {"type": "static", "value": "How would you rate our support?"}}  # fmt: skip
        reason = {"id": self._ulid(), "type": "closed_ended", "sub_type": None, "alias": "reason",
                  "headline": {"type": "static", "value": "Why?"},
                  "options": [{"id": self._ulid(), "label": {"type": "static", "value": row["value"]}}
                              for row in self.account.reasons.values()]}  # fmt: skip
        comment = {"id": self._ulid(), "type": "open_ended", "sub_type": None, "alias": "comment",
                   "headline": {"type": "static", "value": "Anything else?"}}  # fmt: skip
        return {"id": self._ulid(), "state": "enabled", "version": 4, "created_at": at, "updated_at": at,
                "questions": [rating, reason, comment]}  # fmt: skip

    def _ulid(self) -> str:
        """Return an id that sorts by time: 48 bits of milliseconds, then 80 of chance."""
        ms, random = int(self.account.now().timestamp() * 1000), self.account.world.random
        self._newest_ulid = max(ms << 80 | random.getrandbits(80), self._newest_ulid + 1)
        return "".join(_ULID[self._newest_ulid >> shift & 31] for shift in range(125, -1, -5))

    def offer(self, file: File) -> Row:
        """Offer the survey to the requester of a ticket; returns the response, still without an answer."""
        now = self.account.now()
        zrn = f"{TICKET_ZRN}{file.ticket_id}"
        response: Row = {
            "id": self._ulid(), "responder_id": file.row["requester_id"], "expires_at": stamp_ms(now + ANSWER_WITHIN),
            "subject_zrns": [zrn], "subjects": [{"id": str(file.ticket_id), "type": "ticket", "zrn": zrn}],
            "survey": {name: self.survey[name] for name in ("id", "version", "state")}, "answers": [],
            "created": now, "token": f"{self.account.world.random.getrandbits(128):032x}",
        }  # fmt: skip
        self.responses.append(response)
        self._by_id[response["id"]] = response
        self._of_ticket.setdefault(file.ticket_id, []).append(response)
        return response

    def open_offer(self, file: File) -> Row:
        """Return the newest offer if it has no answer yet, else a new one."""
        offers = self._of_ticket.get(file.ticket_id)
        return offers[-1] if offers and not offers[-1]["answers"] else self.offer(file)

    def link_for(self, file: File) -> str:
        """Return the address at which the requester of a ticket can answer the survey of this account."""
        host = self.account.base.removesuffix("/api/v2")
        if self.account.csat == "new":
            return host + _path(self.open_offer(file), "en-us")
        if file.ticket_id not in self._tokens:
            self._tokens[file.ticket_id] = f"{self.account.world.random.getrandbits(128):032x}"
        return f"{host}/requests/{file.ticket_id}/satisfaction/new/{self._tokens[file.ticket_id]}"

    def linked(self, link: str) -> tuple[File, Row | None]:
        """Return the ticket that a survey's link is about, and the offer where there is one. Raises Refusal 404."""
        if (found := _LEGACY_LINK.search(link)) and self._tokens.get(int(found[1])) == found[2]:
            return self.account.file(int(found[1])), None
        if found := _NEW_LINK.search(link):
            response = self._by_id.get(found[1])
            if response and response["token"] == found[2]:
                return self.account.file(int(response["subjects"][0]["id"])), response
        raise not_found()

    def give_answer(
        self, file: File, value: int, comment: str | None, reason: str | None, response: Row | None = None
    ) -> Row:
        """Let the requester answer an offer, the newest one if none is named, for the first time or again."""
        now = self.account.now()
        response = response or (self._of_ticket.get(file.ticket_id) or [self.offer(file)])[-1]
        if now > moment_of(response["expires_at"]):
            raise guide_error(409, "Expired")
        first = response["answers"][0]["created_at"] if response["answers"] else stamp_ms(now)
        times = {"created_at": first, "updated_at": stamp_ms(now)}
        rating, why, words = self.survey["questions"]
        category = CATEGORIES[self.scale_max][value - 1]
        answers = [{"type": "rating_scale", "rating": value, "rating_category": category, "question": rating}]
        if reason is not None:
            selections = [{"type": "predefined", "option_id": self._option(why, reason)}]
            answers.append({"type": "closed_ended", "selections": selections, "question": why})
        if comment is not None:
            answers.append({"type": "open_ended", "value": comment, "question": words})
        response["answers"] = [given | times for given in answers]
        # The ticket shows good or bad only; the first release showed the middle as bad.
        shown = {"id": file.ticket_id, "score": "good" if category == "good" else "bad", "comment": comment}
        by = By(file.row["requester_id"], str(file.row["requester_id"]))
        self.account.show_score(file, shown | {"reason": reason, "reason_id": None}, by)
        return response

    def _option(self, question: Row, text: str) -> str:
        """Return the id of a reason that customers can pick; a new one is added."""
        found = next((o["id"] for o in question["options"] if o["label"]["value"] == text), None)
        if found is None:
            found = self._ulid()
            question["options"].append({"id": found, "label": {"type": "static", "value": text}})
        return str(found)

    def list_surveys(self, call: Call, locale: str) -> Response:
        """List the surveys of the account."""
        asked(call, "filter[types]")
        shown = [self.survey] if self.account.csat == "new" and locale else []
        return answer({"surveys": shown, "meta": {"has_more": False, "after_cursor": None, "before_cursor": None}})

    def list_or_create_responses(self, call: Call) -> Response:
        """List responses, offers without an answer included, or offer the survey once more."""
        if self.account.csat != "new":
            raise guide_error(404, "NotFound")
        return self._create_response(call) if call.method == "POST" else self._list_responses(call)

    def _list_responses(self, call: Call) -> Response:
        zrns, responders = asked_list(call, "filter[subject_zrns]"), asked_list(call, "filter[responder_ids]")
        start, end = asked_number(call, "filter[created_at_start]"), asked_number(call, "filter[created_at_end]")
        if zrns:
            tickets = [int(zrn.removeprefix(TICKET_ZRN)) for zrn in zrns if zrn.startswith(TICKET_ZRN)]
            of_tickets = (response for ticket_id in tickets for response in self._of_ticket.get(ticket_id, ()))
            found = sorted(of_tickets, key=_created_ms)
        else:
            found = self.responses
        first = 0 if start is None else bisect_left(found, start, key=_created_ms)
        last = len(found) if end is None else bisect_right(found, end, key=_created_ms)
        found = found[first:last]
        if responders:
            found = [response for response in found if str(response["responder_id"]) in responders]
        if asked(call, "sort") == "-id":
            found = found[::-1]
        return answer(_response_page(call, found))

    def show_response(self, _call: Call, locale: str, response_id: str) -> Response:
        """Show one response with the full text of its questions."""
        found = self._by_id.get(response_id) if locale else None
        if found is None:
            raise guide_error(404, "NotFound")
        return answer({"survey_response": {name: value for name, value in found.items() if name not in _OURS}})

    def _create_response(self, call: Call) -> Response:
        sent = (call.sent or {}).get("survey_response", {})
        zrn = next(iter(sent.get("subject_zrns", [])), "")
        file = self.account.tickets.get(int(zrn.removeprefix(TICKET_ZRN) or 0)) if zrn.startswith(TICKET_ZRN) else None
        if file is None or file.deleted or sent.get("survey_id") != self.survey["id"]:
            raise guide_error(404, "NotFound")
        if self.survey["state"] != "enabled":
            raise guide_error(409, "Conflict")
        if sent.get("responder_id") != file.row["requester_id"]:
            raise guide_error(403, "Forbidden")
        if self.second_offer == "refused" and self._of_ticket.get(file.ticket_id):  # code UNVERIFIED
            raise guide_error(422, "UnprocessableEntity")
        response = self.offer(file)
        path = _path(response, sent.get("locale", "en-us"))
        links = [
            {"rating": n, "label": {"type": "static", "value": str(n)}, "url_path": f"{path}&rating={n}"}
            for n in range(1, self.scale_max + 1)
        ]
        kinds = {"type": "rating_link_numeric", "url_path": path, "rating_links": links}
        return answer({"survey_response": {"id": response["id"], "links": kinds}})


def _response_page(call: Call, found: list[Row]) -> Row:
    """Return a page in the help center's style: with a cursor even behind the last row."""

    def after(key: int) -> Iterator[tuple[int, Row]]:
        return ((place + 1, _brief(found[place])) for place in range(key, len(found)))

    body = cursor_page(call, "survey_responses", after, 0)
    shown = len(body["survey_responses"])
    behind = (key_of(asked(call, "page[after]") or cursor_of(0))) + shown
    meta = body["meta"] | {"after_cursor": cursor_of(behind) if shown else None}
    return {"meta": meta, "survey_responses": body["survey_responses"]}


def _brief(response: Row) -> Row:
    """Return a response as the list shows it: questions without their texts."""
    kept = ("id", "type", "sub_type")
    answers = [
        given | {"question": {key: given["question"][key] for key in kept if given["question"].get(key)}}
        for given in response["answers"]
    ]
    return {name: value for name, value in response.items() if name not in _OURS} | {"answers": answers}


def _path(response: Row, locale: str) -> str:
    """Return where whoever has this can answer, as the responder."""
    return f"/hc/{locale}/survey_responses/{response['id']}?access_token={response['token']}"


def _unix(seconds: int) -> str:
    """Return the time of unix seconds as ratings carry it."""
    return stamp(datetime.fromtimestamp(min(max(seconds, 0), 253402300799), UTC))


def _created_ms(response: Row) -> int:
    return int(response["created"].timestamp() * 1000)
