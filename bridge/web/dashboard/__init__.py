"""The dashboard that a team lead opens every morning: overview, cases, the story of one case, work for people.

Rendered here, without a script. The guard says who looks; a page that the store cannot give says so, and is never half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bridge.errors import StoreError
from bridge.explaining import explain_case
from bridge.show import read_story
from bridge.web.dashboard.desk import DashDesk, Kept
from bridge.web.dashboard.pages import cases_page, overview_page, work_page
from bridge.web.dashboard.said import visible
from bridge.web.dashboard.story import tell
from bridge.web.visitors import Endpoint, Guard, Visitor

__all__ = ["DashDesk", "dashboard_routes"]

TEMPLATES = Path(__file__).parent.parent / "templates"
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="none"'
    ' stroke="#0f6b5c" stroke-width="3" stroke-dasharray="28 10" transform="rotate(135 8 8)"/></svg>'
)
LONGEST_ID = 64  # characters
A_YEAR = "public, max-age=31536000, immutable"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with no-referrer browsers would not say where our own forms come from
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Done:
    """What became of something that an operator did on a page."""

    text: str
    good: bool = True


DONE = {
    "closed": Done("Put down. It stands in the story of the case, with your name."),
    "retried": Done("It will be tried again by the next run."),
    "resumed": Done("The account begins recoveries again; ratings that waited are decided by the next run."),
    "stale": Done("Nothing was changed: the case moved on meanwhile. Look at it again, as it is now.", good=False),
    "refused": Done("Nothing was changed: that cannot be done, or not any more.", good=False),
}


@dataclass(frozen=True)
class Frame:
    """What stands around every page."""

    page: str
    visitor: Visitor
    done: Done | None
    shadow: bool
    zone: str
    style: str


@dataclass(frozen=True)
class Message:
    """A page that only says something."""

    title: str
    text: str


Answer = tuple[str, Any, int]  # template, view, status


def dashboard_routes(desk: DashDesk, guard: Guard) -> list[Route]:
    """Return the routes of the dashboard; *guard* stands before each of its pages."""
    pages = Dashboard(desk)

    def page(path: str, endpoint: Endpoint) -> Route:
        return Route(path, guard(endpoint), methods=["GET"])

    return [
        page("/", pages.overview),
        page("/cases", pages.cases),
        page("/cases/{case_id}", pages.case),
        page("/work", pages.work),
        Route(style_path(), style, methods=["GET"]),
        Route("/favicon.ico", icon, methods=["GET"]),
    ]


class Dashboard:
    """Answers each page; the store is read, and the page written, beside the event loop."""

    def __init__(self, desk: DashDesk) -> None:
        self._desk, self._kept = desk, Kept(desk)

    async def overview(self, request: Request) -> Response:
        """Show how it goes, and what is urgent."""
        return await run_in_threadpool(self._answer, request, "overview", self._overview)

    async def cases(self, request: Request) -> Response:
        """List cases."""
        return await run_in_threadpool(self._answer, request, "cases", self._cases)

    async def case(self, request: Request) -> Response:
        """Tell the whole story of one case."""
        return await run_in_threadpool(self._answer, request, "cases", self._case)

    async def work(self, request: Request) -> Response:
        """Show what only a person can do."""
        return await run_in_threadpool(self._answer, request, "work", self._work)

    def _overview(self, request: Request) -> Answer:
        return "dash_overview.html", overview_page(self._desk, self._kept, request.query_params), 200

    def _cases(self, request: Request) -> Answer:
        return "dash_cases.html", cases_page(self._desk, request.query_params), 200

    def _case(self, request: Request) -> Answer:
        desk, rules = self._desk, self._desk.rules()
        case = desk.store.case(request.path_params["case_id"][:LONGEST_ID])
        if case is None:
            return "dash_message.html", Message("No such case", "It may have been typed wrongly, or erased."), 404
        why = explain_case(desk.store, rules, case)
        view = tell(read_story(desk.store, case), why, rules, desk.link, desk.clock())
        return "dash_case.html", view, 200

    def _work(self, _request: Request) -> Answer:
        return "dash_work.html", work_page(self._desk), 200

    def _answer(self, request: Request, page: str, show: Callable[[Request], Answer]) -> Response:
        try:
            template, view, status = show(request)
        except StoreError:
            text = "The database cannot be used at this moment. Nothing is lost; look again in a minute."
            template, view, status = "dash_message.html", Message("Not now", text), 503
        html = templates().get_template(template).render(view=view, frame=self._frame(request, page))
        return HTMLResponse(html, status, headers=HEADERS | ({"Retry-After": "60"} if status == 503 else {}))

    def _frame(self, request: Request, page: str) -> Frame:
        settings = self._desk.rules().settings
        return Frame(
            page=page,
            visitor=request.state.visitor,
            done=DONE.get(request.query_params.get("done", "")),
            shadow=settings.mode == "shadow",
            zone=str(settings.timezone),
            style=style_path(),
        )


@cache
def templates() -> Environment:
    """Return the pages, into which everything goes escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        auto_reload=False, trim_blocks=True, lstrip_blocks=True, finalize=visible,
    )  # fmt: skip


# ------------------------------------------------------------------ what never changes
@cache
def style_text() -> str:
    """Return the stylesheet."""
    return (TEMPLATES / "dash.css").read_text(encoding="utf-8")


@cache
def style_path() -> str:
    """Return where the stylesheet is: another text is another path, so that browsers may keep it."""
    return f"/static/dash-{hashlib.sha256(style_text().encode()).hexdigest()[:12]}.css"


async def style(_request: Request) -> Response:
    """Answer with the stylesheet; no secret, and no guard before it."""
    kept = {"Cache-Control": A_YEAR, "X-Content-Type-Options": "nosniff"}
    return Response(style_text(), media_type="text/css", headers=kept)


async def icon(_request: Request) -> Response:
    """Answer with the icon of this site."""
    kept = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return Response(ICON, media_type="image/svg+xml", headers=kept)
