"""The store: ratings, cases, effects and what else must survive a crash, on SQLite or PostgreSQL.

Every verb is one transaction. Nothing here reads a clock. SQL stays in this package.
"""

from bridge.store.cases import Cases
from bridge.store.customers import Customers
from bridge.store.effects import Effects
from bridge.store.hindsight import Hindsight
from bridge.store.notebook import Notebook
from bridge.store.ratings import Ratings
from bridge.store.rows import (
    Claim,
    Counts,
    Failure,
    GivenRating,
    Hint,
    PageCount,
    PastRating,
    RuleCount,
    Saving,
    Spending,
    StaleCase,
    StoredEffect,
    StoredRating,
)

__all__ = [
    "Claim",
    "Counts",
    "Failure",
    "GivenRating",
    "Hint",
    "PageCount",
    "PastRating",
    "RuleCount",
    "Saving",
    "Spending",
    "StaleCase",
    "Store",
    "StoredEffect",
    "StoredRating",
]


class Store(Ratings, Cases, Effects, Customers, Hindsight, Notebook):
    """Everything that the engine keeps; see the six parts for its verbs."""
