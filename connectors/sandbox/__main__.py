"""`python -m connectors.sandbox`: both vendors on two ports of this machine, for rehearsals.

The clock ticks with the real one; move it with POST /_sandbox/clock (see wsgi.py). Webhooks are sent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from connectors.sandbox.courier import post
from connectors.sandbox.server import serve
from connectors.sandbox.world import World
from connectors.sandbox.wsgi import Api

CREDENTIALS = {"client_id": "rehearsal", "client_secret": "rehearsal-secret", "api_key": "rehearsal-key"}
BEAT = 60  # seconds between two looks at what the automations have to do


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m connectors.sandbox", description=__doc__)
    parser.add_argument("--zendesk-port", type=int, default=8801)
    parser.add_argument("--freshdesk-port", type=int, default=8802)
    parser.add_argument("--csat", choices=["legacy", "new", "none"], default="legacy", help="of the Zendesk account")
    chosen = parser.parse_args(arguments)
    with ExitStack() as open_desks:
        desks = _desks(chosen.csat)
        for desk, port in zip(desks, (chosen.zendesk_port, chosen.freshdesk_port), strict=True):
            url = open_desks.enter_context(serve(desk, port))
            sys.stdout.write(f"{type(desk).__name__} {desk.name}: {url}\n")
        sys.stdout.write("".join(f"  {name}: {value}\n" for name, value in CREDENTIALS.items()))
        sys.stdout.flush()
        try:
            while True:
                time.sleep(BEAT)
                for desk in desks:
                    desk.pass_time(timedelta(seconds=BEAT))
        except KeyboardInterrupt:
            sys.stdout.write("\n")


def _desks(csat: str) -> tuple[Api, Api]:
    """Return a Zendesk and a Freshdesk account of one company."""
    from connectors.sandbox.freshdesk import FreshdeskDesk
    from connectors.sandbox.zendesk import ZendeskDesk

    world = World()
    zendesk = ZendeskDesk(
        world, csat=csat, client_id=CREDENTIALS["client_id"], client_secret=CREDENTIALS["client_secret"]
    )
    freshdesk = FreshdeskDesk(world, name="shop", api_key=CREDENTIALS["api_key"])
    zendesk.neighbours, freshdesk.neighbours = [freshdesk], [zendesk]
    zendesk.send = freshdesk.send = post
    return zendesk, freshdesk


if __name__ == "__main__":
    main()
