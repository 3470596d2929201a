"""Signing in: who somebody is, by a session of ours or by the word of a reverse proxy, and the page that asks.

The cookie is SameSite=Lax, not Strict: with Strict the link of an alert in mail or chat would lead people who are
signed in to the login page. Lax sends it along with links only, never with a form of another site; and every form
of ours carries a token besides, and says where it comes from.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bridge.errors import BridgeError
from bridge.logins import LONGEST_NAME, Entry, Logins, canonical
from bridge.show import count
from bridge.web.card import Card
from bridge.web.counts import Counts
from bridge.web.doorkeeper import source_of
from bridge.web.forms import UnreadableForm, body_of, fields_of, is_foreign, is_of, local_path
from bridge.web.sessions import LASTS, Session, Sessions
from bridge.web.tries import Tries
from bridge.web.visitors import Endpoint, Visitor

log = logging.getLogger(__name__)

FREE_OF_A_SOURCE, FREE_OF_A_NAME = 5, 10  # failures before anybody has to wait
MOST_WAITING = 20  # passwords to be checked; one at a time, so that the other core and the memory stay free
MOST_WELCOME = 1_000  # sources that are known to be those of a person
SAID_AGAIN_AFTER = timedelta(minutes=15)  # that a source has to wait
MOST_SAID = 1_000  # sources of which that is remembered
HOME = "/"


class _Shut(Exception):
    """Who this is cannot be said, and asking for a password would not help; the message is for them."""

    def __init__(self, message: str, status: int = 403, *, remedy: str = "") -> None:
        super().__init__(message)
        self.status, self.remedy = status, remedy  # a command


@dataclass(frozen=True)
class _Asked:
    """What the form says."""

    name: str
    password: str
    next: str


class Login:
    """Lets people in. *user_header*, if given, is the header in which a reverse proxy names who has signed in there.

    Whatever stands before this must take that header from everybody but the proxy: see `proxied.FromProxies`.
    """

    def __init__(
        self, logins: Logins, key: str, now: Callable[[], datetime], counts: Counts, *, user_header: str | None = None
    ) -> None:
        self._logins, self._counts, self._user_header = logins, counts, user_header
        self._now, self._sessions = now, Sessions(key, now)
        self._of_source, self._of_name = Tries(FREE_OF_A_SOURCE, now), Tries(FREE_OF_A_NAME, now)
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()  # nobody can lock these out from elsewhere
        self._said: OrderedDict[str, datetime] = OrderedDict()  # sources that have to wait, and when that was logged
        self._card, self._waiting, self._trouble = Card("login.html"), 0, ""
        self._checking = ThreadPoolExecutor(1, "passwords")

    def routes(self) -> list[Route]:
        """Return where people sign in and out."""
        return [
            Route("/login", self._safe(self._show), methods=["GET"]),
            Route("/login", self._safe(self._take), methods=["POST"]),
            Route("/logout", self._safe(self._sign_out), methods=["POST"]),
        ]

    def close(self) -> None:
        """Let the thread end."""
        self._checking.shutdown(cancel_futures=True)

    # -------------------------------------------------------------- who this is
    def guard(self, endpoint: Endpoint) -> Endpoint:
        """Let only people in who have signed in; others are asked to, and come back afterwards."""

        async def guarded(request: Request) -> Response:
            visitor = self._visitor(request)
            if visitor is None:
                return self._ask(request)
            request.state.visitor = visitor
            return await endpoint(request)

        return self._safe(guarded)

    def _safe(self, endpoint: Endpoint) -> Endpoint:
        """Answer kindly where nobody can be let in."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except _Shut as exc:
                return self._card.show(exc.status, "You cannot be let in", "shut", why=str(exc), remedy=exc.remedy)

        return answer

    def _visitor(self, request: Request) -> Visitor | None:
        """Return who this is, None for nobody. Raises _Shut."""
        if self._user_header and (named := request.headers.getlist(self._user_header)):
            return self._presented(named)
        session = self._session(request)
        return Visitor(session.entry.name, session.entry.role, self._sessions.csrf(session)) if session else None

    def _presented(self, named: list[str]) -> Visitor:
        """Return whom a proxy presents. Raises _Shut."""
        try:
            (only,) = named
            name = canonical(only)
        except ValueError:
            self._count("misnamed")
            log.warning("a proxy presented nobody, or several; each request needs one name in its header")
            raise _Shut("The proxy in front of this page did not say who you are.") from None
        entry = self._entries().get(name)
        if entry is None:
            self._count("unknown")
            remedy = f"recovery-bridge login add {name} --no-password"
            raise _Shut(f"You are signed in as {name}, who may not look at this page yet.", remedy=remedy)
        return Visitor(entry.name, entry.role, self._sessions.csrf_of(entry))

    def _session(self, request: Request) -> Session | None:
        token = request.cookies.get(_cookie(request))
        return self._sessions.read(token, self._entries()) if token else None

    def _entries(self) -> Mapping[str, Entry]:
        """Return everybody who may come in. Raises _Shut if that cannot be said."""
        try:
            entries = self._logins.entries()
        except BridgeError as exc:
            raise self._closed(exc) from exc
        self._trouble = ""
        return entries

    def _closed(self, exc: BridgeError) -> _Shut:
        """Return what people are told while the file cannot be used; the log is told once."""
        if str(exc) != self._trouble:
            log.error("nobody is let in: %s", exc)
        self._trouble = str(exc)
        return _Shut("Nobody can be let in at this time; the log of the service says why.", 503)

    # -------------------------------------------------------------- asking
    def _ask(self, request: Request) -> Response:
        """Send somebody to the login page, to come back to what they asked for."""
        wanted = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        back = local_path(wanted, HOME) if request.method in ("GET", "HEAD") else HOME
        return _redirect("/login" if back == HOME else f"/login?{urlencode({'next': back})}")

    async def _show(self, request: Request) -> Response:
        back = _next(request.query_params.get("next", ""))
        if self._visitor(request):
            return _redirect(back)
        if any(entry.password for entry in self._entries().values()):
            return self._form(_Asked("", "", back))
        if self._user_header:
            raise _Shut("Please come by the proxy that signs people in; it did not say who you are.")
        return self._card.show(200, "Nobody can sign in yet", "nobody")

    def _form(self, asked: _Asked, problem: str = "", status: int = 200) -> Response:
        """Return the page with the form; the password is never given back."""
        return self._card.show(status, "Sign in", "form", problem=problem, name=asked.name, next=asked.next)

    # -------------------------------------------------------------- letting in
    async def _take(self, request: Request) -> Response:
        asked = _Asked("", "", HOME)
        if is_foreign(request):  # else somebody could be signed in as somebody else without noticing
            return self._form(asked, "Please sign in on this page; the form that you sent came from another one.", 403)
        try:
            fields = fields_of(await body_of(request))
        except UnreadableForm as exc:
            return self._form(asked, "That could not be read; please try again.", exc.status)
        asked = _Asked(fields.get("name", "")[:LONGEST_NAME], fields.get("password", ""), _next(fields.get("next", "")))
        source, name = source_of(request.scope), asked.name.strip().lower()
        if wait := self._wait(source, name):
            self._say_once(source, _address(request))
            return self._later(asked, wait)
        entry = await self._check(source, name, asked.password)
        if entry is None:  # a name may be a password, and is not logged
            log.warning("somebody at %s was not let in: the name or the password is not right", _address(request))
            return self._form(asked, "The name or the password is not right.", 403)
        response = _redirect(asked.next)
        response.set_cookie(
            _cookie(request), self._sessions.begin(entry), max_age=int(LASTS.total_seconds()), path="/",
            secure=_is_secure(request), httponly=True, samesite="lax",
        )  # fmt: skip
        return response

    def _wait(self, source: str, name: str) -> int:
        """Return how many seconds somebody has to wait before a password is looked at."""
        waits = [self._of_source.wait(source)]
        if (source, name) not in self._welcome:
            waits.append(self._of_name.wait(name))
        if self._waiting >= MOST_WAITING:
            return 10
        return ceil(max(waits).total_seconds())

    def _say_once(self, source: str, address: str) -> None:
        """Log that a source has to wait, unless that was said a moment ago."""
        said_at, now = self._said.get(source), self._now()
        if said_at and now - said_at < SAID_AGAIN_AFTER:
            return
        self._said[source] = now
        self._said.move_to_end(source)
        if len(self._said) > MOST_SAID:
            self._said.popitem(last=False)
        log.warning("whoever signs in from %s has to wait: too many tries", address)

    def _later(self, asked: _Asked, seconds: int) -> Response:
        self._count("throttled")
        span = count(seconds, "second") if seconds < 120 else count(ceil(seconds / 60), "minute")
        response = self._form(asked, f"That was tried too often; please try again in {span}.", 429)
        response.headers["Retry-After"] = str(seconds)
        return response

    async def _check(self, source: str, name: str, password: str) -> Entry | None:
        """Return who may come in, None if that is not their password. Raises _Shut."""
        self._of_source.fail(source)
        self._of_name.fail(name)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            entry = await loop.run_in_executor(self._checking, self._logins.let_in, name, password)
        except BridgeError as exc:
            raise self._closed(exc) from exc
        finally:
            self._waiting -= 1
        self._count("let_in" if entry else "refused")
        if entry is None:
            return None
        self._of_source.forgive(source)
        self._of_name.forgive(name)
        self._remember(source, name)
        log.info("%s signed in", name)
        return entry

    def _remember(self, source: str, name: str) -> None:
        self._welcome[source, name] = None
        self._welcome.move_to_end((source, name))
        if len(self._welcome) > MOST_WELCOME:
            self._welcome.popitem(last=False)

    def _count(self, outcome: str) -> None:
        self._counts.add("logins_total", outcome=outcome)

    # -------------------------------------------------------------- leaving
    async def _sign_out(self, request: Request) -> Response:
        visitor, session = self._visitor(request), self._session(request)
        if visitor is None or session is None:
            return _redirect("/login")
        try:
            fields = fields_of(await body_of(request))
        except UnreadableForm:
            fields = {}
        if is_foreign(request) or not is_of(visitor, fields):
            return _redirect(HOME)
        self._sessions.end(session)
        response = _redirect("/login")
        response.delete_cookie(_cookie(request), path="/", secure=_is_secure(request), httponly=True, samesite="lax")
        return response


def _next(path: str) -> str:
    """Return where to go after signing in: a path of this site, and not this page again."""
    path = local_path(path, HOME)
    return HOME if path.startswith(("/login", "/logout")) else path


def _redirect(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})


def _address(request: Request) -> str:
    return request.client.host if request.client else "an unknown address"


def _is_secure(request: Request) -> bool:
    """Tell whether the browser came by HTTPS, as far as a proxy that is believed says so."""
    return request.url.scheme == "https"


def _cookie(request: Request) -> str:
    """Return the name of the cookie; with __Host- no other host, and nothing without HTTPS, can set it."""
    return "__Host-recovery-bridge" if _is_secure(request) else "recovery-bridge"
