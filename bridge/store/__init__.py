"""The store: ratings, cases, effects and what else must survive a crash, on SQLite or PostgreSQL.

Every verb is one transaction. Nothing here reads a clock. SQL stays in this package.
"""

from bridge.store.cases import Cases
from bridge.store.customers import Customers
from bridge.store.effects import Effects
from bridge.store.figures import Figuring, Which
from bridge.store.hindsight import Hindsight
from bridge.store.inbox import PURGED_AT_ONCE, Delivery
from bridge.store.notebook import Notebook
from bridge.store.ratings import Ratings
from bridge.store.rows import (
    Claim,
    Counts,
    Failure,
    Found,
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
from bridge.store.vitals import Doings, Vitals

__all__ = [
    "PURGED_AT_ONCE",
    "Claim",
    "Counts",
    "Delivery",
    "Doings",
    "Failure",
    "Found",
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
    "Which",
]


class Store(Ratings, Cases, Effects, Customers, Hindsight, Notebook, Vitals, Figuring):
    """Everything that the engine keeps; see the parts for its verbs."""
