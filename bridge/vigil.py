"""Keeping watch over the installation itself, at the end of each pass: silence, stopped accounts, the daily report.

A tool that has stopped working says nothing, and so does one that has nothing to do. So it says every day what it did,
and cries when an account is quieter than it ever was (bridge/silence.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.hours import Calendar
from bridge.model import EffectState
from bridge.notices import INSTALLATION, Notice, Notices
from bridge.rules import Rules
from bridge.show import count, duration, local
from bridge.silence import Rhythm, Sign, Silence, silence
from bridge.store import Store

log = logging.getLogger(__name__)

LISTEN_EVERY = timedelta(hours=1)
REPORT_REACHES_BACK = timedelta(days=7)  # at most, when earlier reports could not be sent
RHYTHM, SILENT = "rhythm", "silent"  # in the state of an account
LAST_ROW = "last_row"  # of the ratings, within RHYTHM


@dataclass(frozen=True)
class Vigil:
    """Watches, and tells people what they would not notice. Nobody is told of silence in shadow mode."""

    rules: Rules
    store: Store
    notices: Notices
    now: Callable[[], datetime]
    stopping: Callable[[], bool] = lambda: False  # asked before each notice: telling one may take a while

    def keep(self) -> None:
        """Look after every account, and report once a day."""
        for account in self.rules.accounts:
            self._listen(account)
            self._tell_what_stands(account)
        self._report()

    # -------------------------------------------------------------- silence
    def _listen(self, account: str) -> None:
        """Find out whether an account is silent: every hour, and while it is, as soon as anything arrives."""
        state, now = self.store.account_state(account), self.now()
        kept: Mapping[str, Any] = state.get(RHYTHM, {})
        if "imported_at" not in state:
            return  # without the past nothing is unusual
        listened_at = datetime.fromisoformat(kept["at"]) if kept else None
        is_fresh = listened_at is not None and listened_at <= now < listened_at + LISTEN_EVERY
        last_row = self.store.last_row() if state.get(SILENT) or not is_fresh else None
        if is_fresh and (last_row is None or last_row == kept[LAST_ROW]):
            return
        ratings, flagged = self._rhythms(account, rhythm_in(state))
        found = silence(ratings, flagged, now)
        before = silence_in(state)
        if found != before:
            _log(account, found, now)
        heard: dict[str, Any] = {"at": now.isoformat(), LAST_ROW: last_row}
        heard |= {Sign.RATINGS: ratings.as_json(), Sign.FLAGGED: flagged.as_json()}
        self.store.put_account_state(account, **{RHYTHM: heard, SILENT: silence_as_json(found)})

    def _rhythms(self, account: str, heard: Mapping[Sign, Rhythm]) -> tuple[Rhythm, Rhythm]:
        """Return the rhythms of an account: what was heard before, and what came since."""
        ratings, flagged = heard[Sign.RATINGS], heard[Sign.FLAGGED]
        return (
            ratings.then(self.store.rhythm_of_ratings(account, ratings.last_at)),
            flagged.then(self.store.rhythm_of_flags(account, flagged.last_at)),
        )

    def _tell_what_stands(self, account: str) -> None:
        """Tell once of each silence, and of each time that a limit stopped the account."""
        state = self.store.account_state(account)
        if self.rules.settings.mode != "live":
            return
        found, held = silence_in(state), state.get("held")
        if found and not (held and found.sign is Sign.FLAGGED):  # a stopped account begins none: that is told below
            text = f"{account}: {in_words(found, self.now())}\n{_what_to_look_at(found, state, self.now())}"
            about, which = f"silence_{found.sign}", found.since.isoformat()
            self._tell(Notice(account, about, which, f"{account} is silent", lambda: text))
        if held:
            which, subject = str(state.get("held_at")), f"{account} begins no recovery"
            self._tell(Notice(account, "held", which, subject, lambda: f"{account}: {held}"))

    def _tell(self, notice: Notice) -> None:
        if not self.stopping():
            self.notices.tell(notice)

    # -------------------------------------------------------------- the daily report
    def _report(self) -> None:
        """Send the report whose time has come last; on a day that had one, none more."""
        wanted = self.rules.settings.daily_report
        if wanted is None:
            return
        zone, now = self.rules.settings.timezone, self.now()
        due_at = Calendar(zone, quiet=(wanted.at, wanted.at)).before_quiet(now)  # quiet all day: each begins when due
        last = self.notices.last(INSTALLATION, "report")
        told_at = datetime.fromisoformat(last) if last else due_at - timedelta(days=1)
        if last and told_at.astimezone(zone).date() >= due_at.astimezone(zone).date():
            return
        since = max(told_at, due_at - REPORT_REACHES_BACK)
        which, subject = due_at.isoformat(), "the daily report"
        self._tell(Notice(INSTALLATION, "report", which, subject, lambda: self._text(since), wanted.to))

    def _text(self, since: datetime) -> str:
        return "\n".join([f"since {local(since, self.rules.settings.timezone)}", *self._lines(since)])

    def _lines(self, since: datetime) -> Iterator[str]:
        for account in self.rules.accounts:
            state, now = self.store.account_state(account), self.now()
            counts, done = self.store.counts(account, now), self.store.doings(account, since)
            recoveries = "recovery" if done.began == 1 else "recoveries"
            yield (
                f"{account}: {count(self.store.rated_since(account, since), 'rating')},"
                f" {done.began} {recoveries} began, {done.ended} ended ({done.recovered} recovered),"
                f" {count(done.effects, 'effect')}, {counts.effects.get(EffectState.PARKED, 0)} parked;"
                f" {counts.open_cases} open, {counts.overdue} overdue"
            )
            if found := silence_in(state):
                yield f"  SILENT: {in_words(found, now)}"
            if why := state.get("held"):
                yield f"  begins no recovery: {why}"
            if state.get("error"):
                yield "  could not be read just now: recovery-bridge status"


# ------------------------------------------------------------------ silence in the state of an account, and in words
def rhythm_in(state: Mapping[str, Any]) -> dict[Sign, Rhythm]:
    """Return the rhythms that stand in the state of an account, as they were when it was listened to last."""
    kept = state.get(RHYTHM, {})
    return {sign: Rhythm.read(kept.get(sign)) for sign in Sign}


def silence_in(state: Mapping[str, Any]) -> Silence | None:
    """Return the silence that stands in the state of an account."""
    kept = state.get(SILENT)
    if not kept:
        return None
    since, longest = datetime.fromisoformat(kept["since"]), timedelta(seconds=kept["longest_s"])
    return Silence(Sign(kept["sign"]), since, longest)


def silence_as_json(found: Silence | None) -> dict[str, Any] | None:
    """Return a silence as JSON values."""
    if found is None:
        return None
    return {"sign": found.sign, "since": found.since.isoformat(), "longest_s": found.longest.total_seconds()}


def in_words(found: Silence, now: datetime) -> str:
    """Say what does not come any more, for how long, and what was usual."""
    what = {Sign.RATINGS: "no rating has arrived", Sign.FLAGGED: "ratings arrive and none begins a recovery"}
    before = f"never before for more than {duration(found.longest)}"
    return f"{what[found.sign]} for {duration(now - found.since)}, {before}"


def _what_to_look_at(found: Silence, state: Mapping[str, Any], now: datetime) -> str:
    if found.sign is Sign.FLAGGED:
        return "Do the rules still match? See: recovery-bridge explain --latest no_rule"
    succeeded_at = state.get("succeeded_at")
    read = f"{duration(now - datetime.fromisoformat(succeeded_at))} ago" if succeeded_at else "never"
    return f"Are surveys still sent? The helpdesk was last read {read}. See: recovery-bridge doctor"


def _log(account: str, found: Silence | None, now: datetime) -> None:
    if found:
        log.warning("%s", in_words(found, now), extra={"account": account})
    else:
        log.info("it is not silent any more", extra={"account": account})
