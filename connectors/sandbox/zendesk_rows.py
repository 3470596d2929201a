"""The rows of the stand-in Zendesk, in the shape in which its API shows them.

Shapes: Zendesk's Support API OpenAPI (snapshot 2026-08); what live answers have beyond it: zenpy's recorded exchanges.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import merge
from html import escape
from typing import Any

Row = dict[str, Any]
Key = tuple[str, int]  # the time and the id that a rating is sorted by

# Ranges apart from each other and above 32 bits, as Zendesk's are.
FIRST_IDS = {
    "ticket": 501, "user": 40_000_000_001, "group": 36_000_000_001, "membership": 37_000_000_001,
    "organization": 38_000_000_001, "brand": 35_000_000_001, "rating": 91_000_000_001, "reason": 3001,
    "audit": 500_000_000_001, "metric": 60_000_000_001, "rule": 39_000_000_001, "field": 34_000_000_001,
    "status": 33_000_001, "token": 32_000_001,
}  # fmt: skip
STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
LIGHT_AGENT = 1  # role_type


def stamp(moment: datetime) -> str:
    """Return a time as Zendesk writes it, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_ms(moment: datetime) -> str:
    """Return a time as the newer endpoints below /guide write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def moment_of(text: str) -> datetime:
    """Read a time that `stamp` wrote, or any ISO time with a zone."""
    return datetime.fromisoformat(text)


def clean_tags(tags: str | Iterable[Any]) -> list[str]:
    """Return tags as Zendesk keeps them: lower case, without spaces, sorted, each once."""
    words = tags.replace(",", " ").split() if isinstance(tags, str) else [str(tag) for tag in tags]
    return sorted({"_".join(word.lower().split()) for word in words if word.strip()})


@dataclass(frozen=True)
class By:
    """Who does something: *user_id* for the audit, *actor* for the ledger."""

    user_id: int
    actor: str
    channel: str = "web"
    rule: Row | None = None  # the trigger or automation that does it

    @property
    def via(self) -> Row:
        """Return the `via` of a comment, audit or event."""
        if self.rule is None:
            return {"channel": self.channel, "source": {"from": {}, "to": {}, "rel": None}}
        source = {"id": self.rule["id"], "title": self.rule["title"]}
        return {"channel": "rule", "source": {"from": source, "to": {}, "rel": self.rule["kind"]}}


@dataclass
class File:
    """One ticket with everything that belongs to it."""

    row: Row
    metric: Row
    status_since: datetime
    comments: list[Row] = field(default_factory=list)
    audits: list[Row] = field(default_factory=list)
    rating_id: int | None = None
    ran: set[tuple[int, datetime]] = field(default_factory=set)  # automations that have run, per status_since
    deleted: bool = False
    followup_source: int | None = None

    @property
    def ticket_id(self) -> int:
        """The ticket's number."""
        return int(self.row["id"])


def ticket_row(ticket_id: int, base: str, at: datetime, **values: Any) -> Row:
    """Return a new ticket without history."""
    row: Row = {
        "url": f"{base}/tickets/{ticket_id}.json", "id": ticket_id, "external_id": None, "via": None,
        "created_at": stamp(at), "updated_at": stamp(at), "generated_timestamp": int(at.timestamp()), "type": None,
        "subject": "", "raw_subject": "", "description": "", "priority": None, "status": "new", "recipient": None,
        "requester_id": None, "submitter_id": None, "assignee_id": None, "organization_id": None, "group_id": None,
        "collaborator_ids": [], "follower_ids": [], "email_cc_ids": [], "forum_topic_id": None, "problem_id": None,
        "has_incidents": False, "is_public": True, "due_at": None, "tags": [], "custom_fields": [],
        "satisfaction_rating": None, "sharing_agreement_ids": [], "custom_status_id": None, "fields": [],
        "followup_ids": [], "ticket_form_id": None, "brand_id": None, "allow_channelback": False,
        "allow_attachments": True, "from_messaging_channel": False, "support_type": "agent",
    }  # fmt: skip
    return row | values


