"""How the stand-in Zendesk reads query parameters and cuts lists into pages.

Cursor pages (`page[size]`, `page[after]`) are resumable and at most 100 long; offset pages (`page`, `per_page`) end at
10,000 rows. Links carry the host that the client used.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from connectors.sandbox.wsgi import Call, Refusal
from connectors.sandbox.zendesk_rows import Row

PAGE_MAX = 100
OFFSET_MAX = 100  # pages
ASKED = "sandbox.asked"  # environ key: the parameters that the handler looked at

After = Callable[[Any], Iterator[tuple[Any, Row]]]  # key -> (key, row) of everything behind it


def bad_request(error: str, description: str, **more: Any) -> Refusal:
    """Return a 400 in the vendor's shape."""
    return Refusal(400, {"error": error, "description": description, **more})


def asked(call: Call, name: str) -> str | None:
    """Return a query parameter and note that this endpoint knows it."""
    call.environ.setdefault(ASKED, set()).add(name)
    return call.args.get(name)


def asked_list(call: Call, name: str) -> list[str]:
    """Return the values of a parameter such as `role[]`, or of one with commas."""
    asked(call, name)
    return [part for text in call.args.getlist(name) for part in text.split(",") if part]


def asked_ids(call: Call, name: str = "ids") -> list[int]:
    """Return up to 100 ids. Raises Refusal 400 for more, or for what is no number."""
    texts = asked_list(call, name)
    if len(texts) > PAGE_MAX:
        raise bad_request("TooManyValues", f"Too many values were supplied for {name}", max_count=PAGE_MAX)
    if not all(text.strip().isdigit() for text in texts):
        raise bad_request("InvalidValue", f"{name} must be numbers")
    return [int(text) for text in texts]


def asked_number(call: Call, name: str) -> int | None:
    """Return a whole number, or None if it was not sent. Raises Refusal 400 for anything else."""
    text = asked(call, name)
    if text is None:
        return None
    if not text.lstrip("-").isdigit():
        raise bad_request("InvalidValue", f"Invalid value for {name}: must be a whole number")
    return int(text)


def unasked(call: Call) -> set[str]:
    """Return the query parameters that the endpoint did not look at: the vendor ignores them without a word."""
    known: set[str] = call.environ.get(ASKED, set())
    return set(call.args) - known


def url_with(call: Call, **changed: Any) -> str:
    """Return the address of this call with other query parameters; None takes one away."""
    keys = {name.replace("__", "[", 1) + "]" if "__" in name else name: value for name, value in changed.items()}
    kept = [(name, value) for name, value in call.args.items(multi=True) if name not in keys]
    added = [(name, str(value)) for name, value in keys.items() if value is not None]
    return f"{call.host_url.rstrip('/')}{call.path}?{urlencode(kept + added)}"


def cursor_of(key: Any) -> str:
    """Return an opaque cursor."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def key_of(cursor: str) -> Any:
    """Read a cursor. Raises Refusal 400."""
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise bad_request("InvalidPaginationParameter", "page[after] is not a valid cursor") from None


def page(call: Call, name: str, after: After, start: Any, count: Callable[[], int]) -> Row:
    """Return one page of what *after* gives, by cursor if the client speaks of `page[...]`, else by offset."""
    if asked(call, "page[size]") is None and asked(call, "page[after]") is None:
        return _offset_page(call, name, after(start), count)
    return cursor_page(call, name, after, start)


def cursor_page(call: Call, name: str, after: After, start: Any) -> Row:
    """Return one page by cursor, the first one where the client has none."""
    size, cursor = asked(call, "page[size]"), asked(call, "page[after]")
    if size is not None and not (size.isdigit() and 1 <= int(size) <= PAGE_MAX):
        raise bad_request("InvalidPaginationParameter", f"page[size] must be between 1 and {PAGE_MAX}")
    limit = int(size or PAGE_MAX)
    taken = list(islice(after(key_of(cursor) if cursor else start), limit + 1))
    shown = taken[:limit]
    has_more = len(taken) > limit
    last = cursor_of(shown[-1][0]) if has_more else None
    first = cursor_of(shown[0][0]) if cursor and shown else None
    following = url_with(call, page__after=last) if has_more else None
    return {
        name: [row for _, row in shown],
        "meta": {"has_more": has_more, "after_cursor": last, "before_cursor": first},
        "links": {"prev": None, "next": following},
    }


def _offset_page(call: Call, name: str, found: Iterator[tuple[Any, Row]], count: Callable[[], int]) -> Row:
    number, size = asked_number(call, "page") or 1, min(asked_number(call, "per_page") or PAGE_MAX, PAGE_MAX)
    if number > OFFSET_MAX:
        raise bad_request("InvalidPaginationDepth", "page is limited to 100; use cursor pagination")
    first, total = (number - 1) * size, count()
    return {
        name: [row for _, row in islice(found, first, first + size)],
        "next_page": url_with(call, page=number + 1) if total > first + size else None,
        "previous_page": url_with(call, page=number - 1) if number > 1 else None,
        "count": total,
    }


def by_id(listed: Iterable[Row]) -> tuple[After, Callable[[], int]]:
    """Return what `page` needs for rows that are sorted by their id."""
    ordered: Sequence[Row] = sorted(listed, key=lambda row: int(row["id"]))
    ids = [int(row["id"]) for row in ordered]

    def after(key: Any) -> Iterator[tuple[Any, Row]]:
        return ((ids[place], ordered[place]) for place in range(bisect_right(ids, int(key)), len(ids)))

    return after, lambda: len(ids)


def page_of(call: Call, name: str, listed: Iterable[Row]) -> Row:
    """Return one page of rows, in the order of their ids."""
    after, count = by_id(listed)
    return page(call, name, after, 0, count)
