"""Both stand-ins in a process of their own, so that what is measured beside them is the bridge alone.

`python -m tests.bench.stand_in RATINGS` serves until its standard input ends. The ratings lie between 30 and 89 days
back: an import reads them all, and the poll behind it finds none in the answer window.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from connectors.sandbox.company import API_KEY, STAFF
from connectors.sandbox.freshdesk import FreshdeskDesk
from connectors.sandbox.server import serve
from connectors.sandbox.world import World
from connectors.sandbox.zendesk import ZendeskDesk

HIGH = 999_999_999  # calls per minute; a stand-in without any limit would not name it in its headers
NEWEST, SPREAD = timedelta(days=30), timedelta(days=59)
SECRETS = {
    "BRIDGE_ACME_CLIENT_ID": "bridge",
    "BRIDGE_ACME_CLIENT_SECRET": "bridge-secret",
    "BRIDGE_SHOP_API_KEY": API_KEY,
}


@contextmanager
def stand_ins(ratings: int) -> Iterator[dict[str, str]]:
    """Run both stand-ins in another process; gives their addresses by the names of their accounts."""
    with another_process("tests.bench.stand_in", str(ratings)) as urls:
        yield urls


@contextmanager
def another_process(*command: str) -> Iterator[Any]:
    """Run a module that calls `serve_both`; gives what it says."""
    child = subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin and child.stdout
    try:
        yield json.loads(child.stdout.readline())
    finally:
        child.stdin.close()
        child.wait(timeout=30)
        child.stdout.close()


def main(ratings: int) -> None:
    """Serve two accounts with that many past ratings each."""
    world = World()
    zendesk = ZendeskDesk(world, "acme", rate_limit=HIGH, updates_per_minute=0)
    freshdesk = FreshdeskDesk(world, "shop", api_key=API_KEY, rate_limit=HIGH)
    for desk in (zendesk, freshdesk):
        for name, (email, group) in STAFF.items():
            desk.add_agent(name, email, [desk.add_group(group)])
    if ratings:
        oldest = world.clock.now() - NEWEST - SPREAD
        zendesk.add_ratings_in_bulk(ratings, start=oldest, step=SPREAD / ratings)
        world.clock.advance(-NEWEST)
        freshdesk.add_ratings_in_bulk(ratings, tickets=min(ratings, 1000), within=SPREAD)
        world.clock.advance(NEWEST)
    serve_both(zendesk, freshdesk)


def serve_both(zendesk: ZendeskDesk, freshdesk: FreshdeskDesk, **said: Any) -> None:
    """Serve until standard input ends; says the addresses by the names of the accounts, and what else there is."""
    with serve(zendesk) as zendesk_url, serve(freshdesk) as freshdesk_url:
        print(json.dumps({"acme": zendesk_url, "shop": freshdesk_url, **said}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
