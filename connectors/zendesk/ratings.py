"""Zendesk: from JSON to ratings. Pure: no call is made here.

Source: the OpenAPI file for legacy ratings; api-reference/ticketing/ticket-management/csat_survey_responses for the new
ones (read 2026-11-21). Legacy ratings have two steps. A new survey has 2, 3 or 5, and says itself which are bad.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.errors import BadRecord
from bridge.model import Category, Malformed, Rating

RAW_MAX = 4000  # characters kept of a record that cannot be read
RATED_WITHIN = timedelta(seconds=2)  # from an answer to the stamp that it leaves on its ticket
FALLBACK_SCALE = (1, 2, 3, 4, 5)
_NOT_ANSWERED = ("offered", "unoffered")
_LEGACY_VALUES = {"bad": (Category.BAD, 1), "good": (Category.GOOD, 2)}


@dataclass(frozen=True)
class Surveys:
    """What the account's surveys say about their answers: the steps of each scale and the words of each reason."""

    scales: Mapping[str, Sequence[int]] = field(default_factory=dict)  # "id", "id/version" -> ratings, worst first
    reasons: Mapping[str, str] = field(default_factory=dict)  # option id -> label

    def scale_of(self, survey: Any) -> Sequence[int]:
        """Return the steps of the survey version that was answered, as far as they are known."""
        survey = survey if isinstance(survey, Mapping) else {}
        name = str(survey.get("id"))
        return self.scales.get(f"{name}/{survey.get('version')}") or self.scales.get(name) or FALLBACK_SCALE


def read_rows(rows: Sequence[Any], parse: Callable[[Any], Rating | None]) -> tuple[list[Rating], list[Malformed]]:
    """Parse each row; one that cannot be read is kept as it is, and those without an answer are left out."""
    ratings, malformed = [], []
    for row in rows:
        try:
            rating = parse(row)
        except BadRecord as exc:
            malformed.append(_kept(row, exc))
            continue
        if rating is not None:
            ratings.append(rating)
    return ratings, malformed


def _kept(row: Any, error: BadRecord) -> Malformed:
    raw = json.dumps(row, sort_keys=True)
    named = isinstance(row, Mapping) and isinstance(row.get("id"), str | int)
    key = str(row["id"]) if named else hashlib.blake2b(raw.encode(), digest_size=8).hexdigest()
    return Malformed(key=key, raw=raw[:RAW_MAX], error=str(error))


