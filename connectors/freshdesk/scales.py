"""Answers of customers as Freshdesk records them -> Rating, on every scale of its two CSAT systems. Pure.

Source: developers.freshdesk.com/api, Surveys and Satisfaction Ratings (read 2026-11-21); the newer system's shapes are
known from public schemas only, no recorded answer was found.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.model import Category, Malformed, Rating
from connectors.freshdesk.api import as_id, moment

SEVEN_CODES = (-103, -102, -101, 100, 101, 102, 103)  # extremely unhappy .. neutral .. extremely happy
NEUTRAL_CODE = 100
CLASSIC = {1: (Category.GOOD, 3), 2: (Category.NEUTRAL, 2), 3: (Category.BAD, 1)}  # code: category, position of 3
RAW_KEPT = 4000  # characters of a record that cannot be read

Scales = Mapping[str, Sequence[int]]
"""Survey id -> the codes that its question about satisfaction accepts, from worst to best."""

_BAD = ("dissatisf", "unsatisf", "not satisf", "unhappy", "negative", "bad", "poor", "detractor")
_NEUTRAL = ("neutral", "passive", "average", "neither")
_GOOD = ("satisf", "happy", "positive", "good", "great", "excellent", "promoter")


def scales_of(surveys: Sequence[Any]) -> dict[str, list[int]]:
    """Return the codes that each survey's question about satisfaction accepts, sorted from worst to best."""
    scales = {}
    for survey in surveys:
        for question in survey.get("questions") or ():
            if question.get("id") == "default_question":
                scales[str(survey["id"])] = sorted(question.get("accepted_ratings") or ())
    return scales


# ------------------------------------------------------------------ satisfaction ratings, the long-standing system
def parse_rating(row: Any, scales: Scales) -> Rating | Malformed:
    """Read one satisfaction rating; a survey that is not in *scales* is taken to have all seven codes."""
    try:
        return _rating(row, scales)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        return malformed("rating", row, exc)


def _rating(row: dict[str, Any], scales: Scales) -> Rating:
    category, value, scale_max = _place(row["ratings"]["default_question"], scales.get(str(row.get("survey_id")), ()))
    created = row["created_at"]
    updated = row.get("updated_at") or created
    rated_at = moment(created)
    return Rating(
        rating_id=_need(row, "id"),
        ticket_id=_need(row, "ticket_id"),
        category=category,
        value=value,
        scale_max=scale_max,
        rated_at=rated_at,
        updated_at=rated_at if updated == created else moment(updated),
        comment=(row.get("feedback") or "").strip() or None,
        requester_id=as_id(row.get("user_id")),
        assignee_id=as_id(row.get("agent_id")),
        group_id=as_id(row.get("group_id")),
    )


def _place(code: Any, accepted: Sequence[int]) -> tuple[Category, int, int]:
    """Return category, position and length of the scale for one code; thresholds on raw codes would be wrong."""
    if type(code) is not int:
        raise ValueError(f"has {code!r:.40} in field 'ratings.default_question', which is no number")
    if code in CLASSIC:
        category, value = CLASSIC[code]
        return category, value, len(CLASSIC)
    if 0 <= code < NEUTRAL_CODE:
        raise ValueError(f"has the unknown code {code} in field 'ratings.default_question'")
    codes = accepted if code in accepted and len(accepted) > 1 else SEVEN_CODES
    category = Category.BAD if code < 0 else Category.NEUTRAL if code == NEUTRAL_CODE else Category.GOOD
    return category, max(1, bisect_right(codes, code)), len(codes)


# ------------------------------------------------------------------ survey responses, the newer system
@dataclass(frozen=True)
class Scale:
    """The scale of a survey's question about satisfaction: *labels* are ranges of values with what they mean."""

    question_id: str
    low: int
    high: int
    labels: tuple[tuple[int, int, Category], ...] = ()
    best_is_low: bool = False

    def position(self, value: int) -> int:
        """Return where *value* stands, 1 for the worst. Raises ValueError if it is not on the scale."""
        if not self.low <= value <= self.high:
            raise ValueError(f"has the answer {value}, which is not between {self.low} and {self.high}")
        return self.high - value + 1 if self.best_is_low else value - self.low + 1

    def category(self, value: int) -> Category:
        """Return the vendor's own class of *value*, else its third of the scale."""
        for low, high, category in self.labels:
            if low <= value <= high:
                return category
        # UNVERIFIED: score_ranges may be absent, or labelled in the account's own language
        steps, whole = 3 * (self.position(value) - 1), self.high - self.low
        return Category.BAD if steps <= whole else Category.GOOD if steps >= 2 * whole else Category.NEUTRAL


