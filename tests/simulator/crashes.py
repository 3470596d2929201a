"""Every crash point: each kind of effect, and the process ends, or stands still beyond its lease, at every boundary.

    python -m tests.simulator.crashes                           the table: every single boundary, a sample of pairs
    python -m tests.simulator.crashes --pairs                   every pair
    python -m tests.simulator.crashes "one ticket" crash@41 pause@60      one of them, told at length

Where nothing that others can see lies between two boundaries, a crash has the same consequences at both: pairs, and
the tests, take one of those. A pause means two machines: the other one starts while the first stands still.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from random import Random

from tests.simulator.scenes import BY_NAME, NEVER, SCENES, SEED, Plan, Scene, play, read, wrong

SAMPLE = 4  # pairs of each scene where not all are asked for


# ------------------------------------------------------------------ where
def crashes(names: Sequence[str], behind: int = 0, *, every: bool = False) -> list[int]:
    """Return the boundaries behind one at which a crash is to be tried: all, or the first after each change."""
    changed = {at for at, name in enumerate(names, 1) if name.endswith(": after") and not name.startswith("GET")}
    return [at for at in range(behind + 1, len(names) + 1) if every or at in changed or at == 1]


def pauses(names: Sequence[str], behind: int = 0, *, every: bool = False) -> list[int]:
    """Return the boundaries behind one at which a pause is to be tried: all, or at decisions and from claim to end."""
    ends = [at for at, name in enumerate(names, 1) if name.startswith(("finish", "postpone"))]
    sent = min((at for at, name in enumerate(names, 1) if name == "intend: before"), default=1)
    first = max((at for at, name in enumerate(names, 1) if name == "claim: before" and at < sent), default=1)
    decided = {at for at, name in enumerate(names, 1) if name.startswith("save_all")}
    last = max(ends, default=len(names))
    return [at for at in range(behind + 1, len(names) + 1) if every or first <= at <= last or at in decided]


def singles(names: Sequence[str], *, every: bool = False) -> Iterator[Plan]:
    """Yield a plan for each boundary at which the process ends, and for each at which it stands still."""
    yield from ({at: "crash"} for at in crashes(names, every=every))
    yield from ({at: "pause"} for at in pauses(names, every=every))


def pairs(scene: Scene, names: Sequence[str]) -> Iterator[Plan]:
    """Yield every plan of two; what comes first decides where the second can come."""
    for first in singles(names):
        at = max(first)
        after = play(scene, {**first, NEVER: "crash"}).names
        yield from ({**first, second: "crash"} for second in crashes(after, at))
        if first[at] == "crash":
            yield from ({**first, second: "pause"} for second in pauses(after, at))


def some_pairs(scene: Scene, names: Sequence[str], count: int) -> Iterator[Plan]:
    """Yield so many of the pairs, drawn."""
    chance, firsts = Random(f"{scene.name} {SEED}"), list(singles(names))
    for first in chance.sample(firsts, min(count, len(firsts))):
        after = play(scene, {**first, NEVER: "crash"}).names
        if seconds := crashes(after, max(first)):
            yield {**first, chance.choice(seconds): "crash"}


# ------------------------------------------------------------------ the table
def main(words: list[str]) -> int:
    """Print the table, or tell one playing; returns 1 if anything is wrong."""
    if words and words[0] in BY_NAME:
        scene, plan = BY_NAME[words[0]], read(words[1:])
        failed = wrong(scene, plan, play(scene, {}).happened)
        for line in [*play(scene, plan, is_told=True).trace, *failed]:
            sys.stdout.write(f"{line}\n")
        return bool(failed)
    sys.stdout.write(f"{'':<26}{'boundaries':>11}{'singles':>9}{'pairs':>7}{'violations':>12}\n")
    failed = [line for scene in SCENES for line in _row(scene, all_pairs="--pairs" in words)]
    for line in failed:
        sys.stdout.write(f"{line}\n")
    return bool(failed)


def _row(scene: Scene, *, all_pairs: bool) -> list[str]:
    quiet = play(scene, {})
    alone = list(singles(quiet.names, every=True))
    failed = [line for plan in alone for line in wrong(scene, plan, quiet.happened)]
    twos = pairs(scene, quiet.names) if all_pairs else some_pairs(scene, quiet.names, SAMPLE)
    count = 0
    for plan in twos:
        count += 1
        failed += wrong(scene, plan, quiet.happened)
    sys.stdout.write(f"{scene.name:<26}{len(quiet.names):>11}{len(alone):>9}{count:>7}{len(failed):>12}\n")
    sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
