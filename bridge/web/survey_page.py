"""The page behind our signed link: one question, five answers, a few words if the customer likes.

GET never records, because mail scanners follow links; only POST does. Works without JavaScript and without cookies.
There is no CSRF token: the token of the address is the capability, it travels in no cookie, and who has it may answer.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bridge.answering import Asked, Standing
from bridge.errors import StoreError
from bridge.survey_link import BadLinkError, ExpiredLinkError, Invitation
from bridge.web.forms import UnreadableForm, body_of, fields_of

HERE = Path(__file__).parent
COMMENT_MAX = 2_000  # characters, as a browser counts them
TOKEN_MAX = 1_000  # characters; a brand's name is in it
REQUESTS_PER_MINUTE = 30  # of one link: a customer, and what scans their mail
LINKS_COUNTED = 10_000  # of which requests are counted at a time
MINUTE = timedelta(minutes=1)

Words = Mapping[str, Any]


@dataclass(frozen=True)
class SurveyDesk:
    """What the page needs of the rest; each may block, and raises StoreError if the store cannot be used."""

    read: Callable[[str], Invitation]  # the token of a link; raises BadLinkError
    look: Callable[[str, int], Asked]  # case, attempt
    take: Callable[[str, int, int, str | None], Asked]  # case, attempt, value, comment
    now: Callable[[], datetime]


def survey_routes(desk: SurveyDesk, *, prefix: str = "") -> list[Route]:
    """Return the routes of the page, below *prefix*: the path of `settings.survey_page`."""
    page = SurveyPage(desk)
    return [Route(f"{prefix.rstrip('/')}/survey/{{token}}", page.answer, methods=["GET", "HEAD", "POST"])]


class SurveyPage:
    """Shows the question and takes the answer."""

    def __init__(self, desk: SurveyDesk) -> None:
        self.desk = desk
        self.words = all_words()
        style = (HERE / "templates" / "survey.css").read_text(encoding="utf-8")
        self._style = Markup(style)  # noqa: S704  our own file
        self._template = templates().get_template("survey.html")
        self._headers = headers(style)
        self._requests = Requests(desk.now)

    async def answer(self, request: Request) -> Response:
        """Show where the question stands; POST takes an answer first."""
        token, accepted = request.path_params["token"], request.headers.get("accept-language", "")
        try:
            if len(token) > TOKEN_MAX:
                raise BadLinkError("too long for a link of ours")
            invitation = self.desk.read(token)
        except BadLinkError as exc:
            view = View(self.words, self.best_language(None, accepted), None)
            gone = isinstance(exc, ExpiredLinkError)
            return self._message(view, "over", 410) if gone else self._message(view, "unknown", 404)
        view = View(self.words, self.best_language(invitation.language, accepted), invitation.brand)
        if not self._requests.allow(f"{invitation.case_id}:{invitation.attempt}"):
            return self._message(view, "later", 429)
        try:
            if request.method == "POST":
                return await self._take(request, invitation, view)
            asked = await run_in_threadpool(self.desk.look, invitation.case_id, invitation.attempt)
        except StoreError:
            return self._message(view, "later", 503)
        return self._standing(view, asked) or self._form(view, Filled(asked.value, ""), asked=asked)

    async def _take(self, request: Request, invitation: Invitation, view: View) -> Response:
        try:
            filled = read_form(await body_of(request))
        except UnreadableForm as exc:
            return self._message(view, "unknown" if exc.status == 415 else "later", exc.status)
        if filled.value is None or len(filled.comment) > COMMENT_MAX:
            return self._form(view, filled, status=422)
        case_id, attempt = invitation.case_id, invitation.attempt
        try:
            asked = await run_in_threadpool(self.desk.take, case_id, attempt, filled.value, filled.comment or None)
        except StoreError:
            return self._form(view, filled, status=503)  # so that no words are lost
        if refused := self._standing(view, asked):
            return refused
        return self._render(view, 200, view.words["thanks"], kind="thanks", filled=filled)

    def _standing(self, view: View, asked: Asked) -> Response | None:
        """Return the page for a question that takes no answer, None if it does."""
        if asked.standing is Standing.OVER:
            return self._message(view, "over", 410)
        return self._message(view, "settled", 403) if asked.standing is Standing.SETTLED else None

    def _form(self, view: View, filled: Filled, *, status: int = 200, asked: Asked | None = None) -> Response:
        errors = list(troubles(filled, status))
        title = view.words["question"]
        answered = asked is not None and asked.standing is Standing.ANSWERED
        return self._render(view, status, title, kind="form", filled=filled, errors=errors, answered=answered)

    def _message(self, view: View, which: str, status: int) -> Response:
        response = self._render(view, status, view.words[which], kind=which)
        if status in (429, 503):
            response.headers["Retry-After"] = "60"
        return response

    def _render(self, view: View, status: int, title: str, **shown: Any) -> Response:
        html = self._template.render(
            words=view.words, language=view.language, brand=view.brand, title=title, style=self._style, **shown
        )
        return HTMLResponse(html, status, headers={**self._headers, "Content-Language": view.language})

    def best_language(self, of_customer: str | None, accepted: str) -> str:
        """Return the language to speak: the customer's as the helpdesk knows it, what the browser asks for, English."""
        for wanted in (of_customer or "", *accepted_languages(accepted)):
            tag = wanted.strip().casefold().replace("_", "-")
            main = tag.partition("-")[0]
            for known in (tag, main, *(name for name in self.words if name.partition("-")[0] == main)):
                if known in self.words:
                    return known
        return "en"