def scale_of(survey: Mapping[str, Any]) -> Scale:
    """Read the scale of a survey of the newer system; without a question about satisfaction it is Q_1, from 1 to 5."""
    questions = survey.get("questions") or ()
    asked = next((q for q in questions if q.get("question_identifier") == "CSAT"), None)
    asked = asked or next((q for q in questions if q.get("type") == "range"), None)
    if asked is None:
        return Scale("Q_1", 1, 5)
    scale = asked.get("scale") or {}
    values = [rating["value"] for rating in asked.get("ratings") or ()]
    low, high = scale.get("min", min(values, default=1)), scale.get("max", max(values, default=5))
    labels = tuple(_labelled(scale.get("score_ranges") or ()))
    return Scale(str(asked["id"]), low, max(high, low + 1), labels, _best_is_low(labels, scale.get("order")))


def _labelled(ranges: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, Category]]:
    words = (
        (_BAD, Category.BAD),
        (_NEUTRAL, Category.NEUTRAL),
        (_GOOD, Category.GOOD),
    )  # "dissatisfied" before "satisf"
    found = []
    for each in ranges:
        text = f"{each.get('id', '')} {each.get('label', '')}".lower()
        category = next((category for known, category in words if any(word in text for word in known)), None)
        if category:
            found.append((each["min"], each["max"], category))
    return found


def _best_is_low(labels: Sequence[tuple[int, int, Category]], order: Any) -> bool:
    """Labels say it for sure; UNVERIFIED: that an *order* like "DESC" means a scale that ends with its worst."""
    bad = [low for low, _, category in labels if category is Category.BAD]
    good = [low for low, _, category in labels if category is Category.GOOD]
    if bad and good:
        return min(bad) > max(good)
    return str(order or "").lower().startswith("desc")


def parse_response(row: Any, survey: Mapping[str, Any], scale: Scale) -> Rating | Malformed:
    """Read one response to a survey of the newer system."""
    try:
        return _response(row, survey, scale)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        return malformed("response", row, exc)


def _response(row: dict[str, Any], survey: Mapping[str, Any], scale: Scale) -> Rating:
    answers = {str(answer["question_id"]): answer["value"] for answer in row["answers"]}
    if scale.question_id not in answers:
        raise ValueError(f"has no answer to {scale.question_id}, the question about satisfaction")
    value = int(answers.pop(scale.question_id))
    kinds = {str(question.get("id")): question for question in survey.get("questions") or ()}
    picked = {key: said for key, said in answers.items() if kinds.get(key, {}).get("type") == "choice"}
    texts = [said for key, said in answers.items() if key not in picked and isinstance(said, str) and said.strip()]
    return Rating(
        rating_id=_need(row, "id"),
        ticket_id=_need(row, "ticket_id"),
        category=scale.category(value),
        value=scale.position(value),
        scale_max=scale.high - scale.low + 1,
        rated_at=moment(row["created_at"]),
        updated_at=moment(row.get("updated_at") or row["created_at"]),
        comment="\n".join(texts) or None,
        reason=next((_label(kinds[key], said) for key, said in picked.items()), None),
        requester_id=as_id(row.get("user_id")),
        assignee_id=as_id(row.get("agent_id")),
        group_id=as_id(row.get("group_id")),
    )


def _label(question: Mapping[str, Any], value: Any) -> str:
    choices = {choice.get("value"): choice.get("label") for choice in question.get("choices") or ()}
    return str(choices.get(value) or value)


# ------------------------------------------------------------------ both
def _need(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None or value is False:  # the documented answer to a new rating has `"id": false`
        raise KeyError(name)
    return str(value)


def malformed(what: str, row: Any, exc: Exception) -> Malformed:
    """Keep a record that cannot be read, with the reason: a *what* and its id, and what is wrong with it."""
    raw = json.dumps(row, ensure_ascii=False)
    own_id = row.get("id") if isinstance(row, dict) else None
    key = str(own_id) if own_id else hashlib.blake2b(raw.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return Malformed(key=key, raw=raw[:RAW_KEPT], error=f"{what} {key} {_complaint(row, exc)}")


def _complaint(row: Any, exc: Exception) -> str:
    if not isinstance(row, dict):
        return f"is {type(row).__name__}, not an object"
    if isinstance(exc, KeyError):
        name = "ratings.default_question" if exc.args[0] == "default_question" else exc.args[0]
        return f"has no field {name!r}"
    if isinstance(exc, ValueError):
        text = str(exc)
        return text[:200] if text.startswith("has ") else "has a time or number that cannot be read"
    missing = [name for name in ("ratings", "answers") if name in row and not row[name]]
    return f"has no field {missing[0]!r}" if missing else "has a field of a kind that cannot be read"
