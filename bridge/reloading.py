"""Reloading rules.yaml in a process that stays: read, check, run its tests, and only then swap.

What does not work leaves the rules of before in charge, and is said loudly: in the log, by `status`, and by an exit
code. Cases that are open keep the playbook that they began with (see `Briefing.rules_for`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self

from bridge.app import App
from bridge.errors import BridgeError, RulesError, StoreError
from bridge.rules import Rules, check, load, read, recall

log = logging.getLogger(__name__)

REFUSED = "rules_refused"  # in the state of each account: why the file as it is now is not used
REFUSED_AT = "rules_refused_at"  # and since when


def read_working(path: Path) -> Rules:
    """Read rules that pass their check and, where there are any, their tests; raises RulesError."""
    rules, problems = check(read(path), str(path))
    if rules is None:
        raise RulesError([problem for problem in problems if not problem.is_warning])
    _rehearse(rules, path)
    return rules


def _rehearse(rules: Rules, path: Path) -> None:
    from bridge.rehearsal import as_if_enabled, play, read_script, tests_beside  # an idle run must start fast

    tests = tests_beside(path)
    if not tests.exists():
        return
    rules = as_if_enabled(rules)  # what somebody switched off on purpose is no failure
    played = play(read_script(read(tests), rules, str(tests)), rules)
    failed = [f"{tests}:{one.line}: {one.name}: {one.failures[0]}" for one in played.results if not one.passed]
    failed += [f'{tests}: no test reaches "{name}"' for name in played.unreached]
    if failed:
        raise RulesError(failed)


class LivingApp:
    """An app whose rules are replaced when the file changes; *open_app* opens one for given rules."""

    def __init__(self, path: Path, open_app: Callable[[Rules], AbstractContextManager[App]]) -> None:
        self._path, self._open = path, open_app
        self._stack = ExitStack()
        self._looked_at: str | None = None  # the text that was last looked at, good or bad
        self.app: App

    def __enter__(self) -> Self:
        rules = load(self._path)
        self.app = self._stack.enter_context(self._open(rules))
        self._looked_at = rules.text
        if self._was_refused():
            self._go_back()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def refresh(self) -> bool:
        """Swap the rules if the file has changed and works; True if they were. Trouble is said once for each text."""
        try:
            text = read(self._path)
        except RulesError as exc:
            text = str(exc)
        if text == self._looked_at:
            return False
        self._looked_at = text
        if text == self.app.rules.text:  # back to what is in charge
            self._tell("")
            return False
        try:
            swapped = self._swap(read_working(self._path))
        except StoreError:
            self._looked_at = None  # no fault of the file: look again
            raise
        except BridgeError as exc:
            why = str(exc).partition("\n")[0]
            log.error("%s was changed and is not used; the rules of before decide on: %s", self._path, why)
            self._tell(why)
            return False
        if not swapped:
            self._looked_at = None  # once the helpdesk answers
            return False
        log.info("%s was changed: %d rules are in charge now", self._path, len(self.app.rules.rules))
        self._tell("")
        return True

    def _was_refused(self) -> bool:
        """True if an earlier process did not use the file as it was then."""
        return any(self.app.store.account_state(account).get(REFUSED) for account in self.app.accounts)

    def _go_back(self) -> None:
        """Begin with the rules that decided last, and look whether the file works by now."""
        text = self.app.store.last_rules()
        before = recall(text) if text and text != self.app.rules.text else None
        if before is None:
            self._tell("")
            return
        self._stack.close()
        self.app = self._stack.enter_context(self._open(before))
        self._looked_at = None
        self.refresh()

    def _swap(self, rules: Rules) -> bool:
        """Open the new app first: the old one stays if that fails, or while names cannot be looked up (False)."""
        with ExitStack() as stack:
            new = stack.enter_context(self._open(rules))
            if not new.check_names():
                return False
            self._stack.close()
            self.app, self._stack = new, stack.pop_all()
        return True

    def _tell(self, why: str) -> None:
        for account in self.app.accounts:
            if self.app.store.account_state(account).get(REFUSED, "") != why:
                at = self.app.now().isoformat() if why else None
                self.app.store.put_account_state(account, **{REFUSED: why, REFUSED_AT: at})