@cache
def all_words() -> Mapping[str, Words]:
    """Return what the page says, by language."""
    words: Mapping[str, Words] = yaml.safe_load((HERE / "survey_words.yaml").read_text(encoding="utf-8"))
    return words


@cache
def templates() -> Environment:
    """Return the pages, into which everything goes escaped."""
    return Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined)


@dataclass(frozen=True)
class View:
    """How one answer of ours is worded."""

    all_words: Mapping[str, Words]
    tag: str
    brand: str | None

    @property
    def words(self) -> Words:
        """What is said, in the customer's language."""
        return {"dir": "ltr", **self.all_words[self.tag]}

    @property
    def language(self) -> str:
        """The tag of the language as HTML wants it, such as pt-BR."""
        main, _, region = self.tag.partition("-")
        return f"{main}-{region.upper()}" if region else main


@dataclass(frozen=True)
class Filled:
    """What the form says; *value* is None where nothing, or nothing of ours, was chosen."""

    value: int | None
    comment: str


def read_form(body: bytes) -> Filled:
    """Read what was sent. Raises UnreadableForm if it has more than our fields."""
    fields = fields_of(body)
    value, comment = (fields.get(name, "") for name in ("value", "comment"))
    plain = comment.replace("\r\n", "\n").replace("\r", "\n")
    plain = "".join(letter for letter in plain if letter >= " " or letter in "\n\t").strip()
    return Filled(int(value) if value in ("1", "2", "3", "4", "5") else None, plain)


def troubles(filled: Filled, status: int) -> Iterator[str]:
    """Yield the names of the words that say what is wrong with an answer that was not taken."""
    if status == 503:
        yield "later"
    elif status == 422:
        if filled.value is None:
            yield "choose"
        if len(filled.comment) > COMMENT_MAX:
            yield "shorten"


def accepted_languages(header: str) -> list[str]:
    """Return the languages that a browser asks for, the most wanted first."""
    found = []
    for place, part in enumerate(header[:500].split(",")):
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if weight > 0:
            found.append((-weight, place, tag.strip()))
    return [tag for _, _, tag in sorted(found)]


def headers(style: str) -> dict[str, str]:
    """Return the headers of every answer: nothing is kept, indexed, framed or told on, and nothing foreign runs."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none';"
            " frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",  # for what does not know frame-ancestors
        "Vary": "Accept-Language",
    }


class Requests:
    """Counts the requests of the last minute of each link, in bounded memory."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._seen: OrderedDict[str, list[datetime]] = OrderedDict()

    def allow(self, link: str) -> bool:
        """Count one request; False if there are too many."""
        now = self._now()
        recent = [at for at in self._seen.pop(link, []) if now - at < MINUTE]
        allowed = len(recent) < REQUESTS_PER_MINUTE
        self._seen[link] = [*recent, now] if allowed else recent
        if len(self._seen) > LINKS_COUNTED:
            self._seen.popitem(last=False)
        return allowed
