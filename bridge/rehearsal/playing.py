"""Playing the scenes of a script: what was expected, what happened instead, and which rules no scene reaches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.model import Effect, EffectKind
from bridge.rehearsal.script import (
    NOBODY,
    NONE,
    NOTHING,
    AgentEntry,
    Expect,
    Scene,
    Script,
    ScriptFile,
    Step,
    TicketEntry,
    Variant,
    in_utc,
)
from bridge.rehearsal.stage import Happening, Stage
from bridge.rules import Rule, Rules, RuleTrace, in_force, inert

DOES = ("assign", "remind", "notify", "task", "send", "end")  # whatever of these a step does not expect is a failure


@dataclass(frozen=True)
class Result:
    """What became of one test, or of one ticket of it; it passed if *failures* is empty."""

    name: str
    line: int
    failures: tuple[str, ...]
    trace: tuple[RuleTrace, ...]
    took: str | None  # the entry of ignore or rules that took the ticket

    @property
    def passed(self) -> bool:
        """True if everything came as expected."""
        return not self.failures


@dataclass(frozen=True)
class Played:
    """The results of a whole script, and the rules and entries of ignore that no test reaches."""

    results: tuple[Result, ...]
    unreached: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if every test passed and every rule is reached by one."""
        return not self.unreached and all(result.passed for result in self.results)


def play(script: Script, rules: Rules, only: str = "") -> Played:
    """Play the scenes whose name contains *only*; with a selection no rule is said to be unreached."""
    results = tuple(_results(script, rules, only))
    reached = {result.took for result in results}
    names = [entry.name for entry in (*in_force(rules.ignore), *in_force(rules.rules))]
    return Played(results, () if only else tuple(name for name in names if name not in reached))


def is_noticed(script: Script, broken: Rules, only: str = "") -> bool:
    """True if a scene fails under *broken* rules."""
    return any(not result.passed for result in _results(script, broken, only))


def _results(script: Script, rules: Rules, only: str) -> Iterator[Result]:
    for number, scene in enumerate(script.file.tests):
        if only.casefold() in scene.name.casefold():
            yield from _play(script, rules, number, scene)


def _play(script: Script, rules: Rules, number: int, scene: Scene) -> Iterator[Result]:
    for index, variant in enumerate(scene.each):
        line = script.line("tests", number, "each", index)
        yield _perform(script.file, rules, scene, variant, name=f"{scene.name} [{index + 1}]", line=line)
    if scene.expect is not None or scene.steps:
        yield _perform(script.file, rules, scene, None, name=scene.name, line=script.line("tests", number))


def _perform(file: ScriptFile, rules: Rules, scene: Scene, variant: Variant | None, *, name: str, line: int) -> Result:
    now = in_utc(scene.now or file.now, rules.settings.timezone)
    entry = _over(_over(file.ticket, scene.ticket), variant)
    stage = Stage(rules, now, _people(file.agents, scene.agents), entry)
    expect = variant.expect if variant else scene.expect
    failures = [*_at_first(expect, stage)] if expect else []
    for step in () if variant else scene.steps:
        failures += _take(step, stage, now)
    took = stage.verdict.rule.name if stage.verdict.rule else None
    trace = tuple(rules.trace(stage.looked_at)) if failures else ()
    return Result(name, line, tuple(failures), trace, took)


def _over(base: TicketEntry, other: TicketEntry | None) -> TicketEntry:
    """Return a ticket with what another one says on top."""
    if other is None:
        return base
    own = {key: getattr(other, key) for key in other.model_fields_set & TicketEntry.model_fields.keys()}
    return base.model_copy(update=own)


def _people(base: Mapping[str, AgentEntry], others: Mapping[str, AgentEntry]) -> Mapping[str, AgentEntry]:
    """Return the agents of the file with what a scene says of them, and its own."""
    found = dict(base)
    for name, agent in others.items():
        own = {key: getattr(agent, key) for key in agent.model_fields_set}
        found[name] = found[name].model_copy(update=own) if name in found else agent
    return found


# ------------------------------------------------------------------ what was expected
def _take(step: Step, stage: Stage, begun: datetime) -> Iterator[str]:
    """Let time pass until a step, and somebody act; yield what did not come as expected since the step before."""
    known, planned = len(stage.happened), len(stage.effects)
    zone = stage.rules.settings.timezone
    at = step.at.at(begun, zone)
    stage.wait(at)
    if step.do:
        stage.do(step.do)
    if step.expect:
        seen = _state(stage, stage.effects[planned:]) | _deeds(stage.happened[known:])
        for failure in _unmet(step.expect, seen, {*step.expect.model_fields_set, *DOES}):
            yield f"{at.astimezone(zone):%a %d %b %H:%M}: {failure}"


def _at_first(expect: Expect, stage: Stage) -> Iterator[str]:
    """Yield what did not come as expected when the rating was decided about."""
    owner = stage.case.assignee_id or NOBODY if stage.case else NONE
    seen = _state(stage, stage.effects) | _deeds(stage.happened) | {"assign": [owner]}
    yield from _unmet(expect, seen, expect.model_fields_set)


def _unmet(expect: Expect, seen: Mapping[str, Sequence[str]], keys: Collection[str]) -> Iterator[str]:
    for key in type(expect).model_fields:
        if key not in keys:
            continue
        wanted = _texts(getattr(expect, key))
        if key == "note_contains":
            missing = [text for text in wanted if text not in seen[key][0]]
            if missing:
                yield f"expected a note with {_list(missing)}, got {inert(seen[key][0], 300) or 'no note'}"
        elif sorted(wanted) != sorted(seen[key]):
            yield f"expected {key}: {_list(wanted)}, got {_list(seen[key])}"


def _state(stage: Stage, effects: Sequence[Effect]) -> dict[str, Sequence[str]]:
    """Return how things are, and what *effects* do to the ticket, under the keys of `Expect`."""
    case, taken = stage.case, stage.verdict.rule
    changes = [effect.change for effect in effects]
    return {
        "rule": [taken.name if isinstance(taken, Rule) else NONE],
        "ignored_by": [taken.name if taken and not isinstance(taken, Rule) else NONE],
        "severity": [str(case.severity) if case else NONE],
        "playbook": [case.playbook if case else NONE],
        "stage": [str(case.stage) if case else NONE],
        "ticket": [_done_to_ticket(effects)],
        "priority": [next((change.priority for change in reversed(changes) if change.priority), NONE)],
        "tags": sorted({tag for change in changes for tag in change.add_tags if not tag.startswith("sr_")}),
        "note_contains": ["\n".join(change.note for change in changes if change.note)],
        "goodwill_up_to": [_goodwill(stage)],
    }


def _done_to_ticket(effects: Sequence[Effect]) -> str:
    if any(effect.kind is EffectKind.FOLLOW_UP for effect in effects):
        return "follow_up"
    if any(effect.change.reopen for effect in effects):
        return "reopen"
    return "note_only" if any(effect.change.note for effect in effects) else NOTHING


def _goodwill(stage: Stage) -> str:
    case, entry = stage.case, stage.entry
    if case is None:
        return NONE
    tags = (*entry.customer_tags, *entry.organization_tags)
    offer = stage.rules.goodwill_for(stage.rules.playbooks[case.playbook], case.severity, tags)
    return str(offer.up_to) if offer else NONE


def _deeds(happened: Sequence[Happening]) -> dict[str, Sequence[str]]:
    return {verb: sorted({one.what for one in happened if one.verb == verb}) for verb in DOES}


def _texts(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]


def _list(texts: Sequence[str]) -> str:
    return ", ".join(texts) or NOTHING
