"""A real browser for tests: Chromium, driven by Playwright, and axe in it. Not part of `make test`."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from starlette.types import ASGIApp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {"phone": (360, 740), "desktop": (1280, 800)}
LOOKS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser with a profile of its own; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET, chromium_sandbox=False)
        yield browser
        browser.close()


@contextmanager
def window(browser: Browser, size: str, scheme: str = "light", *, script: bool = False) -> Iterator[Page]:
    """Open a page in a browser as somebody with such a device sees it."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,  # axe needs it; the pages do not
        has_touch=size == "phone",
        locale="en-US",
    )
    yield context.new_page()
    context.close()


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on loopback; yields its address."""
    import uvicorn

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)  # a server says by nothing else that it is there
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def findings(page: Page) -> list[str]:
    """Return what axe finds serious or critical on a page, with the place."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": WCAG}).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in serious for node in one["nodes"]]


def picture(page: Page, folder: Path | None, name: str) -> None:
    """Keep a screenshot of the whole page, if a folder for it was named."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png", full_page=True)


def overflow(page: Page) -> list[str]:
    """Return a word if the page scrolls sideways."""
    root = "document.documentElement"
    return ["scrolls sideways"] if page.evaluate(f"{root}.scrollWidth > {root}.clientWidth") else []
