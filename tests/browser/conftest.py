"""Browser tests: one browser for all of them; `make test-browser` runs them, `make test` does not.

BRIDGE_SCREENSHOTS names a folder for pictures of every page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


collect_ignore_glob = [] if os.environ.get("BRIDGE_BROWSER") else ["test_*.py"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from tests.browser.chromium import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    folder = os.environ.get("BRIDGE_SCREENSHOTS")
    return Path(folder) if folder else None
