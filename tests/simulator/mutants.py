"""Guards that are themselves tested: the program with one guard taken out, in a scene that shows what it is good for.

    python -m tests.simulator.mutants                     the list
    python -m tests.simulator.mutants "settle time"       searches its scene for a plan that is objected to
    python -m tests.simulator.mutants "settle time" 0 500     plays seeds instead

A mutant is the text of a file with a passage exchanged, which must stand there exactly once: whoever moves a guard is
told. A process that has imported everything forks for each, forgets our modules, and imports them again so exchanged.
"""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).parents[2]
OURS = ("bridge", "connectors", "tests.simulator")
MOST = 120  # plans of a search, where the one that is kept shows nothing any more


@dataclass(frozen=True)
class Edit:
    """One text of a file, and what stands there in a mutant."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """The program without one guard; *edits* of several where one alone would be caught by the other."""

    name: str
    edits: tuple[Edit, ...]
    scene: str
    search: str = ""  # what goes wrong there, in its order: "pause", "late crash"
    kept: str = ""  # the plan that was objected to first: "pause@41"
    covered_by: str = ""  # what else protects, where nothing is objected to


def one(name: str, file: str, old: str, new: str, **where: str) -> Mutant:
    """Return a mutant of one edit."""
    return Mutant(name, (Edit(file, old, new),), **where)


EFFECTS, DELIVERY, ENGINE = "bridge/store/effects.py", "bridge/delivery.py", "bridge/engine.py"
ZENDESK, BODIES, FRESHDESK = (
    "connectors/zendesk/writes.py",
    "connectors/zendesk/bodies.py",
    "connectors/freshdesk/writes.py",
)
MUTANTS = (
    one(
        "epoch", EFFECTS,
        "for row in held if row.lease_epoch == epochs[row.effect_id]}",
        "for row in held}",
        scene="a ticket and its note", search="pause stall",
        kept="pause@50 stall@78",
    ),
    one(
        "intent before the write", DELIVERY,
        "if not self._intend([claims[key] for key in effect_ids]):",
        "if not claims:",
        scene="a ticket and its note", search="lost",
        kept="lost@57",
    ),
    one(
        "settle time", DELIVERY,
        "if self.now() >= settled_at:",
        "if self.now() >= claim.last_sent_at:",
        scene="a ticket and its note", search="late crash",
        kept="late@61 crash@62",
    ),
    one(
        "two seconds of a stamp", DELIVERY,
        "STAMP_SETTLES_WITHIN = timedelta(seconds=2)",
        "STAMP_SETTLES_WITHIN = timedelta(seconds=-9)",
        scene="one ticket", search="tag tag",
        kept="tag@18 tag@41",
    ),
    one(
        "condition", BODIES,
        'return {"safe_update": True, "updated_stamp": stamp}',
        "return {}",
        scene="one ticket", search="tag",
        kept="tag@41",
    ),
    one(
        "tags are merged on Zendesk", BODIES,
        "kept = [tag for tag in write.ticket.tags if not tag.startswith(MARKER_TAG) and tag not in passing]",
        "kept = [tag for tag in write.ticket.tags if tag.startswith('sr_') and tag not in passing]",
        scene="one ticket",
    ),
    one(
        "tags are merged on Freshdesk", "connectors/freshdesk/questions.py",
        "return [*there, *new] if new else None",
        "return [*new] if new else None",
        scene="a ticket and its note",
    ),
    Mutant(
        "both markers",
        (
            Edit(ZENDESK, "if mark_of(write) in write.ticket.tags:", "if mark_of(write) in ():"),
            Edit(
                ZENDESK,
                "if not write.repeat or write.change.note is None or write.effect.kind is EffectKind.FOLLOW_UP:",
                "if write:",
            ),
        ),
        scene="one ticket", search="lost",
        kept="lost@48",
    ),
    one(
        "marker in the note on Freshdesk", FRESHDESK,
        'return not any(ref in f"{note.get(\'body_text\')} {note.get(\'body\')}" for note in notes)',
        "return not any(ref == note for note in notes)",
        scene="a ticket and its note", search="lost",
        kept="lost@61",
    ),
    one(
        "idempotency key of a new ticket", ZENDESK,
        '{"Idempotency-Key": write.effect.marker}',
        "{}",
        scene="a follow-up ticket", search="late",
        kept="late@48",
    ),
    one(
        "read again after a conflict", DELIVERY,
        "self.engine.reading.forget(claim.effect.account, [claim.effect.ticket_id])\n        match news.verdict:",
        "match news.verdict:",
        scene="one ticket", search="tag",
        kept="tag@41",
    ),
    one(
        "a human's choice", "bridge/recovery.py",
        "if effect.kind is EffectKind.UPDATE and chosen_by_human:",
        "if effect.kind is EffectKind.FOLLOW_UP and chosen_by_human:",
        scene="one ticket",
        search="crash give",
        kept="crash@42 give@58",
    ),
    one(
        "a mail that may have left is not repeated", DELIVERY,
        "if claim.last_sent_at is not None:\n            self._finish(claim, EffectState.ADOPTED,",
        "if claim.job is not None:\n            self._finish(claim, EffectState.ADOPTED,",
        scene="a question by mail", search="crash",
        kept="crash@96",
    ),
    one(
        "ratings and cursor together", "bridge/store/ratings.py",
        "with self._writing() as tx:\n            fresh, known = _add(tx, account, page.ratings,",
        "with self._writing() as tx:\n            _direct(tx, _PUT_CURSOR, (account, stream, page.cursor))\n"
        "        with self._writing() as tx:\n            fresh, known = _add(tx, account, page.ratings,",
        scene="a rating after an outage",
        search="crash",
        kept="crash@18",
    ),
    one(
        "polls overlap on Freshdesk", "connectors/freshdesk/csat.py",
        "OVERLAP = timedelta(minutes=15)",
        "OVERLAP = timedelta()",
        scene="a late rating on Freshdesk",
    ),
    one(
        "daily sweep", ENGINE,
        "SWEEP_EVERY = timedelta(days=1)",
        "SWEEP_EVERY = timedelta(days=100)",
        scene="a rating far too late",
    ),
    one(
        "who held the ticket when it was rated", "bridge/deciding.py",
        "return self.desk.past_holder(rating.ticket_id, rating.rated_at)",
        "return self.tickets[rating.ticket_id].assignee_id",
        scene="a ticket given away",
    ),
    one(
        "original agent first", "bridge/owner.py",
        'LadderStep(ORIGINAL_AGENT, original, f"{self.staff.name(original)} held',
        'LadderStep(ORIGINAL_AGENT, None, f"{self.staff.name(original)} held',
        scene="one ticket",
    ),
)  # fmt: skip

# What one of these is good for, another guard is good for as well: nothing is objected to.
REDUNDANT = (
    one(
        "state check", EFFECTS,
        ".where(_EFFECTS, effect.c.epoch == _EPOCH, UNFINISHED)",
        ".where(_EFFECTS, effect.c.epoch == _EPOCH)",
        scene="one ticket", search="pause",
        covered_by="what is finished is also given back (its epoch is NULL), so that no claim holds it",
    ),
    one(
        "given back", EFFECTS,
        "_LET_GO = update(effect).where(_EFFECTS).values(epoch=None)",
        "_LET_GO = update(effect).where(_EFFECTS).values(epoch=effect.c.epoch)",
        scene="one ticket",
        covered_by="the epoch of whoever comes back is older, and what is finished is asked for",
    ),
    one(
        "lease", EFFECTS,
        "_FREE = or_(cases.c.lease_until.is_(None), cases.c.lease_until <= _NOW)",
        "_FREE = or_(cases.c.lease_until.is_(None), cases.c.lease_until.is_not(None), cases.c.lease_until <= _NOW)",
        scene="a question by mail", search="pause",
        covered_by="the epoch refuses whoever was overtaken; the lease saves the work of the other",
    ),
    one(
        "a write waits for the one before it", EFFECTS,
        "select(func.min(effect.c.place)).where(UNFINISHED, ~_ALERT).group_by(effect.c.case_id)",
        "select(func.min(effect.c.place)).where(UNFINISHED, ~_ALERT).group_by(effect.c.effect_id)",
        scene="a second rating", search="crash",
        covered_by="in these scenes a case plans its next write when the last one has ended",
    ),
    one(
        "marker tag", ZENDESK,
        "if mark_of(write) in write.ticket.tags:",
        "if mark_of(write) in ():",
        scene="one ticket", search="lost",
        covered_by="the note with our reference is found",
    ),
    one(
        "marker in the note on Zendesk", ZENDESK,
        "if not write.repeat or write.change.note is None or write.effect.kind is EffectKind.FOLLOW_UP:",
        "if write:",
        scene="one ticket", search="lost",
        covered_by="the tag is found",
    ),
    one(
        "marker field on Freshdesk", FRESHDESK,
        "return write.repeat and write.ticket.marker == write.effect.marker",
        "return False",
        scene="a survey of Freshdesk", search="lost",
        covered_by="a PUT sends only what differs, and SURVEYED_TAG says that a question may have left",
    ),
    one(
        "new ticket looked for on Zendesk", ZENDESK,
        "if write.repeat and (made := self._existing(write)):",
        "if not write and (made := self._existing(write)):",
        scene="a follow-up ticket", search="lost",
        covered_by="the helpdesk knows the idempotency key, for two hours",
    ),
    one(
        "the job is noted", DELIVERY,
        "self.store.accepted([claims[key] for key in effect_ids], job)",
        "pass",
        scene="a batch of tickets", search="crash",
        covered_by="whichever of two conditional writes comes second is stale",
    ),
    one(
        "version of a case", "bridge/store/cases.py",
        'cases.c.version == bindparam("at"))\n    .values(\n        written_after',
        'bindparam("at") == bindparam("at"))\n    .values(\n        written_after',
        scene="one rung up on Zendesk", search="pause",
        covered_by="who was overtaken has lost the rating's row, or the claim, before",
    ),
    one(
        "polls overlap on Zendesk", "connectors/zendesk/csat.py",
        "OVERLAP = timedelta(minutes=15)",
        "OVERLAP = timedelta()",
        scene="a late rating on Zendesk",
        covered_by="the list is read whole, or the export goes by when a ticket was written",
    ),
)  # fmt: skip
BY_NAME = {mutant.name: mutant for mutant in (*MUTANTS, *REDUNDANT)}


# ------------------------------------------------------------------ exchanging the text of a file
class Exchanged(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Finds the modules of a mutant, and loads them with its text."""

    def __init__(self, mutant: Mutant) -> None:
        self.texts: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        for edit in mutant.edits:
            name = edit.file.removesuffix(".py").replace("/", ".")
            text = self.texts.get(name) or (TOP / edit.file).read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                raise LookupError(f"{mutant.name}: {edit.old!r} stands {text.count(edit.old)} times in {edit.file}")
            self.texts[name], self.paths[name] = text.replace(edit.old, edit.new), str(TOP / edit.file)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how to load a module that is exchanged."""
        return importlib.util.spec_from_loader(fullname, self) if fullname in self.texts else None

    def get_filename(self, fullname: str) -> str:
        """Return the file that a module has without us."""
        return self.paths[fullname]

    def get_data(self, path: str | bytes) -> bytes:
        """Return the exchanged text."""
        return next(self.texts[name] for name, one in self.paths.items() if one == path).encode()


def become(mutant: Mutant) -> None:
    """Forget our modules, and import them again as this mutant."""
    finder = Exchanged(mutant)
    for name in [name for name in sys.modules if name.startswith(OURS) and name != __name__]:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)


def hunt(mutant: Mutant) -> tuple[str, str] | None:
    """Play the scene of a mutant, undisturbed, as it was objected to once, and then under every plan of its search.

    Returns the plan and what was said. Once in a process, for it becomes the mutant.
    """
    become(mutant)
    scenes = importlib.import_module("tests.simulator.scenes")
    scene = scenes.BY_NAME[mutant.scene]
    quiet = scenes.play(scene, {})
    if quiet.violations:
        return "", quiet.violations[0]
    plans = itertools.chain([scenes.read(mutant.kept.split())] if mutant.kept else [], searched(mutant, quiet.names))
    for plan in itertools.islice(plans, MOST):
        if said := scenes.wrong(scene, plan, quiet.happened):
            return scenes.told(plan), said[0].partition(": ")[2]
    return None


def searched(mutant: Mutant, names: Sequence[str]) -> Iterator[Mapping[int, str]]:
    """Yield the plans of a search; where the second thing can happen depends on the first."""
    scenes = importlib.import_module("tests.simulator.scenes")
    words = mutant.search.split()
    for at in places(words[0], names) if words else ():
        if len(words) == 1:
            yield {at: words[0]}
            continue
        after = scenes.play(scenes.BY_NAME[mutant.scene], {at: words[0], scenes.NEVER: "crash"}).names
        seconds = range(at + 1, at + 9) if words[0] in scenes.FAULTS else places(words[1], after)
        yield from ({at: words[0], second: words[1]} for second in seconds if second > at)


def places(word: str, names: Sequence[str]) -> Sequence[int]:
    """Return the boundaries at which something can go wrong."""
    where = importlib.import_module("tests.simulator.crashes")
    if word in ("lost", "late", "stall"):
        return [at for at, name in enumerate(names, 1) if re.match(r"(PUT|POST) /api.*: before", name)]
    found: Sequence[int] = where.crashes(names) if word in ("crash", "outage") else where.pauses(names)
    return found


# ------------------------------------------------------------------ one process for many
def serve() -> None:
    """Hunt each mutant whose name comes in on a line, in a process of its own; answers with `plan: what was said`."""
    importlib.import_module("tests.simulator.crashes")  # and with it the libraries, once for all
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answer(BY_NAME[line.strip()])
            return
        os.waitpid(child, 0)


def answer(mutant: Mutant) -> None:
    """Print what a hunt has found."""
    try:
        found = hunt(mutant)
        said = f"{found[0] or 'undisturbed'}: {found[1]}" if found else "survives"
    except LookupError as exc:
        said = f"cannot be made: {exc}"
    sys.stdout.write(" ".join(said.split()) + "\n")
    sys.stdout.flush()


def play_seeds(mutant: Mutant, seeds: Iterable[int]) -> str:
    """Play seeds as this mutant until one is objected to."""
    become(mutant)
    simulate = importlib.import_module("tests.simulator").simulate
    for seed in seeds:
        if violations := simulate(seed).violations:
            return f"seed {seed}: {violations[0]}"
    return "survives"


def main(words: list[str]) -> None:
    """Hunt one mutant, or list them all."""
    if words == ["--serve"]:
        serve()
    elif not words:
        for mutant in MUTANTS:
            sys.stdout.write(f"{mutant.name}: {', '.join(dict.fromkeys(edit.file for edit in mutant.edits))}\n")
    elif len(words) > 1:
        seeds = range(int(words[1]), int(words[1]) + int(words[2]))
        sys.stdout.write(f"{play_seeds(BY_NAME[words[0]], seeds)}\n")
    else:
        answer(BY_NAME[words[0]])


if __name__ == "__main__":
    main(sys.argv[1:])
