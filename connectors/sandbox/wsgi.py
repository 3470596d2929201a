"""The HTTP that both stand-ins share: routes, JSON, ordered faults, a log of requests, and remote control.

A desk derives from `Api` and is a WSGI application: serve it with `connectors.sandbox.server`, or mount it in process.
Below `/_sandbox/` other processes set the clock, let people act and read mail, ledger and requests:

    GET  /_sandbox/mails  /_sandbox/ledger  /_sandbox/requests  /_sandbox/clock
    POST /_sandbox/clock  {"set": "2026-11-21T09:00:00Z"} or {"advance": 3600}; automations run for that time
    POST /_sandbox/do     {"verb": "rate", "args": {"ticket_id": "1", "category": "bad"}} -> {"result": ...}
    POST /_sandbox/faults [{"kind": "status", "status": 503, "path": "/tickets"}]
"""

from __future__ import annotations

import functools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NoReturn, TypeVar, cast

from werkzeug import Request as WerkzeugRequest
from werkzeug import Response
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule

from bridge.errors import Refused
from connectors.sandbox.courier import Send, Webhook, keep
from connectors.sandbox.world import Desk, Fault, Request, World

Verb = TypeVar("Verb", bound=Callable[..., Any])

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
_MAPS: dict[type, Map] = {}  # the addresses of each vendor; an endpoint is a place in `Api._handlers`
PEOPLES_VERBS = frozenset(name for name in vars(Desk) if not name.startswith("_"))


class Call(WerkzeugRequest):
    """One request on its way through a desk; *user* is the id of the acting agent once the call is admitted."""

    user: str = ""

    @functools.cached_property
    def sent(self) -> Any:
        """The JSON body; None if there is none or it cannot be read."""
        try:
            return json.loads(self.get_data() or b"null")
        except ValueError:
            return None


class Refusal(Refused):
    """A vendor's no: status, JSON body and headers of the answer. People's verbs raise it too."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"sandbox: {status} {json.dumps(body)[:500]}", status=status, details=(json.dumps(body),))
        self.body = body
        self.headers = dict(headers or {})


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return *body* as a JSON answer; None is an answer without a body."""
    if body is None:
        return Response(status=status, headers=headers)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status=status, headers=headers, content_type="application/json; charset=utf-8")


def route(methods: str, path: str, handler: Callable[..., Response]) -> Rule:
    """Return a rule: `route("GET PUT", "/tickets/<int:ticket_id>", handler)`; it calls `handler(call, ticket_id=7)`."""
    return Rule(path, methods=methods.split(), endpoint=handler)


def locked(verb: Verb) -> Verb:
    """Let only one thread at a time into a desk: a decorator for its verbs."""

    @functools.wraps(verb)
    def alone(desk: Api, *args: Any, **details: Any) -> Any:
        with desk.lock:
            return verb(desk, *args, **details)

    return cast(Verb, alone)


