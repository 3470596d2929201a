"""Who looks at the dashboard, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]
Guard = Callable[[Endpoint], Endpoint]  # lets only visitors in; puts the Visitor into `request.state.visitor`


class Role(StrEnum):
    """What somebody may do."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # retry, resume, close


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