# ------------------------------------------------------------------ legacy
def legacy_rating(row: Any) -> Rating | None:
    """Read one satisfaction rating; None for an offer without an answer.

    The row exists since the offer, so the time of the rating is `updated_at`. Raises BadRecord.
    """
    try:
        score = row["score"]
        if score in _NOT_ANSWERED:
            return None
        category, value = _LEGACY_VALUES[score]
        rated_at = _moment(row["updated_at"])
        return Rating(
            rating_id=_id(row["id"]),
            ticket_id=_id(row["ticket_id"]),
            category=category,
            value=value,
            scale_max=2,
            rated_at=rated_at,
            updated_at=rated_at,
            comment=_words(row.get("comment")),
            reason=_words(row.get("reason")),
            requester_id=optional_id(row.get("requester_id")),
            assignee_id=optional_id(row.get("assignee_id")),
            group_id=optional_id(row.get("group_id")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadRecord(_legacy_trouble(row)) from exc


def _legacy_trouble(row: Any) -> str:
    if not isinstance(row, Mapping):
        return "rating is not a JSON object"
    where = f"rating {row.get('id', '(no id)')}"
    for name in ("id", "score", "ticket_id", "updated_at"):
        if row.get(name) is None:
            return f"{where} has no field '{name}'"
    if str(row["score"]) not in _LEGACY_VALUES:
        return f"{where}: field 'score' is none of bad, good, offered, unoffered"
    return f"{where}: a field has a type that it should not have"


# ------------------------------------------------------------------ new CSAT
def survey_rating(response: Any, surveys: Surveys) -> Rating | None:
    """Read one survey response; None for an offer without an answer. Raises BadRecord."""
    try:
        answers = response.get("answers") or ()
        scored = next((answer for answer in answers if _is_csat(answer)), None)
        return None if scored is None else _answered(response, scored, answers, surveys)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadRecord(_survey_trouble(response, exc)) from exc


def _answered(
    response: Mapping[str, Any], scored: Mapping[str, Any], answers: Sequence[Mapping[str, Any]], surveys: Surveys
) -> Rating:
    scale = surveys.scale_of(response.get("survey"))
    if scored["rating"] not in scale:
        scale = FALLBACK_SCALE
    times = [answer.get("updated_at") or answer["created_at"] for answer in answers]
    return Rating(
        rating_id=_id(response["id"]),
        ticket_id=_ticket_of(response),
        category=Category(scored["rating_category"]),
        value=scale.index(scored["rating"]) + 1,
        scale_max=len(scale),
        rated_at=_moment(scored["created_at"]),
        updated_at=max(_moment(text) for text in times),
        comment=next((_words(a.get("value")) for a in answers if a.get("type") == "open_ended"), None),
        reason=next((_reason(a, surveys) for a in answers if a.get("type") == "closed_ended"), None),
        requester_id=optional_id(response.get("responder_id")),
    )


def _is_csat(answer: Mapping[str, Any]) -> bool:
    return answer.get("type") == "rating_scale" and answer["question"].get("sub_type") == "customer_satisfaction"


def _ticket_of(response: Mapping[str, Any]) -> str:
    for zrn in response.get("subject_zrns") or ():
        if zrn.startswith("zen:ticket:"):
            return _id(zrn.removeprefix("zen:ticket:"))
    for subject in response.get("subjects") or ():
        if subject.get("type") == "ticket":
            return _id(subject["id"])
    raise KeyError("ticket")


def _reason(answer: Mapping[str, Any], surveys: Surveys) -> str | None:
    """Return the words of the reasons picked; an option's id where its words are not known."""
    return ", ".join(surveys.reasons.get(option, option) for option in _options_of(answer)) or None


def _options_of(answer: Mapping[str, Any]) -> list[str]:
    return [str(selection["option_id"]) for selection in answer.get("selections") or () if "option_id" in selection]


def unknown_reasons(response: Mapping[str, Any], surveys: Surveys) -> list[str]:
    """Return the ids of the options that this response picked and whose words are not known."""
    picked = [answer for answer in response["answers"] if answer.get("type") == "closed_ended"]
    return [option for answer in picked for option in _options_of(answer) if option not in surveys.reasons]


def _survey_trouble(response: Any, exc: Exception) -> str:
    if not isinstance(response, Mapping):
        return "survey response is not a JSON object"
    where = f"survey response {response.get('id', '(no id)')}"
    if isinstance(exc, KeyError):
        return f"{where} has no field '{exc.args[0]}'"
    return f"{where}: a field has a type or value that it should not have"


def holder_added(rating: Rating, ticket: Mapping[str, Any] | None) -> Rating:
    """Return the rating with who holds its ticket, if nothing but the rating changed that ticket since.

    A survey response does not say who held it; where somebody may have taken it since, its history must tell.
    """
    if ticket is None or not ticket.get("updated_at"):
        return rating
    if _moment(ticket["updated_at"]) - rating.rated_at > RATED_WITHIN:
        return rating
    assignee_id, group_id = optional_id(ticket.get("assignee_id")), optional_id(ticket.get("group_id"))
    return replace(rating, assignee_id=assignee_id, group_id=group_id)


# ------------------------------------------------------------------ surveys
def read_surveys(surveys: Sequence[Mapping[str, Any]]) -> Surveys:
    """Read scales and reasons from the list of surveys, as far as their questions carry their options."""
    scales: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}
    for survey in surveys:
        for question in survey.get("questions") or ():
            options = question.get("options") or ()
            if question.get("sub_type") == "customer_satisfaction":
                steps = sorted({option["rating"] for option in options if isinstance(option.get("rating"), int)})
                if len(steps) > 1:
                    scales[str(survey["id"])] = scales[f"{survey['id']}/{survey.get('version')}"] = steps
            else:
                reasons |= option_labels(options)
    return Surveys(scales, reasons)


def option_labels(options: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the words of each option that has an id and words; a label is a text or {"type", "value"}."""
    found = {}
    for option in options:
        label = option.get("label")
        words = label.get("value") if isinstance(label, Mapping) else label
        if "id" in option and isinstance(words, str):
            found[str(option["id"])] = words
    return found


# ------------------------------------------------------------------ small values
def optional_id(value: Any) -> str | None:
    """Return an id as text, or None."""
    return None if value is None else str(value)


def _id(value: Any) -> str:
    if value is None or isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise TypeError("not an id")
    return str(value)


def _words(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise TypeError("not a text")


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is UTC else _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
