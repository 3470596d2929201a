"""What was pasted into the text and does not belong there: secrets, merge conflicts, characters that only look right.

These are looked for in the lines as they stand, comments too, before anything is made of them.
"""

from __future__ import annotations

import re

from bridge.rules.problems import Reporter, Spot, looks_random

QUOTES = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb"  # typographic ones: YAML takes them for letters
SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"  # other than the plain one
INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
STRAIGHT_QUOTES = 'typographic quotes are letters like others here; write straight ones: "'

_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONFLICT = re.compile(r"(?:<{7}|>{7}|\|{7})(?: .*)?|={7}")
_ODD_SPACE = re.compile(rf"(?:[ ]*-?[ ]*|\s*(?:- +)*[\w.-]+:)([{SPACES}])")
_NAMED_SECRET = re.compile(
    r"(api[ _-]?(?:key|token)|client[ _-]?secret|webhook[ _-]?secret|secret|token|password|passwd)"
    r"[\"']?\s*[:=]\s*[\"']?(?![\s\"'{$#])([^\s\"',}]{8,})",
    re.IGNORECASE,
)
_SLACK = re.compile(r"hooks\.slack\.com/services/|\bxox[a-z]-[A-Za-z0-9-]{8,}")
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]{20,}")
_MOST = 10  # of one kind
_WHERE = "delete it and make a new one, for this file is read by many; it belongs into the environment, as"
NAMED_LIKE_A_SECRET = re.compile(
    r"(?:api|client|webhook|access)?[ _-]?(?:key|token|secret|password|passwd|apikey)", re.IGNORECASE
)
PUT_ELSEWHERE = "no secret belongs in this file; put it into the environment, as BRIDGE_<ACCOUNT>_API_KEY or the like"


def look_over(text: str, report: Reporter) -> bool:
    """Report what does not belong into a text; False if there is no point in reading on."""
    unreadable = _characters(text, report) + _conflicts(text, report)
    if not text.isascii():
        _odd_spaces(report)
    if any(pattern.search(text) for pattern in (_NAMED_SECRET, _SLACK, _RUN)):
        _secrets(report)
    return not unreadable


def _characters(text: str, report: Reporter) -> int:
    """Report control characters; the parser would only give a byte position."""
    if text.isascii() and text.isprintable():
        return 0
    found = [
        (Spot(number, one.start() + 1), f"control character U+{ord(one[0]):04X}; delete it")
        for number, line in enumerate(report.lines, 1)
        for one in _FORBIDDEN.finditer(line)
    ]
    for spot, message in found[:_MOST]:
        report.error(spot, message)
    return len(found)


def _conflicts(text: str, report: Reporter) -> int:
    """Report what git leaves where two people changed the same lines."""
    if "<" * 7 not in text:
        return 0
    found = [(n, line) for n, line in enumerate(report.lines, 1) if _CONFLICT.fullmatch(line)]
    is_conflict = any(line.startswith("<" * 7) for _, line in found)
    for number, line in found[:_MOST] if is_conflict else ():
        advice = "two versions of this part were merged and contradict each other; keep one, and delete this line"
        report.error(Spot(number, 1, len(line)), advice)
    return len(found) if is_conflict else 0


def _odd_spaces(report: Reporter) -> None:
    """Report spaces that are no plain ones where YAML wants plain ones: in front, and behind a colon or dash."""
    for number, line in enumerate(report.lines, 1):
        if not line.isascii() and (found := _ODD_SPACE.match(line)):
            name = "no-break space" if found[1] in "\u00a0\u202f" else f"space U+{ord(found[1]):04X}"
            report.error(Spot(number, found.start(1) + 1), f"a {name} is no space here; type a plain one over it")


def _secrets(report: Reporter) -> None:
    for number, line in enumerate(report.lines, 1):
        if found := _NAMED_SECRET.search(line):
            name = re.sub("[^A-Z]+", "_", found[1].upper())
            spot = Spot(number, found.start(2) + 1, len(found[2]))
            report.error(spot, f"no secret belongs in this file; {_WHERE} BRIDGE_<ACCOUNT>_{name}")
        elif found := _SLACK.search(line):
            spot = Spot(number, found.start() + 1, len(found[0]))
            report.error(spot, f'whoever has this may post: {_WHERE} BRIDGE_SLACK_WEBHOOK; here write "#channel"')
        elif found := _random_run(line):
            advice = f"this looks like a key; if it is one: {_WHERE} BRIDGE_<ACCOUNT>_API_KEY or the like"
            report.warning(Spot(number, found.start() + 1, len(found[0])), advice)


def _random_run(line: str) -> re.Match[str] | None:
    """Return the first run of letters and digits that may be a key, but for what stands in addresses."""
    plain = _ADDRESS.sub(lambda address: " " * len(address[0]), line)
    return next((run for run in _RUN.finditer(plain) if looks_random(run[0])), None)