def metric_row(metric_id: int, ticket_id: int, base: str, at: datetime) -> Row:
    """Return the metrics of a new ticket."""
    minutes = ("reply_time", "first_resolution_time", "full_resolution_time", "agent_wait_time",
               "requester_wait_time", "on_hold_time")  # fmt: skip
    return {
        "url": f"{base}/ticket_metrics/{metric_id}.json", "id": metric_id, "ticket_id": ticket_id,
        "created_at": stamp(at), "updated_at": stamp(at), "group_stations": 0, "assignee_stations": 0, "reopens": 0,
        "replies": 0, "assignee_updated_at": None, "requester_updated_at": stamp(at), "status_updated_at": stamp(at),
        "initially_assigned_at": None, "assigned_at": None, "solved_at": None, "latest_comment_added_at": stamp(at),
        **{f"{name}_in_minutes": {"calendar": None, "business": None} for name in minutes},
        "reply_time_in_seconds": {"calendar": None}, "custom_status_updated_at": stamp(at),
    }  # fmt: skip


def user_row(user_id: int, base: str, at: datetime, **values: Any) -> Row:
    """Return a user; *values* are API fields such as role, email, suspended."""
    row: Row = {
        "id": user_id, "url": f"{base}/users/{user_id}.json", "name": "", "email": None, "created_at": stamp(at),
        "updated_at": stamp(at), "time_zone": "UTC", "iana_time_zone": "Etc/UTC", "phone": None,
        "shared_phone_number": None, "photo": None, "locale_id": 1, "locale": "en-US", "organization_id": None,
        "role": "end-user", "verified": True, "external_id": None, "tags": [], "alias": "", "active": True,
        "shared": False, "shared_agent": False, "last_login_at": None, "two_factor_auth_enabled": None,
        "signature": None, "details": None, "notes": None, "role_type": None, "custom_role_id": None,
        "moderator": False, "ticket_restriction": None, "only_private_comments": False, "restricted_agent": False,
        "suspended": False, "default_group_id": None, "report_csv": False, "chat_only": False, "user_fields": {},
    }  # fmt: skip
    return row | values


def group_row(group_id: int, base: str, at: datetime, name: str) -> Row:
    """Return a group of agents."""
    return {
        "url": f"{base}/groups/{group_id}.json", "id": group_id, "is_public": True, "name": name, "description": "",
        "default": False, "deleted": False, "created_at": stamp(at), "updated_at": stamp(at),
    }  # fmt: skip


def membership_row(membership_id: int, base: str, at: datetime, *, user_id: int, group_id: int, default: bool) -> Row:
    """Return the fact that an agent is a member of a group."""
    return {
        "url": f"{base}/group_memberships/{membership_id}.json", "id": membership_id, "user_id": user_id,
        "group_id": group_id, "default": default, "created_at": stamp(at), "updated_at": stamp(at),
    }  # fmt: skip


def organization_row(organization_id: int, base: str, at: datetime, name: str, tags: Iterable[str]) -> Row:
    """Return a customer's organization."""
    return {
        "url": f"{base}/organizations/{organization_id}.json", "id": organization_id, "name": name,
        "shared_tickets": False, "shared_comments": False, "external_id": None, "created_at": stamp(at),
        "updated_at": stamp(at), "domain_names": [], "details": None, "notes": None, "group_id": None,
        "tags": clean_tags(tags), "organization_fields": {},
    }  # fmt: skip


def brand_row(brand_id: int, base: str, at: datetime, name: str, default: bool) -> Row:
    """Return a brand."""
    subdomain = "-".join(name.lower().split())
    return {
        "url": f"{base}/brands/{brand_id}.json", "id": brand_id, "name": name, "subdomain": subdomain,
        "brand_url": f"https://{subdomain}.zendesk.com", "has_help_center": True, "help_center_state": "enabled",
        "active": True, "default": default, "is_deleted": False, "logo": None, "ticket_form_ids": [],
        "host_mapping": None, "signature_template": "{{agent.signature}}", "created_at": stamp(at),
        "updated_at": stamp(at),
    }  # fmt: skip


