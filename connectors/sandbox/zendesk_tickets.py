"""The ticket endpoints of the stand-in Zendesk: tickets, tags, comments, audits, jobs, incremental export, search.

Answers follow recorded ones where there are any; texts that nobody recorded are marked UNVERIFIED.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import eq, ge, gt, le, lt

from werkzeug import Response
from werkzeug.routing import Rule

from connectors.sandbox.wsgi import Call, Refusal, answer, route
from connectors.sandbox.zendesk_account import WRITABLE, Account, invalid, not_found
from connectors.sandbox.zendesk_pages import (
    asked,
    asked_ids,
    asked_list,
    asked_number,
    bad_request,
    page_of,
    url_with,
)
from connectors.sandbox.zendesk_rows import STATUSES, By, File, Row, stamp

BULK_ONLY = frozenset({"additional_tags", "remove_tags"})  # known to update_many alone
JOBS_IN_FLIGHT = 30
EXPORT_MAX = 1000
_TERM = re.compile(r"(?:(\w+)(:|<=|>=|<|>))?(.*)")
RANKS = {":": eq, "<": lt, "<=": le, ">": gt, ">=": ge}
KEPT_FOR = timedelta(hours=2)  # an Idempotency-Key
NEWEST_HIDDEN = 60  # seconds that the incremental export lags behind
HEADERS = "sandbox.headers"  # environ key: headers for the answer


def actor(call: Call) -> By:
    """Return the agent in whose name a program acts."""
    return By(int(call.user), f"api:{call.user}", "api")


def add_header(call: Call, name: str, value: str) -> None:
    """Give the answer to this call one more header."""
    call.environ.setdefault(HEADERS, {})[name] = value


@dataclass
class Job:
    """An update of many tickets that runs in the background."""

    job_id: str
    work: list[Callable[[], Row]]
    polls_left: int
    results: list[Row] = field(default_factory=list)


class TicketCalls:
    """The handlers; one for each desk.

    *job_polls*: how many times a job is asked before it says completed. *jobs_at_once*: False leaves the work of a job
    until then, or until `run_jobs`. *hide_newest*: False shows changes of the last minute in the export.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.job_polls = 1
        self.jobs_at_once = True
        self.hide_newest = True
        self.jobs: dict[str, Job] = {}
        self._waiting: list[Job] = []  # jobs with work to do, oldest first
        self._keys: dict[str, tuple[str, int, datetime]] = {}  # Idempotency-Key -> digest, ticket, when

    def routes(self) -> Iterable[Rule]:
        """Return the rules of this part."""
        one = "/api/v2/tickets/<int:ticket_id>"
        return (
            route("GET", "/api/v2/tickets", self.list_tickets),
            route("POST", "/api/v2/tickets", self.create),
            route("GET", "/api/v2/tickets/show_many", self.show_many),
            route("PUT", "/api/v2/tickets/update_many", self.update_many),
            route("GET", one, self.show),
            route("PUT", one, self.update),
            route("DELETE", one, self.delete),
            route("GET", one + "/tags", self.tags),
            route("PUT POST DELETE", one + "/tags", self.write_tags),
            route("GET", one + "/comments", self.comments),
            route("GET", one + "/audits", self.audits),
            route("GET", one + "/metrics", self.metrics),
            route("GET", one + "/related", self.related),
            route("GET", "/api/v2/job_statuses/<job_id>", self.job_status),
            route("GET", "/api/v2/incremental/tickets/cursor", self.export),
            route("GET", "/api/v2/search", self.search),
        )

    # -------------------------------------------------------------- reading
    def list_tickets(self, call: Call) -> Response:
        """List tickets, deleted ones and (unless asked for) those of AI agents excepted."""
        external_id, scope = asked(call, "external_id"), asked(call, "support_type_scope") or "agent"
        files = (file for file in self.account.tickets.values() if not file.deleted and _in_scope(file, scope))
        found = [file.row for file in files if external_id is None or file.row["external_id"] == external_id]
        body = page_of(call, "tickets", found)
        return answer(self._with_sideloads(call, body))

    def show(self, call: Call, ticket_id: int) -> Response:
        """Show one ticket."""
        body: Row = {"tickets": [self.account.file(ticket_id).row]}
        body = self._with_sideloads(call, body)
        return answer({"ticket": body.pop("tickets")[0], **body})

    def show_many(self, call: Call) -> Response:
        """Show up to 100 tickets; deleted and unknown ones are left out."""
        wanted = sorted(set(asked_ids(call)))
        files = [self.account.tickets[ticket_id] for ticket_id in wanted if ticket_id in self.account.tickets]
        found = [file.row for file in files if not file.deleted]
        body = self._with_sideloads(call, {"tickets": found})
        return answer(body | {"next_page": None, "previous_page": None, "count": len(found)})

    def _with_sideloads(self, call: Call, body: Row) -> Row:
        """Add the rows that `include` asks for; metric sets are laid into each ticket."""
        wanted, tickets, account = set(asked_list(call, "include")), body["tickets"], self.account
        if "metric_sets" in wanted:
            tickets = [row | {"metric_set": account.tickets[row["id"]].metric} for row in tickets]
            body = body | {"tickets": tickets}
        people = ("requester_id", "submitter_id", "assignee_id")
        sources = (
            ("users", people, account.users),
            ("groups", ("group_id",), account.groups),
            ("organizations", ("organization_id",), account.organizations),
        )
        for name, keys, known in sources:
            if name in wanted:
                ids = sorted({row[key] for row in tickets for key in keys if row[key] in known})
                body = body | {name: [known[row_id] for row_id in ids]}
        return body

    def comments(self, call: Call, ticket_id: int) -> Response:
        """List the comments of a ticket, oldest first unless asked otherwise."""
        newest_first = asked(call, "sort_order") == "desc" or asked(call, "sort") == "-created_at"
        asked(call, "include_inline_images")
        found = self.account.file(ticket_id).comments
        if newest_first:
            return answer(
                {"comments": found[::-1][:100], "next_page": None, "previous_page": None, "count": len(found)}
            )
        return answer(page_of(call, "comments", found))

    def audits(self, call: Call, ticket_id: int) -> Response:
        """List the audits of a ticket, with the events that are asked for."""
        wanted = set(asked_list(call, "filter_events[]"))
        found = self.account.file(ticket_id).audits
        if wanted:
            found = [a | {"events": [e for e in a["events"] if e["type"] in wanted]} for a in found]
            found = [audit for audit in found if audit["events"]]
        return answer(page_of(call, "audits", found))

    def metrics(self, _call: Call, ticket_id: int) -> Response:
        """Show the metrics of a ticket (live: one object; the OpenAPI says a list)."""
        return answer({"ticket_metric": self.account.file(ticket_id).metric})

    def related(self, _call: Call, ticket_id: int) -> Response:
        """Show what a ticket is joined to."""
        source = self.account.file(ticket_id).followup_source
        followups = [str(source)] if source else []
        return answer({"topic_id": None, "jira_issue_ids": [], "followup_source_ids": followups, "from_archive": False,
                       "incidents": 0})  # fmt: skip

    def export(self, call: Call) -> Response:
        """Show changed tickets since a time or a cursor; a ticket comes once for each change that is its newest."""
        scope, size = asked(call, "support_type_scope") or "agent", min(asked_number(call, "per_page") or 1000, 1000)
        cursor, start = asked(call, "cursor"), asked_number(call, "start_time")
        account, now = self.account, int(self.account.now().timestamp())
        if cursor is None and (start is None or start > now - NEWEST_HIDDEN):
            raise bad_request("StartTimeTooRecent", "Too recent start_time. Use a start_time older than 60 seconds")
        place = _place(cursor) if cursor else bisect_left(account.log, (start or 0, 0))
        until = now - NEWEST_HIDDEN if self.hide_newest else now
        found: list[Row] = []
        while place < len(account.log) and account.log[place][0] <= until and len(found) < size:
            ticket_id = account.log[place][1]
            if account.logged_at[ticket_id] == place and _in_scope(account.tickets[ticket_id], scope):
                found.append(account.tickets[ticket_id].row)
            place += 1
        is_end = place >= len(account.log) or account.log[place][0] > until
        following = f"MDB8{place}"
        body = {
            "tickets": found, "after_url": url_with(call, cursor=following, start_time=None), "before_url": None,
            "after_cursor": following, "before_cursor": None, "end_of_stream": is_end,
        }  # fmt: skip
        return answer(self._with_sideloads(call, body))

    def search(self, call: Call) -> Response:
        """Search tickets by type, status, tags, satisfaction and words of the subject; offset pages only."""
        words = (asked(call, "query") or "").lower().split()
        found: Iterable[Row] = self.account.searchable()
        for word in sorted(words, key=lambda word: not word.startswith("tags:")):  # those leave the fewest
            found = filter(_term(word), found)
        return answer(page_of(call, "results", [row | {"result_type": "ticket"} for row in found]))

    # -------------------------------------------------------------- writing
    def create(self, call: Call) -> Response:
        """Create a ticket, once for each Idempotency-Key."""
        sent = _sent(call, "ticket")
        key, digest = call.headers.get("Idempotency-Key"), hashlib.sha256(call.get_data()).hexdigest()
        if key and (known := self._known_key(key)):
            if known[0] != digest:
                raise bad_request("IdempotentRequestError", "Request parameters do not match the first request's")
            add_header(call, "x-idempotency-lookup", "hit")
            return answer({"ticket": self.account.tickets[known[1]].row}, 201)
        file = self._create(call, self._permitted(call, sent, "create"))
        if key:
            self._keys[key] = (digest, file.ticket_id, self.account.now())
            add_header(call, "x-idempotency-lookup", "miss")
        location = {"Location": f"{self.account.base}/tickets/{file.ticket_id}.json"}
        return answer({"ticket": file.row, "audit": file.audits[-1]}, 201, location)

    def _create(self, call: Call, wish: Row) -> File:
        source = None
        if source_id := wish.get("via_followup_source_id"):
            source = self.account.file(int(source_id))
            if source.row["status"] != "closed":  # text UNVERIFIED
                raise invalid(base=[{"description": "Follow-up source must be a closed ticket"}])
            inherited = ("subject", "requester_id", "tags", "custom_fields", "type", "priority", "brand_id")
            wish = {name: source.row[name] for name in inherited} | wish
        if "comment" not in wish and "description" in wish:
            wish["comment"] = {"body": wish["description"]}
        if "comment" not in wish:
            raise invalid(base=[{"description": "Description: cannot be blank", "error": "BlankValue"}])
        requester_id = int(wish.get("requester_id") or call.user)
        self._check_requester(requester_id)
        file = self.account.create(wish, actor(call), requester_id, "api")
        if source:
            self.account.link_follow_up(file, source)
        return file

    def _check_requester(self, requester_id: int) -> None:
        requester = self.account.users.get(requester_id)
        if requester is None:
            raise invalid(requester=[{"description": "Requester: is invalid", "error": "InvalidValue"}])
        if requester["suspended"]:
            why = f"Requester: {requester['name']} is suspended."
            raise invalid(requester=[{"description": why, "error": "UserSuspended"}])

    def _known_key(self, key: str) -> tuple[str, int, datetime] | None:
        known = self._keys.get(key)
        return known if known and self.account.now() - known[2] < KEPT_FOR else None

    def _permitted(self, call: Call, sent: Row, action: str, more: frozenset[str] = frozenset()) -> Row:
        """Return what may be written; unknown keys are dropped and named in a header, as recorded."""
        unknown = sorted(set(sent) - WRITABLE - more)
        if unknown:
            names = ", ".join(json.dumps(name) for name in unknown)
            said = f'{{:unpermitted_keys=>[{names}], :controller=>"api/v2/tickets", :action=>"{action}"}}'
            add_header(call, "x-zendesk-api-warn", said)
        return {name: value for name, value in sent.items() if name not in unknown}

    def update(self, call: Call, ticket_id: int) -> Response:
        """Change one ticket."""
        file = self.account.file(ticket_id)
        wish = self._permitted(call, _sent(call, "ticket"), "update")
        audit = self.account.update(file, wish, actor(call))
        return answer({"ticket": file.row, "audit": audit})

    def delete(self, call: Call, ticket_id: int) -> Response:
        """Delete one ticket."""
        self.account.remove(self.account.file(ticket_id), actor(call), "deleted")
        return answer(None, 204)

    def tags(self, _call: Call, ticket_id: int) -> Response:
        """Show the tags of a ticket."""
        return answer({"tags": self.account.file(ticket_id).row["tags"]})

    def write_tags(self, call: Call, ticket_id: int) -> Response:
        """Add (PUT), replace (POST) or remove (DELETE) tags."""
        file, sent = self.account.file(ticket_id), call.sent or {}
        tags = sent.get("tags", asked_list(call, "tags"))
        verb = {"PUT": "add_tags", "POST": "tags", "DELETE": "remove_tags"}[call.method]
        condition = {name: sent[name] for name in ("safe_update", "updated_stamp") if name in sent}
        self.account.update(file, {verb: tags, **condition}, actor(call))
        return answer({"tags": file.row["tags"]}, 201 if call.method == "POST" else 200)

    # -------------------------------------------------------------- many at once
    def update_many(self, call: Call) -> Response:
        """Accept a job that changes up to 100 tickets: each its own way, or all of `ids` the same way."""
        sent = call.sent if isinstance(call.sent, dict) else {}
        if "tickets" in sent:
            wishes = [dict(wish) for wish in sent["tickets"]]
        else:
            wishes = [_sent(call, "ticket") | {"id": ticket_id} for ticket_id in asked_ids(call)]
        if len(wishes) > 100:
            raise bad_request("TooManyValues", "Too many values were supplied", max_count=100)
        self._count_jobs(call)
        by = actor(call)
        work = [self._row_of_work(self._permitted(call, wish, "update_many", BULK_ONLY), by) for wish in wishes]
        random = self.account.world.random
        random.shuffle(work)
        job = Job(f"V3-{random.getrandbits(128):032x}", work, self.job_polls)
        self.jobs[job.job_id] = job
        self._waiting.append(job)
        accepted = self._shown(call, job, "queued")
        if self.jobs_at_once:
            self._work_off(job)
        return answer({"job_status": accepted})

    def _count_jobs(self, call: Call) -> None:
        remaining = max(0, JOBS_IN_FLIGHT - len(self._waiting))
        add_header(call, "zendesk-ratelimit-inflight-jobs", f"total={JOBS_IN_FLIGHT}; remaining={remaining}")
        if not remaining:
            said = {"error": "TooManyJobs", "description": "Too many jobs are queued or running"}
            raise Refusal(429, said, {"Retry-After": "10"})

    def _row_of_work(self, wish: Row, by: By) -> Callable[[], Row]:
        def carry_out() -> Row:
            ticket_id = int(wish["id"])
            wanted = {name: value for name, value in wish.items() if name not in ("id", "additional_tags")}
            if "additional_tags" in wish:
                wanted["add_tags"] = wish["additional_tags"]
            try:
                self.account.update(self.account.file(ticket_id), wanted, by)
            except Refusal as no:
                return {"id": ticket_id, "action": "update", "success": False, **_row_error(no)}
            return {"id": ticket_id, "action": "update", "status": "Updated", "success": True}

        return carry_out

    def run_jobs(self) -> None:
        """Do the work of every job that waits."""
        for job in list(self._waiting):
            self._work_off(job)

    def _work_off(self, job: Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
        job.results += [carry_out() for carry_out in job.work]
        job.work = []

    def job_status(self, call: Call, job_id: str) -> Response:
        """Show how far a job is, with the result of every row once it has completed."""
        job = self.jobs.get(job_id)
        if job is None:
            raise not_found()
        job.polls_left -= 1
        if job.polls_left > 0:
            return answer({"job_status": self._shown(call, job, "working")})
        self._work_off(job)
        return answer({"job_status": self._shown(call, job, "completed")})

    def _shown(self, call: Call, job: Job, status: str) -> Row:
        total, done = len(job.work) + len(job.results), status == "completed"
        return {
            "id": job.job_id, "job_type": "Bulk Update Ticket", "status": status, "total": total,
            "url": f"{call.host_url}api/v2/job_statuses/{job.job_id}.json", "progress": total if done else None,
            "message": f"Completed at {stamp(self.account.now())}" if done else None,
            "results": job.results if done else None,
        }  # fmt: skip


def _row_error(no: Refusal) -> Row:
    """Return the error of one row of a job. UpdateConflict is documented, the other words are UNVERIFIED."""
    if no.status == 409:
        return {"error": "UpdateConflict", "details": no.body["description"]}
    if no.status == 404:
        return {"error": "TicketNotFound", "details": "Ticket not found"}
    said = [line["description"] for lines in no.body["details"].values() for line in lines]
    return {"error": "TicketUpdateFailed", "details": " ".join(said)}


def _sent(call: Call, name: str) -> Row:
    """Return the object that a write must carry. Raises Refusal 400."""
    if not isinstance(call.sent, dict) or not isinstance(call.sent.get(name), dict):
        raise bad_request("RequiredParameterMissing", f"param is missing or the value is empty: {name}")
    return dict(call.sent[name])


def _in_scope(file: File, scope: str) -> bool:
    """Tell if a ticket is of the kind asked for; the default leaves out what AI agents handled."""
    return scope == "all" or file.row["support_type"] == scope


def _place(cursor: str) -> int:
    """Read the cursor of the export."""
    text = cursor.removeprefix("MDB8")
    if not cursor.startswith("MDB8") or not text.isdigit():
        raise bad_request("InvalidValue", "cursor is invalid")
    return int(text)


def _term(word: str) -> Callable[[Row], bool]:
    """Return the test for one term of a search, such as `tags:vip`, `status<closed` or a word of the subject."""
    name, sign, wanted = _TERM.findall(word)[0]
    if not sign:
        return lambda row: wanted in row["subject"].lower()
    if name == "status" and sign in RANKS and wanted in STATUSES:
        compare, rank = RANKS[sign], STATUSES.index(wanted)
        return lambda row: compare(STATUSES.index(row["status"]), rank)
    if name == "satisfaction":
        wanted = wanted.removesuffix("withcomment")
        return lambda row: (row["satisfaction_rating"] or {}).get("score", "") == wanted
    tests: dict[str, Callable[[Row], bool]] = {
        "type": lambda _row: wanted == "ticket",
        "tags": lambda row: wanted in row["tags"],
        "external_id": lambda row: row["external_id"] == wanted,
    }
    return tests.get(name, lambda _row: False)
