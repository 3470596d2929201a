"""What the stories of the bridge may ask for: somebody who tells the story of a second question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.second_question import DESKS, MONDAY, Story, Tell, rules
from tests.in_process import company


@pytest.fixture
def tell(tmp_path: Path) -> Iterator[Tell]:
    """Begin a story: `tell("legacy", ("after: 2d", "after: 3d"), surveys="off")`.

    Changes to the text of rules.yaml come as pairs, lines of its settings by name; *env* is added to the environment,
    *options* to the desk. With *both* the bridge looks after both accounts.
    """
    with ExitStack() as stack:

        def told(flavour: str, *changes: tuple[str, str], **how: Any) -> Story:
            account, options = DESKS[flavour]
            env, more, both = how.pop("env", {}), how.pop("options", {}), how.pop("both", False)
            vendor = "zendesk" if account == "acme" else "freshdesk"
            options = {**options, vendor: {**options.get(vendor, {}), **more}}
            firm = stack.enter_context(company(MONDAY, tmp_path, **options))
            firm.env |= env
            app = stack.enter_context(firm.bridge(rules(firm, None if both else account, *changes, **how)))
            return Story(firm, app, account)

        yield told
