"""The report: the recovery funnel and its figures as text for people, JSON for programs, and a row per week for sheets.

Every share stands beside its denominator and its interval; nothing here is about single agents.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import tzinfo
from typing import Any

from bridge.funnel import CAUTION, DEFINITIONS, Figures, Funnel, Lag, Share, Slice
from bridge.show import duration, local, moment, table

STEPS = (
    "rated_bad", "flagged", "assigned", "acknowledged", "contacted", "solved", "surveyed", "answered", "recovered",
)  # fmt: skip
NAMES = {"rated_bad": "rated bad", "surveyed": "asked again"}
WIDTH = 100
STILL_YOUNG = 0.1  # of the flagged are open: what is known of these cases is not the end of it
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a sheet takes for the beginning of one


# ------------------------------------------------------------------ shares in words
def percent(share: float) -> str:
    """Return a share of one in whole percent; one that is neither nothing nor all never looks like it."""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def in_words(share: Share) -> str:
    """Return a share with its interval: `18% (12 to 27%)`; of few with the word that it says nothing."""
    if share.value is None:
        return "nothing to measure"
    low, high = share.interval
    said = f"{percent(share.value)} ({100 * low:.0f} to {high:.0%})"
    return f"{said}, too few to say" if share.is_few else said


# ------------------------------------------------------------------ for people
def report_text(figures: Figures, zone: tzinfo, group: Callable[[str], str]) -> str:
    """Return what `report` prints; *group* names a group by its id."""
    parts = [
        f"{', '.join(figures.accounts)}: cases flagged from {local(figures.since, zone)}"
        f" to {local(figures.until, zone)}",
        table(["step", "cases", "of all flagged"], _steps(figures.funnel)),
        "\n".join(_headline(figures)),
        table(["how long", "whose", "cases", "half within", "nine in ten within"], map(_lag, figures.lags)),
        _slices("week of", figures.weeks, lambda day: day),
        _slices("rule", figures.rules, lambda rule: rule),
        _slices("cause", figures.causes, lambda cause: cause or "not known yet"),
        _slices("group", figures.groups, lambda key: group(key) if key else "none"),
        "\n".join(_definitions()),
    ]
    return "\n\n".join(part for part in parts if part)


def _steps(funnel: Funnel) -> Iterator[list[str]]:
    for step in STEPS:
        number = getattr(funnel, step)
        of = "" if step in ("rated_bad", "flagged") else in_words(Share(number, funnel.flagged))
        yield [NAMES.get(step, step), f"{number:,}", of]


def _headline(figures: Figures) -> Iterator[str]:
    """Yield the figures that count, each with what it is of."""
    funnel = figures.funnel
    yield _said("flagged recovered", funnel.recovery)
    if funnel.flagged:
        low, high = (percent(share.value or 0) for share in (funnel.lowest, funnel.highest))
        yield f"between {low}, if nobody is recovered who has not answered, and {high}, if all of them are"
    yield (
        _said("that answered recovered", funnel.among_answers) + "; this flatters: content customers answer more often"
    )
    yield _said("recovered without what others have to answer for", figures.without_others_fault.recovery)
    yield "of those that answered: " + ", ".join(f"{number:,} {word}" for word, number in figures.change.items())
    yield f"still open: {funnel.open:,}; left out: {funnel.dismissed:,} dismissed, {funnel.shadow:,} of shadow mode"


def _said(what: str, share: Share) -> str:
    return f"{share.numerator:,} of {share.denominator:,} {what}: {in_words(share)}"


def _lag(lag: Lag) -> list[str]:
    half, most = (duration(length) if length is not None else "" for length in (lag.median, lag.ninth_decile))
    return [lag.name, lag.whose, f"{lag.count:,}", _short(half, lag), _short(most, lag)]


def _short(text: str, lag: Lag) -> str:
    return "under 1m" if text == "0m" and lag.count else text


def _slices(heading: str, slices: Sequence[Slice], name: Callable[[str], str]) -> str:
    if not slices:
        return ""
    headings = [heading, "flagged", "open", "answered", "recovered", "of all flagged"]
    return table(headings, (_slice(name(one.label), one.funnel) for one in slices))


def _slice(label: str, funnel: Funnel) -> list[str]:
    numbers = [f"{number:,}" for number in (funnel.flagged, funnel.open, funnel.answered, funnel.recovered)]
    young = "so far " if funnel.open > STILL_YOUNG * funnel.flagged else ""
    return [label, *numbers, young + in_words(funnel.recovery) if funnel.flagged else ""]


def _definitions() -> Iterator[str]:
    for name, said in DEFINITIONS.items():
        yield textwrap.fill(f"{name.replace('_', ' ')}: {said}", WIDTH, subsequent_indent="  ")
    yield textwrap.fill(CAUTION, WIDTH)


# ------------------------------------------------------------------ for programs
def report_json(figures: Figures, group: Callable[[str], str]) -> dict[str, Any]:
    """Return the promised form (contract: `report --json`)."""
    funnel = figures.funnel
    return {
        "since": moment(figures.since),
        "until": moment(figures.until),
        "accounts": list(figures.accounts),
        "funnel": _funnel_json(funnel),
        "recovery_rate": share_json(funnel.recovery),
        "bounds": {"lowest": funnel.lowest.value, "highest": funnel.highest.value},
        "among_answers": share_json(funnel.among_answers),
        "without_others_fault": share_json(figures.without_others_fault.recovery),
        "change": dict(figures.change),
        "open": funnel.open,
        "outcomes": {str(outcome): number for outcome, number in funnel.outcomes.items()},
        "left_out": {"dismissed": funnel.dismissed, "shadow": funnel.shadow},
        "lags": [_lag_json(lag) for lag in figures.lags],
        "by": {
            "rule": _slices_json(figures.rules),
            "group": [row | {"name": group(row["label"])} for row in _slices_json(figures.groups)],
            "cause": _slices_json(figures.causes),
            "party": _slices_json(figures.parties),
            "week": _slices_json(figures.weeks),
        },
        "definitions": dict(DEFINITIONS),
        "caution": CAUTION,
    }


def share_json(share: Share) -> dict[str, Any]:
    """Return a share as `{value, low, high, numerator, denominator}`; the first three are null of nothing."""
    return {"value": share.value, "low": share.low, "high": share.high, **asdict(share)}


def _funnel_json(funnel: Funnel) -> dict[str, int | None]:
    return {step: getattr(funnel, step) for step in STEPS}


def _lag_json(lag: Lag) -> dict[str, Any]:
    return {
        "name": lag.name,
        "whose": lag.whose,
        "count": lag.count,
        "median_s": lag.median and int(lag.median.total_seconds()),
        "ninth_decile_s": lag.ninth_decile and int(lag.ninth_decile.total_seconds()),
    }


def _slices_json(slices: Iterable[Slice]) -> list[dict[str, Any]]:
    return [
        {
            "label": one.label,
            "funnel": _funnel_json(one.funnel),
            "open": one.funnel.open,
            "recovery_rate": share_json(one.funnel.recovery),
        }
        for one in slices
    ]


# ------------------------------------------------------------------ for sheets
def report_csv(figures: Figures) -> str:
    """Return a row for each week; a cell that a sheet would take for a formula begins with an apostrophe."""
    written = io.StringIO()
    sheet = csv.writer(written, lineterminator="\n")
    sheet.writerow(["week", *STEPS, "open", "dismissed", "shadow", "recovery_rate", "low", "high", "too_few"])
    for week in figures.weeks:
        funnel, share = week.funnel, week.funnel.recovery
        rates = ["" if part is None else f"{part:.4f}" for part in (share.value, share.low, share.high)]
        numbers = [getattr(funnel, name) for name in (*STEPS, "open", "dismissed", "shadow")]
        cells = [week.label, *numbers, *rates, "yes" if share.is_few else "no"]
        sheet.writerow([defused(str(cell)) for cell in cells])
    return written.getvalue()


def defused(cell: str) -> str:
    """Return the text of a cell that no sheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell
