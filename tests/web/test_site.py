"""The pages of one installation: what a new rules.yaml, or a secret that broke meanwhile, changes about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bridge.reloading import LivingApp
from bridge.web.counts import Counts
from bridge.web.service import Bell
from bridge.web.site import Site
from tests.bridge.stories import MONDAY
from tests.in_process import company


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.token"
    path.write_text("a-long-token")
    path.chmod(0o600)
    return path


@pytest.fixture
def site(tmp_path: Path, token: Path) -> Iterator[Site]:
    with company(MONDAY, tmp_path) as firm:
        path = tmp_path / "rules.yaml"
        path.write_text(firm.rules().text, encoding="utf-8")
        env = {**firm.env, "BRIDGE_METRICS_TOKEN_FILE": str(token)}
        with LivingApp(path, firm.bridge) as living:
            store = living.app.store
            with Site(living, store, env, Bell(), Counts(), why_not_ready=lambda: "") as found:
                yield found


def status(site: Site, path: str) -> int:
    return int(TestClient(site.app, follow_redirects=False).get(path).status_code)


def test_whoever_asks_for_no_page_of_ours_is_led_back(site: Site) -> None:
    answer = TestClient(site.app).get("/nope")

    assert answer.status_code == 404
    assert "There is no such page" in answer.text and '<a href="/">' in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src" not in answer.headers["content-security-policy"]


def test_a_secret_that_broke_meanwhile_leaves_the_pages_of_before(site: Site, token: Path) -> None:
    token.unlink()

    site.reload()

    assert [status(site, path) for path in ("/healthz", "/metrics", "/login", "/")] == [200, 401, 200, 303]