class Api:
    """The WSGI application of one desk. A vendor overrides `routes`, `admit`, `finish` and `refuse_path`.

    *faults* are used up from the front by the requests that match; *requests* logs every request outside /_sandbox/
    (status 0 where the connection was broken). *neighbours* are desks whose automations share our /_sandbox/clock.
    """

    suffix = ""  # cut off every path before it is looked up, such as ".json"

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.neighbours: list[Api] = []
        self.lock = threading.RLock()
        self.sleep: Callable[[float], None] = time.sleep  # what "slow" does; replace it to simulate time
        self.webhooks: list[Webhook] = []  # every attempt at one
        self.send: Send = keep  # replace it by `courier.post` to send them over HTTP

    # -------------------------------------------------------------- what a vendor says
    def routes(self) -> Iterable[Rule]:
        """Return the vendor's rules, made with `route`. Asked for once, at the first request."""
        return ()

    def admit(self, call: Call) -> None:
        """Check credentials and limits and set `call.user`. Raises Refusal."""

    def finish(self, call: Call, response: Response) -> None:
        """Add the vendor's headers to an answer, refusals included."""

    def refuse_path(self, call: Call, methods: Iterable[str]) -> Refusal:
        """Return what the vendor answers to a path or method it does not have; *methods* are those it has."""
        return Refusal(405 if methods else 404, {"error": "NotFound", "description": call.path})

    def pass_time(self, step: timedelta) -> None:
        """Let the account's own automations do what they do within *step*."""

    def deliver(self, webhook: Webhook) -> int:
        """Keep a webhook and send it; returns the status of the answer, 0 if there was none."""
        self.webhooks.append(webhook)
        return self.send(webhook)

    # -------------------------------------------------------------- one request
    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one WSGI request."""
        call = Call(environ)
        call.get_data()  # to its end: on a connection that is kept open, the next request begins there
        if call.path.startswith("/_sandbox/"):
            return self._control(call)(environ, start_response)
        with self.lock:
            fault = self._due_fault(call)
        response = self._answer(call, fault)
        return response(environ, start_response)

    def _answer(self, call: Call, fault: Fault | None) -> Response:
        kind = fault.kind if fault else ""
        if kind == "reset":
            self._log(call, 0)
            break_connection(call)
        if fault and kind == "slow":
            self.sleep(fault.seconds)
        response = _ordered(fault) if fault and kind in ("status", "html") else self._dispatch(call)
        self._log(call, 0 if kind == "lost" else response.status_code)
        if kind == "lost":
            break_connection(call)
        if kind == "truncated":
            body = response.get_data()
            response.set_data(body[: len(body) // 2])
        response.headers["Date"] = format_datetime(self.world.clock.now().astimezone(UTC), usegmt=True)
        return response

    def _dispatch(self, call: Call) -> Response:
        with self.lock:
            try:
                self.admit(call)
                handler, values = self._find(call)
                response = handler(call, **values)
            except Refusal as no:
                response = answer(no.body, no.status, no.headers)
            self.finish(call, response)
        return response

    @functools.cached_property
    def _handlers(self) -> list[Callable[..., Response]]:
        """What each of the rules calls; a map of addresses costs far more, so that one serves all desks of a vendor."""
        return [rule.endpoint for rule in self.routes()]

    def _map(self) -> Map:
        if type(self) not in _MAPS:
            paths = (Rule(rule.rule, methods=rule.methods, endpoint=at) for at, rule in enumerate(self.routes()))
            _MAPS[type(self)] = Map(list(paths), strict_slashes=False, merge_slashes=False)
        return _MAPS[type(self)]

    def _find(self, call: Call) -> tuple[Callable[..., Response], Mapping[str, Any]]:
        path = call.path.removesuffix(self.suffix) if self.suffix else call.path
        try:
            at, values = self._map().bind("sandbox").match(path, method=call.method)
        except NotFound:
            raise self.refuse_path(call, ()) from None
        except MethodNotAllowed as exc:
            raise self.refuse_path(call, exc.valid_methods or ()) from None
        return self._handlers[at], values

    def _due_fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.path in call.path and fault.method in ("", call.method):
                fault.times -= 1
                if fault.times < 1:
                    self.faults.remove(fault)
                return fault
        return None

    def _log(self, call: Call, status: int) -> None:
        query = call.query_string.decode("latin-1")
        self.requests.append(Request(self.world.clock.now(), call.method, call.path, query, call.sent, status))

    # -------------------------------------------------------------- controls for other processes
    def _control(self, call: Call) -> Response:
        what = call.path.removeprefix("/_sandbox/")
        readable: dict[str, Sequence[Any]] = {
            "mails": self.world.mails,
            "ledger": self.world.ledger,
            "requests": self.requests,
        }
        if call.method == "GET" and what in readable:
            with self.lock:
                return answer({what: [_plain(asdict(row)) for row in readable[what]]})
        if call.method == "POST" and what == "clock":
            self._set_clock(call.sent)
        if what == "clock":
            return answer({"now": self.world.clock.now().isoformat()})
        if call.method == "POST" and what == "faults":
            self.faults.extend(Fault(**fault) for fault in call.sent)
            return answer({"faults": len(self.faults)})
        if call.method == "POST" and what == "do" and call.sent["verb"] in PEOPLES_VERBS:
            return self._do(call.sent["verb"], call.sent.get("args", {}))
        return answer({"error": "no such control"}, 404)

    def _do(self, verb: str, args: dict[str, Any]) -> Response:
        if verb == "pass_time":
            args = {"step": timedelta(seconds=args["step"])}
        try:
            return answer({"result": getattr(self, verb)(**args)})
        except Refusal as no:
            return answer(no.body, no.status)

    def _set_clock(self, wish: Mapping[str, Any]) -> None:
        before = self.world.clock.now()
        if "set" in wish:
            self.world.clock.set(datetime.fromisoformat(wish["set"]))
        else:
            self.world.clock.advance(timedelta(seconds=wish["advance"]))
        for desk in (self, *self.neighbours):
            desk.pass_time(self.world.clock.now() - before)


def break_connection(call: Call) -> NoReturn:
    """End the connection without an answer: on the socket where there is one, and with ConnectionResetError."""
    if connection := call.environ.get("werkzeug.socket"):
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("the sandbox was told to break this connection")


def _ordered(fault: Fault) -> Response:
    """Return the answer that a fault asks for instead of the work."""
    if fault.kind == "html":
        return Response(LOGIN_PAGE, 200, content_type="text/html; charset=utf-8")
    return Response(fault.body, fault.status, fault.headers, content_type="application/json; charset=utf-8")


def _plain(value: Any) -> Any:
    """Return a ledger value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
