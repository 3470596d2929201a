"""Zendesk's ratings, both CSATs: the vendor's sample payloads as they are, and what is wrong with a record."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.errors import BadRecord
from bridge.model import Category
from connectors.zendesk.ratings import (
    Surveys,
    holder_added,
    legacy_rating,
    read_rows,
    read_surveys,
    survey_rating,
    unknown_reasons,
)

SAMPLES = Path(os.environ.get("BRIDGE_TEST_REFERENCE", "../shared/reference")) / "samples" / "zendesk"
FIVE = Surveys({"01K0BBBBBBBBBBBBBBBBBBBBBB": [1, 2, 3, 4, 5]})


def sample(name):
    if not SAMPLES.is_dir():
        pytest.skip("the vendors' sample payloads are absent; BRIDGE_TEST_REFERENCE names their folder")
    return json.loads((SAMPLES / name).read_text())


def legacy(**changes):
    row = {"id": 31, "ticket_id": 7, "score": "bad", "created_at": "2026-11-10T09:00:00Z",
           "updated_at": "2026-11-11T10:15:00Z", "requester_id": 70, "assignee_id": 80, "group_id": 60}  # fmt: skip
    return {name: value for name, value in (row | changes).items() if value != "absent"}


def answered(rating=2, category="bad", sub_type="customer_satisfaction", **changes):
    at = {"created_at": "2026-11-11T10:15:00.000Z", "updated_at": "2026-11-11T10:15:00.000Z"}
    question = {"id": "Q1", "type": "rating_scale_numeric", "sub_type": sub_type}
    scored = {"type": "rating_scale", "rating": rating, "rating_category": category, "question": question, **at}
    row = {"id": "R1", "responder_id": 70, "subject_zrns": ["zen:ticket:7"], "survey": {"id": "S", "version": 4},
           "answers": [scored]}  # fmt: skip
    return row | changes


def picked(option):
    return {"type": "closed_ended", "selections": [{"type": "predefined", "option_id": option}],
            "question": {"id": "Q2"}, "created_at": "2026-11-11T10:15:00Z",
            "updated_at": "2026-11-12T08:00:00Z"}  # fmt: skip


# ------------------------------------------------------------------ the vendor's samples
def test_the_legacy_sample_is_a_bad_rating_of_the_moment_it_was_answered():
    [rating] = [legacy_rating(row) for row in sample("legacy_rating_list.json")["satisfaction_ratings"]]

    assert (rating.rating_id, rating.ticket_id, rating.category, rating.value, rating.scale_max) == (
        "9100001", "501", Category.BAD, 1, 2)  # fmt: skip
    assert rating.rated_at == datetime(2026, 11, 11, 10, 15, tzinfo=UTC)
    assert (rating.assignee_id, rating.group_id, rating.requester_id) == ("8001", "6001", "7001")
    assert (rating.comment, rating.reason) == ("Waited five days", "The issue took too long to resolve")


def test_the_survey_sample_is_a_bad_rating_with_its_comment():
    first, second = sample("survey_response_list.json")["survey_responses"]

    rating = survey_rating(first, FIVE)

    assert (rating.rating_id, rating.ticket_id) == ("01K0AAAAAAAAAAAAAAAAAAAAAA", "501")
    assert (rating.category, rating.value, rating.scale_max, rating.point) == (Category.BAD, 2, 5, 2.0)
    assert (rating.comment, rating.requester_id, rating.assignee_id) == ("Waited five days", "7001", None)
    assert survey_rating(second, FIVE) is None  # offered, not answered


# ------------------------------------------------------------------ legacy
@pytest.mark.parametrize("score", ["offered", "unoffered"])
def test_an_offer_is_no_rating(score):
    assert legacy_rating(legacy(score=score)) is None


def test_good_is_two_of_two():
    rating = legacy_rating(legacy(score="good"))

    assert (rating.category, rating.value, rating.point) == (Category.GOOD, 2, 5.0)


def test_a_rating_may_have_no_assignee():
    rating = legacy_rating(legacy(assignee_id=None, group_id=None))

    assert (rating.assignee_id, rating.group_id) == (None, None)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ticket_id": "absent"}, "rating 31 has no field 'ticket_id'"),
        ({"ticket_id": None}, "rating 31 has no field 'ticket_id'"),
        ({"score": "absent"}, "rating 31 has no field 'score'"),
        ({"updated_at": "absent"}, "rating 31 has no field 'updated_at'"),
        ({"id": "absent"}, "rating (no id) has no field 'id'"),
        ({"score": "excellent"}, "rating 31: field 'score' is none of bad, good, offered, unoffered"),
        ({"score": ["bad"]}, "rating 31: field 'score' is none of bad, good, offered, unoffered"),
        ({"updated_at": "yesterday"}, "rating 31: a field has a type that it should not have"),
        ({"ticket_id": {"id": 7}}, "rating 31: a field has a type that it should not have"),
        ({"comment": {"html": "x"}}, "rating 31: a field has a type that it should not have"),
    ],
)
def test_a_legacy_rating_that_cannot_be_read_says_why(changes, error):
    with pytest.raises(BadRecord) as caught:
        legacy_rating(legacy(**changes))

    assert str(caught.value) == error


@pytest.mark.parametrize("row", [None, 7, "bad", ["bad"]])
def test_a_row_that_is_no_object_is_malformed(row):
    _, [malformed] = read_rows([row], legacy_rating)

    assert malformed.error == "rating is not a JSON object"


def test_a_malformed_row_is_kept_bounded_and_does_not_block_its_neighbours():
    rows = [legacy(id=1), legacy(id=2, ticket_id=None, comment="x" * 100_000), legacy(id=3)]

    ratings, [malformed] = read_rows(rows, legacy_rating)

    assert [rating.rating_id for rating in ratings] == ["1", "3"]
    assert (malformed.key, len(malformed.raw)) == ("2", 4000)


def test_a_time_with_an_offset_is_turned_to_utc():
    rating = legacy_rating(legacy(updated_at="2026-11-11T12:15:00+02:00"))

    assert rating.rated_at.isoformat() == "2026-11-11T10:15:00+00:00"


# ------------------------------------------------------------------ new CSAT
@pytest.mark.parametrize(
    ("scale", "rating", "value", "scale_max"),
    [
        ([1, 2], 1, 1, 2),
        ([1, 3, 5], 3, 2, 3),  # the position counts, not the number
        ([1, 2, 3, 4, 5], 4, 4, 5),
        ([], 4, 4, 5),  # unknown scale: taken for five
        ([1, 2], 5, 5, 5),  # answered on an older version of the survey
    ],
)
def test_the_value_is_the_position_on_the_scale_of_the_survey(scale, rating, value, scale_max):
    found = survey_rating(answered(rating), Surveys({"S": scale}))

    assert (found.value, found.scale_max) == (value, scale_max)


def test_the_scale_of_the_very_version_wins():
    surveys = Surveys({"S": [1, 2, 3, 4, 5], "S/4": [1, 2, 3]})

    assert survey_rating(answered(3), surveys).scale_max == 3


def test_the_newest_answer_is_the_last_change_and_the_score_is_the_rating():
    row = answered()
    row["answers"].append(picked("O1"))

    found = survey_rating(row, Surveys())

    assert found.rated_at == datetime(2026, 11, 11, 10, 15, tzinfo=UTC)
    assert found.updated_at == datetime(2026, 11, 12, 8, tzinfo=UTC)


def test_a_reason_has_its_words_or_at_least_its_id():
    row = answered()
    row["answers"].append(picked("O1"))

    assert survey_rating(row, Surveys(reasons={"O1": "Too slow"})).reason == "Too slow"
    assert survey_rating(row, Surveys()).reason == "O1"
    assert unknown_reasons(row, Surveys()) == ["O1"]


def test_a_scale_that_does_not_ask_for_satisfaction_is_no_rating():
    assert survey_rating(answered(sub_type="other"), FIVE) is None


def test_an_answer_about_a_ticket_among_several_subjects_is_of_the_ticket():
    row = answered(subject_zrns=["zen:conversation:1-2", "zen:ticket:9"])

    assert survey_rating(row, FIVE).ticket_id == "9"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (answered(subject_zrns=["zen:conversation:1-2"]), "survey response R1 has no field 'ticket'"),
        (answered(category="awful"), "survey response R1: a field has a type or value that it should not have"),
        (answered(rating=9), "survey response R1: a field has a type or value that it should not have"),
        (answered(answers="none"), "survey response R1: a field has a type or value that it should not have"),
        ("R1", "survey response is not a JSON object"),
    ],
)
def test_a_survey_response_that_cannot_be_read_says_why(row, error):
    with pytest.raises(BadRecord) as caught:
        survey_rating(row, FIVE)

    assert str(caught.value) == error


def test_a_response_gets_its_holder_from_a_ticket_that_only_the_rating_has_changed():
    rating = survey_rating(answered(), FIVE)
    ticket = {"assignee_id": 80, "group_id": None, "updated_at": "2026-11-11T10:15:01Z"}

    assert holder_added(rating, ticket) == replace(rating, assignee_id="80", group_id=None)
    assert holder_added(rating, None) is rating


def test_somebody_may_have_taken_a_ticket_that_changed_after_its_rating():
    rating = survey_rating(answered(), FIVE)

    assert holder_added(rating, {"assignee_id": 80, "group_id": None, "updated_at": "2026-11-11T11:00:00Z"}) is rating


def test_surveys_tell_their_scales_and_the_words_of_their_reasons():
    options = [{"rating": rating, "label": str(rating)} for rating in (3, 1, 2)]
    reasons = [{"id": "O1", "label": {"type": "static", "value": "Too slow"}}, {"id": "O2", "label": "Rude"}, {"id": 3}]
    survey = {"id": "S", "version": 4, "questions": [
        {"type": "rating_scale_numeric", "sub_type": "customer_satisfaction", "options": options},
        {"type": "closed_ended", "options": reasons}]}  # fmt: skip

    surveys = read_surveys([survey])

    assert surveys.scale_of({"id": "S", "version": 4}) == [1, 2, 3]
    assert surveys.reasons == {"O1": "Too slow", "O2": "Rude"}
