"""What operators do on the pages: close a case, try parked effects again, let an account go on.

The same verbs as the commands `case close`, `retry` and `resume`; every audit names who it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bridge import by_hand
from bridge.errors import StoreError
from bridge.model import Case, Decision, Outcome
from bridge.rules import Rules
from bridge.store import StaleCase, Store
from bridge.web.card import Card
from bridge.web.dashboard.said import OUTCOMES, PARTIES
from bridge.web.forms import UnreadableForm, body_of, fields_of, is_foreign, is_of, local_path, with_word
from bridge.web.visitors import Endpoint, Guard, Visitor

Fields = Mapping[str, str]
OF_CLOSE = ("outcome", "cause", "remedy", "party", "version", "csrf", "back")
NOT_NOW = "The database cannot be used at this moment, and nothing was changed. Please try again in a minute."
NOT_YOURS = "Nothing was changed. You may look, and not act; an operator can do this."
FOREIGN = "Nothing was changed: this form is not from your session any more. Go back, and try again from there."


class _Wrong(Exception):
    """An action cannot be done; the message says to people why."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Unusable(_Wrong):
    """The words of a form cannot be used; others can."""


@dataclass(frozen=True)
class ActionDesk:
    """What the actions need of the rest; *wake* hears of the account that has something to do now."""

    store: Store
    rules: Callable[[], Rules]
    now: Callable[[], datetime]
    wake: Callable[[str], None]


def action_routes(desk: ActionDesk, guard: Guard) -> list[Route]:
    """Return where forms of operators go; *guard* says who sends them."""
    actions = Actions(desk)

    def form(path: str, act: Callable[[Request, Visitor, Fields], Awaitable[Response]]) -> Route:
        return Route(path, guard(actions.of_operators(act)), methods=["POST"])

    return [
        form("/cases/{case_id}/close", actions.close),
        form("/effects/{effect_id}/retry", actions.retry),
        form("/accounts/{account}/resume", actions.resume),
    ]


class Actions:
    """Does what a form says, if it comes from an operator's own page, and goes back to where it came from."""

    def __init__(self, desk: ActionDesk) -> None:
        self._desk, self._card = desk, Card("action.html")

    def of_operators(self, act: Callable[[Request, Visitor, Fields], Awaitable[Response]]) -> Endpoint:
        """Return an endpoint that only operators get past, with forms that were made for them."""

        async def endpoint(request: Request) -> Response:
            visitor: Visitor = request.state.visitor
            back = "/"
            try:
                fields = fields_of(await body_of(request))
                back = local_path(fields.get("back", ""), back)
                if not visitor.may_operate:
                    raise _Wrong(NOT_YOURS, 403)
                if is_foreign(request) or not is_of(visitor, fields):
                    raise _Wrong(FOREIGN, 403)
                return await act(request, visitor, fields)
            except _Wrong as exc:
                return self._refuse(str(exc), exc.status, back)
            except UnreadableForm as exc:
                return self._refuse("That could not be read; nothing was changed.", exc.status, back)
            except StoreError:
                return self._refuse(NOT_NOW, 503, back)

        return endpoint

    def _refuse(self, problem: str, status: int, back: str) -> Response:
        return self._card.show(status, "This was not done", "refused", problem=problem, back=back)

    # -------------------------------------------------------------- a case
    async def close(self, request: Request, visitor: Visitor, fields: Fields) -> Response:
        """End a case, or put down what was learned from one that has ended; nothing that was written is lost."""
        case_id = request.path_params["case_id"]
        try:
            done = await run_in_threadpool(self._close, case_id, visitor.name, fields)
        except _Unusable as exc:
            return self._ask_again(str(exc), exc.status, fields)
        except StoreError:
            return self._ask_again(NOT_NOW, 503, fields)
        return _back(fields, f"/cases/{case_id}", done)

    def _close(self, case_id: str, who: str, fields: Fields) -> str:
        """Return what became of it. Raises _Wrong, StoreError."""
        store = self._desk.store
        found = store.case(case_id)
        if found is None:
            raise _Wrong("There is no such case.", 404)
        if fields.get("version") != str(found.version):
            return "stale"
        try:
            ended = self._conclude(found, who, fields)
        except ValueError as exc:
            raise _Unusable(f"This cannot be put down: {exc}.", 422) from exc
        try:
            store.save(ended, expected_version=found.version)
        except StaleCase:
            return "stale"
        self._desk.wake(found.account)
        return "closed"

    def _conclude(self, found: Case, who: str, fields: Fields) -> Decision:
        """Return the decision that a form asks for. Raises ValueError for words that cannot be used."""
        outcome = fields.get("outcome", "")
        if outcome not in ("", *by_hand.ENDS):
            raise ValueError(f"unknown outcome; there are: {', '.join(by_hand.ENDS)}")
        if found.is_open and not outcome:
            raise ValueError("choose how it ended")
        said = {name: fields.get(name) for name in ("cause", "remedy", "party")}
        learned = by_hand.learned(said, self._desk.rules())
        return by_hand.conclude(found, Outcome(outcome) if outcome else None, learned, self._desk.now(), who)

    def _ask_again(self, problem: str, status: int, fields: Fields) -> Response:
        causes = [(cause, cause) for cause in self._desk.rules().causes]
        return self._card.show(
            status, "This was not done", "close", problem=problem, causes=causes,
            outcomes=[(one, OUTCOMES[one]) for one in by_hand.ENDS], parties=list(PARTIES.items()),
            filled={name: fields.get(name, "") for name in OF_CLOSE}, back=local_path(fields.get("back", ""), "/"),
        )  # fmt: skip

    # -------------------------------------------------------------- what is stuck
    async def retry(self, request: Request, visitor: Visitor, fields: Fields) -> Response:
        """Plan a parked effect again."""
        effect_id = request.path_params["effect_id"]
        return _back(fields, "/work", await run_in_threadpool(self._retry, effect_id, visitor.name))

    def _retry(self, effect_id: str, who: str) -> str:
        store, now = self._desk.store, self._desk.now()
        found = store.effects_named([effect_id]).get(effect_id)
        if found is None:
            raise _Wrong("There is no such effect.", 404)
        if not store.retry_parked([effect_id], lambda effect: by_hand.retried(effect, now, who)):
            return "refused"
        self._desk.wake(found.effect.account)
        return "retried"

    async def resume(self, request: Request, visitor: Visitor, fields: Fields) -> Response:
        """Let an account that a limit stopped begin recoveries again."""
        account = request.path_params["account"]
        return _back(fields, "/work", await run_in_threadpool(self._resume, account, visitor.name))

    def _resume(self, account: str, who: str) -> str:
        store = self._desk.store
        if account not in self._desk.rules().accounts:
            raise _Wrong("There is no such account.", 404)
        if not store.account_state(account).get("held"):
            return "refused"
        store.resume(by_hand.resumed(account, self._desk.now(), who))
        self._desk.wake(account)
        return "resumed"


def _back(fields: Fields, otherwise: str, done: str) -> Response:
    """Return to the page that the form was on, which says what became of it."""
    path = with_word(local_path(fields.get("back", ""), otherwise), done=done)
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})
