"""Everything that `serve` answers with, put together for one installation; a new rules.yaml puts it together anew."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import Self
from urllib.parse import urlsplit

from starlette.routing import Route

from bridge import settings
from bridge.answering import Answering
from bridge.errors import BridgeError
from bridge.logins import Logins, logins_path
from bridge.metrics import Metrics
from bridge.reloading import LivingApp
from bridge.rules import Rules
from bridge.store import Store
from bridge.survey_link import SurveyLinks
from bridge.web import health_routes, routed, web_app
from bridge.web.actions import ActionDesk, action_routes
from bridge.web.counts import Counts
from bridge.web.dashboard import dashboard_routes
from bridge.web.dashboard.desk import DashDesk
from bridge.web.hooks import Door, Hooks, doors_of
from bridge.web.keeping import Keeper
from bridge.web.login import Login
from bridge.web.metrics_page import metrics_routes
from bridge.web.service import Bell
from bridge.web.survey_page import SurveyDesk, survey_routes

log = logging.getLogger(__name__)


class Site:
    """The pages of one installation: `app` answers requests. *store* is the site's own, beside that of the engine."""

    def __init__(
        self,
        living: LivingApp,
        store: Store,
        env: Mapping[str, str],
        bell: Bell,
        counts: Counts,
        *,
        why_not_ready: Callable[[], str],
        user_header: str = "",
    ) -> None:
        self._living, self._store, self._env, self._bell = living, store, env, bell
        self._now, self._why_not_ready = living.app.now, why_not_ready
        self._folder = settings.state_dir(env)
        self._open = ExitStack()
        keeper = self._open.enter_context(closing(Keeper(store, self._now, bell.ring)))
        logins, key = Logins(logins_path(env)), settings.session_key(self._folder)
        self._login = self._open.enter_context(
            closing(Login(logins, key, self._now, counts, user_header=user_header or None))
        )
        self._metrics = Metrics(store, self._rules, self._now, counts.all)
        self.hooks = Hooks(self._doors(), keeper, counts, self._now, self._doors)
        self.app = web_app(self._parts(), counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def reload(self) -> None:
        """Follow a new rules.yaml; secrets that cannot be used leave pages and secrets of before in charge."""
        try:
            self.app.lead_to(routed(self._parts()))
            self.hooks.doors = self._doors()
        except BridgeError as exc:
            log.error("%s", exc)

    def _rules(self) -> Rules:
        return self._living.app.rules

    def _doors(self) -> Mapping[str, Door]:
        return doors_of(self._rules(), self._env)

    def _parts(self) -> list[list[Route]]:
        prefix = urlsplit(self._rules().settings.survey_page or "").path
        token = settings.program_secret(self._env, "metrics_token")
        return [
            self.hooks.routes(),
            self._survey_page(prefix),
            health_routes(self._why_not_ready, prefix=prefix),
            metrics_routes(self._metrics.text, token),
            self._login.routes(),
            action_routes(ActionDesk(self._store, self._rules, self._now, self._wake), self._login.guard),
            dashboard_routes(DashDesk(self._store, self._rules, self._link, self._now), self._login.guard),
        ]

    def _survey_page(self, prefix: str) -> list[Route]:
        """Return the routes of our own question below a path, if rules.yaml says where its page is."""
        page = self._rules().settings.survey_page
        if not page:
            return []
        answering = Answering(self._store, self._now, self._wake)
        links = SurveyLinks(settings.survey_key(self._folder), page)
        desk = SurveyDesk(lambda token: links.read(token, self._now()), answering.look, answering.take, self._now)
        return survey_routes(desk, prefix=prefix)

    def _wake(self, account: str) -> None:
        self._bell.ring(account, self._now())

    def _link(self, account: str, ticket_id: str) -> str:
        return self._living.app.engine.desks[account].link(ticket_id)
