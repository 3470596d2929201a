"""Small pages of one card, beside those of the dashboard: to sign in, what could not be done, and where nothing is."""

from __future__ import annotations

from functools import cache
from typing import Any

from markupsafe import Markup
from starlette.responses import HTMLResponse

from bridge.web.survey_page import HERE, headers, templates

FOLDER = HERE / "templates"


class Card:
    """One template, in the look of the dashboard; it needs no other address for that."""

    def __init__(self, template: str) -> None:
        self._template = templates().get_template(template)
        style = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("dash.css", "card.css"))
        self._style = Markup(style)  # noqa: S704  our own files
        # With no-referrer browsers say `Origin: null`, and a form of ours would look like that of a stranger.
        self._headers = {**headers(style), "Referrer-Policy": "same-origin", "Vary": "Cookie"}

    def show(self, status: int, title: str, kind: str, problem: str = "", **shown: Any) -> HTMLResponse:
        """Return the page."""
        html = self._template.render(style=self._style, title=title, kind=kind, problem=problem, **shown)
        return HTMLResponse(html, status, headers=self._headers)


@cache
def nowhere() -> HTMLResponse:
    """Return the page of an address at which there is nothing; it is made once, and the same for everybody."""
    return Card("nowhere.html").show(404, "There is no such page", "nowhere")
