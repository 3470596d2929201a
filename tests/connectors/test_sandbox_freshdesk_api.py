"""The Freshdesk stand-in over its HTTP API: who may call and how often, people, ratings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sandbox_shop import HOUR, Shop, first_error


@pytest.fixture
def shop() -> Shop:
    return Shop()


# ------------------------------------------------------------------ who may call, and how often
def test_a_wrong_key_is_refused(shop: Shop) -> None:
    response = shop.call("GET", "/account", auth=("wrong", "X"))

    assert (response.status_code, response.json["code"]) == (401, "invalid_credentials")


def test_a_key_without_admin_reads_tickets_but_no_agents(shop: Shop) -> None:
    shop.desk.key_is_admin = False

    assert shop.call("GET", "/agents/me").status_code == 200
    assert shop.call("GET", f"/tickets/{shop.ticket_id}").status_code == 200
    assert shop.call("GET", "/agents").json["code"] == "access_denied"
    assert shop.call("GET", f"/agents/{shop.ann}").status_code == 403


def test_other_media_types_are_refused(shop: Shop) -> None:
    assert shop.call("GET", "/account", headers={"Accept": "text/xml"}).status_code == 406
    form = shop.http.post(f"/api/v2/tickets/{shop.ticket_id}/notes", data={"body": "x"}, auth=("key", "X"))
    assert form.status_code == 415


def test_unknown_paths_are_404_without_a_body_and_wrong_methods_405(shop: Shop) -> None:
    missing = shop.call("GET", "/nothing")

    assert (missing.status_code, missing.data) == (404, b"")
    assert shop.call("POST", "/account", {}).status_code == 405


def test_includes_cost_credits(shop: Shop) -> None:
    one = shop.call("GET", f"/tickets/{shop.ticket_id}?include=stats,requester")
    many = shop.call("GET", "/tickets?include=stats,requester")

    assert one.headers["X-RateLimit-Used-CurrentRequest"] == "3"
    assert many.headers["X-RateLimit-Used-CurrentRequest"] == "5"
    assert many.headers["X-RateLimit-Remaining"] == str(700 - 8)


def test_a_used_up_minute_says_how_long_to_wait() -> None:
    shop = Shop(rate_limit=2)
    shop.get("/account")
    shop.world.clock.advance(timedelta(seconds=20))
    shop.get("/account")

    response = shop.call("GET", "/account")

    assert (response.status_code, response.headers["Retry-After"]) == (429, "40")
    assert response.headers["X-RateLimit-Remaining"] == "0"
    shop.world.clock.advance(timedelta(seconds=40))
    assert shop.call("GET", "/account").status_code == 200


def test_lists_of_tickets_have_a_limit_of_their_own() -> None:
    shop = Shop(rate_limit=200)
    answers = [shop.call("GET", "/tickets") for _ in range(21)]

    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert shop.call("GET", f"/tickets/{shop.ticket_id}").status_code == 200


def test_updates_have_a_limit_of_their_own() -> None:
    shop = Shop(rate_limit=200)
    answers = [shop.put({"priority": 1 + i % 4}) for i in range(81)]

    assert [answer.status_code for answer in answers] == [200] * 80 + [429]


def test_an_account_without_a_limit_says_nothing_about_it() -> None:
    headers = Shop(rate_limit=0).call("GET", "/account").headers

    assert "X-RateLimit-Total" not in headers


# ------------------------------------------------------------------ people
def test_listed_agents_lack_groups_and_roles(shop: Shop) -> None:
    listed = next(agent for agent in shop.get("/agents") if agent["id"] == shop.ann)
    whole = shop.get(f"/agents/{shop.ann}")

    assert "group_ids" not in listed
    assert whole["group_ids"] == [int(shop.team)]
    assert whole["contact"]["email"] == "ann@shop.example"


def test_an_agent_who_left_is_404(shop: Shop) -> None:
    shop.desk.remove_agent(str(shop.ann))

    assert shop.call("GET", f"/agents/{shop.ann}").status_code == 404


def test_presence_is_told_where_the_account_has_it(shop: Shop) -> None:
    shop.desk.set_presence(str(shop.ann), available=True)
    told = shop.get(f"/agents/{shop.ann}/availability")["channel_availability"][0]
    listed = {one["id"]: one for one in shop.get("/agents?only=availability")}

    assert (told["available"], told["availability_updated_at"]) == (True, "2026-11-02T09:00:00Z")
    assert listed[shop.ann]["deactivated"] is False
    shop.desk.missing_features.add("availability")
    assert shop.call("GET", f"/agents/{shop.ann}/availability").status_code == 404


def test_groups_tell_their_agents_one_by_one(shop: Shop) -> None:
    assert "agent_ids" not in shop.get("/groups")[0]
    assert shop.get(f"/groups/{shop.team}")["agent_ids"] == [shop.ann]
    assert shop.get(f"/admin/groups/{shop.team}/agents")[0]["contact"]["name"] == "Ann"


def test_customers_are_found_by_tag(shop: Shop) -> None:
    shop.desk.add_customer("Dora", "dora@mail.example", tags=["x"])
    shop.desk.add_customer("Emil", "emil@mail.example")

    found = shop.get("/search/contacts?query=%22tag:'vip'%20OR%20tag:'x'%22")

    assert found["total"] == 2
    assert [one["name"] for one in found["results"]] == ["Cora", "Dora"]


def test_searches_show_thirty_at_a_time(shop: Shop) -> None:
    for i in range(31):
        shop.desk.add_customer(f"C{i}", f"c{i}@mail.example", tags=["many"])

    query = "query=%22tag:'many'%22"
    assert len(shop.get(f"/search/contacts?{query}")["results"]) == 30
    assert len(shop.get(f"/search/contacts?{query}&page=2")["results"]) == 1


@pytest.mark.parametrize("query", ["tag:'vip'", "%22tag:%22", "%22colour:'red'%22", "%22(tag:'a'%22"])
def test_malformed_queries_are_refused(shop: Shop, query: str) -> None:
    assert shop.call("GET", f"/search/contacts?query={query}").status_code == 400


def test_companies_and_products_are_read(shop: Shop) -> None:
    company = shop.get(f"/contacts/{shop.cora}")["company_id"]
    shop.open("Bulb", brand="Lamps")

    assert shop.get(f"/companies/{company}")["name"] == "Acme"
    assert [one["name"] for one in shop.get("/products")] == ["Lamps"]


# ------------------------------------------------------------------ ratings
def test_ratings_are_listed_since_a_moment_newest_first(shop: Shop) -> None:
    old = shop.desk.rate(str(shop.ticket_id), "good")
    shop.after(HOUR)
    new = shop.desk.rate(str(shop.ticket_id), "bad", "Too slow")

    path = "/surveys/satisfaction_ratings"
    assert [str(one["id"]) for one in shop.get(path)] == [new, old]
    assert [one["ratings"] for one in shop.get(f"{path}?created_since=2026-11-02T09:30:00Z")] == [
        {"default_question": -103}
    ]
    assert shop.get(f"{path}?user_id=1") == []


def test_ratings_come_in_linked_pages_of_at_most_100(shop: Shop) -> None:
    shop.desk.add_ratings_in_bulk(250)
    path: str | None = "/surveys/satisfaction_ratings?per_page=100&created_since=2026-01-01T00:00:00Z"
    seen = []
    while path:
        response = shop.call("GET", path)
        seen += [one["id"] for one in response.json]
        link = response.headers.get("Link", "")
        path = link.split(">")[0].split("/api/v2")[-1] if link else None

    assert len(seen) == len(set(seen)) == 250
    assert first_error(shop.call("GET", "/surveys/satisfaction_ratings?per_page=101"))[1] == "per_page"


def test_a_full_last_page_has_no_next(shop: Shop) -> None:
    shop.desk.add_ratings_in_bulk(200)

    response = shop.call("GET", "/surveys/satisfaction_ratings?per_page=100&page=2")

    assert (len(response.json), response.headers.get("Link")) == (100, None)


def test_a_rating_may_show_up_late(shop: Shop) -> None:
    shop.desk.ratings_visible_after = HOUR
    shop.desk.rate(str(shop.ticket_id), "bad")

    assert shop.get("/surveys/satisfaction_ratings") == []
    shop.after(HOUR)
    assert len(shop.get("/surveys/satisfaction_ratings")) == 1


def test_a_program_may_record_a_rating(shop: Shop) -> None:
    path = f"/tickets/{shop.ticket_id}/satisfaction_ratings"

    made = shop.call("POST", path, {"feedback": "Fine now", "ratings": {"default_question": 103}})

    assert (made.status_code, made.json["agent_id"], made.json["user_id"]) == (201, shop.ann, int(shop.cora))
    assert len(shop.get(path)) == 1
    assert shop.call("POST", path, {"ratings": {"default_question": 7}}).status_code == 400


def test_a_plan_without_surveys_says_so() -> None:
    shop = Shop(csat="none")

    for path in ("/surveys", "/surveys/satisfaction_ratings", "/customer-satisfaction/surveys"):
        response = shop.call("GET", path)
        assert (response.status_code, response.json["code"]) == (403, "require_feature")


def test_the_newer_api_pages_by_token_and_writes_ids_as_strings() -> None:
    shop = Shop(csat="new", points=5)
    survey = shop.get("/customer-satisfaction/surveys?state=ACTIVE")["data"][0]
    path = f"/customer-satisfaction/surveys/{survey['id']}/responses"
    assert shop.call("GET", path).status_code == 404
    for _ in range(3):
        shop.desk.rate(str(shop.open("More", assignee=str(shop.ann))), "bad", "Slow", "price")

    page = shop.get(f"{path}?per_page=2")
    rest = shop.get(page["paging"]["next"].split("/api/v2")[1])

    assert (len(page["data"]), len(rest["data"]), rest["paging"]["next"]) == (2, 1, None)
    assert page["data"][0]["agent_id"] == str(shop.ann)
    assert [one["value"] for one in page["data"][0]["answers"]] == [1, "price", "Slow"]


@pytest.mark.parametrize(
    ("behaviour", "status", "found"), [("honoured", 200, 1), ("ignored", 200, 2), ("refused", 400, 0)]
)
def test_the_newer_api_may_not_know_created_after(behaviour: str, status: int, found: int) -> None:
    shop = Shop(csat="new")
    shop.desk.created_after = behaviour
    shop.desk.rate(str(shop.ticket_id), "bad")
    shop.after(HOUR)
    shop.desk.rate(str(shop.open("Later")), "bad")
    survey = shop.get("/customer-satisfaction/surveys")["data"][0]["id"]

    path = f"/customer-satisfaction/surveys/{survey}/responses?created_after=2026-11-02T09:30:00Z"
    response = shop.call("GET", path)

    assert (response.status_code, len(response.json.get("data", []))) == (status, found)


def test_accounts_have_one_of_the_two_apis() -> None:
    assert Shop(csat="new").get("/surveys/satisfaction_ratings") == []
    assert Shop().call("GET", "/customer-satisfaction/surveys").status_code == 404
