"""Every scale of Freshdesk becomes bad, neutral or good and a position; what cannot be read is kept with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bridge.model import Category, Malformed, Rating
from connectors.freshdesk.scales import parse_rating, parse_response, scale_of, scales_of

BAD, NEUTRAL, GOOD = Category.BAD, Category.NEUTRAL, Category.GOOD
REFERENCE = Path(os.environ.get("BRIDGE_TEST_REFERENCE", "../shared/reference"))


def row(code: Any = -103, **changes: Any) -> dict[str, Any]:
    return {
        "id": 31, "survey_id": 5, "user_id": 8, "agent_id": 9, "group_id": None, "ticket_id": 23, "feedback": None,
        "created_at": "2026-11-20T15:02:29Z", "updated_at": "2026-11-20T15:02:29Z",
        "ratings": {"default_question": code},
    } | changes  # fmt: skip


def read(code: Any = -103, *, scale: list[int] | None = None, **changes: Any) -> Rating:
    found = parse_rating(row(code, **changes), {"5": scale} if scale else {})
    assert isinstance(found, Rating)
    return found


def complaint(record: Any) -> str:
    found = parse_rating(record, {})
    assert isinstance(found, Malformed)
    return found.error


SEVEN = [-103, -102, -101, 100, 101, 102, 103]
FIVE = [-103, -102, 100, 102, 103]
THREE = [-103, 100, 103]


@pytest.mark.parametrize(
    ("code", "scale", "category", "value", "scale_max"),
    [
        (-103, SEVEN, BAD, 1, 7),
        (-101, SEVEN, BAD, 3, 7),
        (100, SEVEN, NEUTRAL, 4, 7),
        (103, SEVEN, GOOD, 7, 7),
        (-102, FIVE, BAD, 2, 5),
        (102, FIVE, GOOD, 4, 5),
        (100, THREE, NEUTRAL, 2, 3),
        (103, [-103, 103], GOOD, 2, 2),
        (1, [1, 2, 3], GOOD, 3, 3),
        (2, [1, 2, 3], NEUTRAL, 2, 3),
        (3, [1, 2, 3], BAD, 1, 3),
        (3, None, BAD, 1, 3),
        (-102, None, BAD, 2, 7),
        (-101, THREE, BAD, 3, 7),  # a code that the survey does not know any more
        (-104, None, BAD, 1, 7),
        (103, [103], GOOD, 7, 7),  # a scale of one point is none
    ],
)
def test_a_code_has_its_category_and_its_place_on_the_scale(code, scale, category, value, scale_max):
    rating = read(code, scale=scale)

    assert (rating.category, rating.value, rating.scale_max) == (category, value, scale_max)


def test_minus_101_of_seven_is_two_and_a_third_of_five():
    assert read(-101, scale=SEVEN).point == pytest.approx(2.3333333)


def test_surveys_list_their_codes_in_any_order_and_are_sorted_from_the_worst():
    survey = {"id": 5, "questions": [{"id": "default_question", "accepted_ratings": [103, 100, -103]}]}

    assert scales_of([survey]) == {"5": [-103, 100, 103]}


def test_only_the_default_question_decides():
    rating = read(ratings={"default_question": 103, "question_7": -103})

    assert rating.category is GOOD


def test_a_rating_without_an_agent_is_read():
    assert read(agent_id=None).assignee_id is None


def test_a_blank_comment_is_no_comment():
    assert read(feedback=" \n").comment is None


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({k: v for k, v in row().items() if k != "ticket_id"}, "rating 31 has no field 'ticket_id'"),
        (row(ticket_id=None), "rating 31 has no field 'ticket_id'"),
        (row(ratings={}), "rating 31 has no field 'ratings.default_question'"),
        (row(ratings=None), "rating 31 has no field 'ratings'"),
        (row(50), "rating 31 has the unknown code 50 in field 'ratings.default_question'"),
        (row(True), "rating 31 has True in field 'ratings.default_question', which is no number"),
        (row(created_at="soon"), "rating 31 has a time or number that cannot be read"),
        (row(feedback=["x"]), "rating 31 has a field of a kind that cannot be read"),
    ],
)
def test_a_malformed_rating_says_what_is_wrong_with_it(record, error):
    assert complaint(record) == error


def test_a_record_without_an_id_is_known_by_its_text():
    one, same, other = (parse_rating(text, {}) for text in ("x", "x", "y"))

    assert isinstance(one, Malformed)
    assert one == same != other


def test_the_text_of_a_malformed_rating_is_bounded():
    found = parse_rating(row(50, feedback="x" * 100_000), {})

    assert isinstance(found, Malformed)
    assert len(found.raw) <= 4000


# ------------------------------------------------------------------ the newer system
def survey(**scale: Any) -> dict[str, Any]:
    asked = {"id": "Q_1", "type": "range", "question_identifier": "CSAT", "scale": {"min": 1, "max": 5} | scale}
    why = {"id": "Q_2", "type": "choice", "choices": [{"value": 1, "label": "Too slow"}]}
    return {"id": "s-1", "questions": [asked, why, {"id": "Q_3", "type": "paragraph"}]}


def response(value: Any, **answers: Any) -> dict[str, Any]:
    said = [
        {"question_id": key, "question_text": "?", "value": text} for key, text in {"Q_1": value, **answers}.items()
    ]
    return {
        "id": "r-1", "survey_id": "s-1", "user_id": "8", "agent_id": "9", "group_id": None, "ticket_id": 23,
        "answers": said, "created_at": "2026-11-20T15:02:29Z", "updated_at": "2026-11-20T15:02:29Z",
    }  # fmt: skip


def answered(value: Any, asked: dict[str, Any] | None = None, **answers: Any) -> Rating | Malformed:
    asked = asked or survey()
    return parse_response(response(value, **answers), asked, scale_of(asked))


@pytest.mark.parametrize(
    ("low", "high", "value", "category", "position"),
    [
        (1, 5, 1, BAD, 1),
        (1, 5, 2, BAD, 2),
        (1, 5, 3, NEUTRAL, 3),
        (1, 5, 4, GOOD, 4),
        (1, 7, 3, BAD, 3),
        (1, 7, 5, GOOD, 5),
        (0, 10, 3, BAD, 4),
        (0, 10, 4, NEUTRAL, 5),
        (0, 10, 7, GOOD, 8),
        (1, 2, 1, BAD, 1),
        (1, 5, "4", GOOD, 4),
    ],
)
def test_without_labels_the_lower_third_is_bad_and_the_upper_good(low, high, value, category, position):
    rating = answered(value, survey(min=low, max=high))

    assert isinstance(rating, Rating)
    assert (rating.category, rating.value, rating.scale_max) == (category, position, high - low + 1)


LABELS = [{"min": 1, "max": 3, "label": "Dissatisfied"}, {"min": 4, "max": 5, "label": "Satisfied"}]


@pytest.mark.parametrize(("value", "category"), [(3, BAD), (4, GOOD)])
def test_the_labels_of_the_account_decide_the_category(value, category):
    assert answered(value, survey(score_ranges=LABELS)).category is category


def test_a_scale_that_ends_with_its_worst_is_turned_round():
    turned = [{"min": 1, "max": 2, "label": "Happy"}, {"min": 4, "max": 5, "label": "Unhappy"}]

    rating = answered(5, survey(score_ranges=turned, order="ASC"))

    assert (rating.category, rating.value) == (BAD, 1)


def test_comment_and_reason_are_answers_to_other_questions():
    rating = answered(1, Q_2=1, Q_3="Nobody wrote back")

    assert (rating.comment, rating.reason) == ("Nobody wrote back", "Too slow")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (9, "response r-1 has the answer 9, which is not between 1 and 5"),
        ("x", "response r-1 has a time or number that cannot be read"),
    ],
)
def test_an_answer_off_the_scale_is_malformed(value, error):
    found = answered(value)

    assert isinstance(found, Malformed)
    assert found.error == error


# ------------------------------------------------------------------ recorded by others
@pytest.fixture(scope="session")
def recorded() -> dict[str, list[dict[str, Any]]]:
    file = REFERENCE / "samples/freshdesk/recorded.jsonl"
    if not file.exists():
        pytest.skip(f"the recorded records are not at {file}; set BRIDGE_TEST_REFERENCE")
    streams: dict[str, list[dict[str, Any]]] = {}
    for line in file.read_text().splitlines():
        record = json.loads(line)
        streams.setdefault(record["stream"], []).append(record["data"])
    return streams


def test_the_recorded_rating_is_read_as_it_is(recorded):
    rating = parse_rating(recorded["satisfaction_ratings"][0], scales_of(recorded["surveys"]))

    assert isinstance(rating, Rating)
    assert (rating.ticket_id, rating.category, rating.value, rating.scale_max) == ("23", GOOD, 3, 3)
    assert (rating.assignee_id, rating.requester_id, rating.comment) == ("67013469919", "67042965499", "test")