def comment_row(comment_id: int, at: datetime, by: By, *, author_id: int, text: str, public: bool) -> Row:
    """Return a comment; *text* is plain."""
    html = "".join(f"<p>{escape(line, quote=False)}</p>" for line in text.split("\n\n"))
    return {
        "id": comment_id, "type": "Comment", "author_id": author_id, "body": text,
        "html_body": f'<div class="zd-comment" dir="auto">{html}</div>', "plain_body": text, "public": public,
        "attachments": [], "audit_id": None, "via": by.via, "created_at": stamp(at),
        "metadata": {"system": {}, "custom": {}},
    }  # fmt: skip


def rating_row(rating_id: int, base: str, at: datetime, **values: Any) -> Row:
    """Return a legacy satisfaction rating."""
    return {
        "url": f"{base}/satisfaction_ratings/{rating_id}.json", "id": rating_id, "assignee_id": None,
        "group_id": None, "requester_id": None, "ticket_id": None, "score": "offered", "created_at": stamp(at),
        "updated_at": stamp(at), "comment": None, "reason": None, "reason_id": None,
    } | values  # fmt: skip


def sort_word(rating: Row) -> str:
    """Return the filter word that a rating is filed under, such as bad_with_comment."""
    if rating["score"] not in ("good", "bad"):
        return str(rating["score"])
    return f"{rating['score']}_{'with' if rating['comment'] else 'without'}_comment"


GOOD = ("good_with_comment", "good_without_comment")
BAD = ("bad_with_comment", "bad_without_comment")
SCORE_FILTERS: dict[str, tuple[str, ...]] = {
    "offered": ("offered",), "unoffered": (), "good": GOOD, "bad": BAD, "received": GOOD + BAD,
    "received_with_comment": (GOOD[0], BAD[0]), "received_without_comment": (GOOD[1], BAD[1]),
    **{word: (word,) for word in GOOD + BAD},
}  # fmt: skip


class RatingIndex:
    """Keys of ratings, sorted per filter word, so that a page costs what it shows and not what the account has.

    *by* is the time that start_time and end_time mean: "created_at" or "updated_at".
    """

    def __init__(self, by: str) -> None:
        self.by = by
        self._keys: dict[str, list[Key]] = {word: [] for word in ("offered", *GOOD, *BAD)}
        self._filed: dict[int, tuple[str, Key]] = {}

    def file(self, rating: Row) -> None:
        """Add a rating, or move it to where it belongs after a change."""
        if found := self._filed.get(rating["id"]):
            self._keys[found[0]].remove(found[1])
        word, key = sort_word(rating), (rating[self.by], rating["id"])
        self._filed[rating["id"]] = (word, key)
        keys = self._keys[word]
        if not keys or keys[-1] < key:
            keys.append(key)
        else:
            insort(keys, key)

    def after(self, words: Iterable[str] | None, key: Key) -> Iterator[int]:
        """Return the ids behind *key*, in order; None means all words."""
        return (rating_id for _, rating_id in merge(*self._parts(words, key)))

    def count(self, words: Iterable[str] | None, low: Key, high: Key) -> int:
        """Return how many keys lie above *low* and up to *high*."""
        chosen = (self._keys[word] for word in (self._keys if words is None else words))
        return sum(bisect_right(keys, high) - bisect_right(keys, low) for keys in chosen)

    def _parts(self, words: Iterable[str] | None, key: Key) -> list[Iterator[Key]]:
        def tail(keys: list[Key]) -> Iterator[Key]:
            return (keys[place] for place in range(bisect_right(keys, key), len(keys)))

        return [tail(self._keys[word]) for word in (self._keys if words is None else words)]
