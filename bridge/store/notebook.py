"""What is remembered from run to run: rate limits, connectors' memory, rules texts, the state of accounts."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, select

from bridge.store.database import Database
from bridge.store.tables import account_state, memory, rate, rules_text

_STATE = select(account_state.c.key, account_state.c.value).where(account_state.c.account == bindparam("account"))
_RATE = select(rate.c.state).where(rate.c.account == bindparam("account"))
_MEMORY = select(memory.c.value, memory.c.at).where(
    memory.c.account == bindparam("account"), memory.c.name == bindparam("name")
)
_IN_CHARGE = ("", "rules")  # no account has this name
_RULES_TEXT = select(rules_text.c.text).where(rules_text.c.hash == bindparam("hash"))


class Notebook(Database):
    """The verbs of remembering."""

    def account_state(self, account: str) -> dict[str, Any]:
        """Return everything put down about an account."""
        with self._reading() as tx:
            return {row.key: row.value for row in tx.execute(_STATE, {"account": account})}

    def put_account_state(self, account: str, **values: Any) -> None:
        """Put down JSON values about an account; other keys stay."""
        self._put(account_state, [{"account": account, "key": key, "value": value} for key, value in values.items()])

    def count_up(self, account: str, key: str, number: int = 1) -> int:
        """Raise a total that is put down about an account, and return it."""
        with self._writing() as tx:
            same = (account_state.c.account == account, account_state.c.key == key)
            before = tx.execute(select(account_state.c.value).where(*same).with_for_update()).scalar()
            total = int(before or 0) + number
            tx.execute(putting(self._insert, account_state), [{"account": account, "key": key, "value": total}])
        return total

    def rate_state(self, account: str) -> dict[str, Any] | None:
        """Return the state that an account's Budget was left in."""
        with self._reading() as tx:
            return tx.execute(_RATE, {"account": account}).scalar()

    def save_rate_state(self, account: str, state: Mapping[str, Any]) -> None:
        """Keep the state of an account's Budget for the next process."""
        self._put(rate, [{"account": account, "state": dict(state)}])

    def recall(self, account: str, name: str) -> tuple[Any, datetime] | None:
        """Return a value that was remembered, and when."""
        with self._reading() as tx:
            row = tx.execute(_MEMORY, {"account": account, "name": name}).first()
        return (row.value, row.at) if row else None

    def remember(self, account: str, name: str, value: Any, now: datetime) -> None:
        """Keep a JSON value under *name*."""
        self._put(memory, [{"account": account, "name": name, "value": value, "at": now}])

    def keep_rules(self, hash: str, text: str, now: datetime) -> None:
        """Keep the text of the rules.yaml that decides now, so that old decisions can be explained."""
        found = self.recall(*_IN_CHARGE)
        if found is not None and found[0] == hash:
            return
        row = self._insert(rules_text).values(hash=hash, text=text, first_seen_at=now)
        with self._writing() as tx:
            tx.execute(row.on_conflict_do_nothing())
        self.remember(*_IN_CHARGE, hash, now)

    def last_rules(self) -> str | None:
        """Return the rules.yaml that decided last; None before the first run."""
        found = self.recall(*_IN_CHARGE)
        return self.rules_text(found[0]) if found else None

    def rules_text(self, hash: str) -> str | None:
        """Return the rules.yaml with this hash."""
        with self._reading() as tx:
            return tx.execute(_RULES_TEXT, {"hash": hash}).scalar()

    def _put(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows, or replace those that have the same primary key."""
        if not rows:
            return
        with self._writing() as tx:
            tx.execute(putting(self._insert, table), rows)


@functools.cache
def putting(insert: Any, table: Table) -> Any:
    """Return the statement that inserts rows, or replaces those that have the same primary key."""
    new = insert(table)
    rest = {one.name: new.excluded[one.name] for one in table.c if not one.primary_key}
    return new.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)
