"""A case goes on by the playbook that it began with, whatever rules.yaml says since; all else is today's."""

from __future__ import annotations

from pathlib import Path

from connectors.sandbox.company import company
from tests.bridge.second_question import DAY, LINK, Tell, rules
from tests.bridge.stories import MINUTE, MONDAY

SLOWER = ("- {within: 30m, until: acknowledged", "- {within: 3h, until: acknowledged")


def told(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """Return the steps of a case that began before an edit of the rules, 40 minutes after it was flagged."""
    with company(MONDAY, tmp_path / "state") as firm:
        before = firm.rules(share_of_rated="100%")
        with firm.bridge(before) as app:
            app.run()
            firm.pass_time(5 * MINUTE)
            firm.zendesk.rate(firm.solved_ticket("acme", "Ana", "Mia Maier"), "bad", "Nobody helped me")
            firm.pass_time(2 * MINUTE)
            app.run()
            case_id = app.store.cases()[0].case_id
        text = before.text
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        firm.pass_time(40 * MINUTE)
        with firm.bridge(firm.rules(text)) as app:
            app.run()
            assert app.failures == {}
            return [one.effect.step.split(":")[0] for one in app.store.effects_of(case_id)]


def test_an_edited_deadline_counts_for_new_cases_only(tmp_path: Path) -> None:
    assert told(tmp_path, SLOWER) == ["flag", "deadline"]


def test_a_playbook_that_is_renamed_stays_what_it_was_for_its_cases(tmp_path: Path) -> None:
    renamed = [
        ("  standard:\n", "  usual:\n"),
        ("like: standard", "like: usual"),
        ("playbook: standard", "playbook: usual"),
    ]

    assert told(tmp_path, *renamed) == ["flag", "deadline"]


def test_switches_are_those_of_today(tmp_path: Path) -> None:
    assert told(tmp_path, SLOWER, ("mode: live", "mode: shadow")) == ["flag"]


def test_a_link_lasts_as_long_as_its_case_waits(tell: Tell) -> None:
    by_link, shorter = ("by: auto", "by: link"), ("answer_within: 7d", "answer_within: 2d")
    story = tell("newer", by_link)
    story.begin()
    story.until_due()

    with story.firm.bridge(rules(story.firm, story.account, by_link, shorter)) as story.app:
        story.later(MINUTE)
        invitation = story.links.read(LINK.findall(story.questions()[-1].text)[0], story.firm.now())

        assert invitation.expires_at - story.firm.now() > 6 * DAY
