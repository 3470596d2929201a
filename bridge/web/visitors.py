"""Who looks at the dashboard, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from bridge.logins import Role

__all__ = ["Endpoint", "Guard", "Role", "Visitor"]

Endpoint = Callable[[Request], Awaitable[Response]]
Guard = Callable[[Endpoint], Endpoint]  # lets only visitors in; puts the Visitor into `request.state.visitor`


@dataclass(frozen=True)
class Visitor:
    """A person who has signed in. *csrf* goes into each of their forms as the field `csrf`."""

    name: str
    role: Role
    csrf: str = field(repr=False)

    @property
    def may_operate(self) -> bool:
        """True for an operator."""
        return self.role is Role.OPERATOR
