"""Spend, usage, statements, reconciliation, requests and exports through the admin API."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tests.server.admin.kit import desked, failure
from turnout.server.admin.cells import cell
from turnout.testing.store import example_record
from turnout.types.record import Content, Outcome
from turnout.types.usage import Usage

AT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def keep(gateway, n, *, cost=1_000_000_000, model="oai/one", day=0, **who):
    outcome = Outcome(
        model=model,
        provider=model.split("/")[0],
        cost_nusd=cost,
        total_s=2.0,
        usage=Usage(input_uncached=10, output_text=5),
    )
    record = replace(
        example_record(n),
        request_id=f"req_{n}",
        at=AT + timedelta(days=day),
        outcome=outcome,
        attempts=(),
        **{"organisation": "own", **who},
    )
    gateway.rig.journal.append(record)


async def data(gateway, path, role="viewer"):
    reply = await gateway.call(role, "GET", path)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


async def test_spend_is_summed_by_whoever_is_asked_for(folder) -> None:
    async with desked(folder) as gateway:
        keep(gateway, 1, team="red")
        keep(gateway, 2, team="red", model="ant/one", day=1)
        keep(gateway, 3, team="blue", cost=None)
        keep(gateway, 4, organisation="other")
        assert await data(gateway, "/spend?by=team") == [
            {"team": "red", "requests": 2, "failed": 0, "unpriced": 0, "cost_usd": "2"},
            {"team": "blue", "requests": 1, "failed": 0, "unpriced": 1, "cost_usd": "0"},
        ]
        days = await data(gateway, "/spend?per=day&team=red")
        assert [row["at"] for row in days] == ["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"]
        assert await data(gateway, "/usage?by=model&since=2026-03-02") == [
            {
                "model": "ant/one",
                "requests": 1,
                "failed": 0,
                "input_tokens": 10,
                "output_tokens": 5,
                "mean_s": 2.0,
            }
        ]
        everything = await data(gateway, "/spend", "owner")
        assert everything[0]["requests"] == 4


async def test_usage_is_drawn_over_time_and_ranked_within_what_the_actor_reaches(folder) -> None:
    async with desked(folder) as gateway:
        keep(gateway, 1, team="red", principal=gateway.ids["call"])
        keep(gateway, 2, team="red", model="ant/one", day=1)
        keep(gateway, 3, team="blue", cost=None)
        keep(gateway, 4, organisation="other", cost=9 * 10**9)
        span = "since=2026-03-01&until=2026-03-03"
        days = await data(gateway, f"/usage/series?{span}&step=day")
        assert [(row["at"][:10], row["requests"], row["cost_usd"]) for row in days] == [
            ("2026-03-01", 2, "1"),
            ("2026-03-02", 1, "1"),
        ]
        assert days[1]["total_s"] == {"p50": 1.951, "p95": 1.951, "p99": 1.951}
        (top,) = await data(gateway, f"/usage/top?{span}&by=team&limit=1&rank=requests&latencies=false")
        assert (top["team"], top["requests"], "errors" in top) == ("red", 2, False)
        assert [row["requests"] for row in await data(gateway, f"/usage/totals?{span}", "call")] == [1]
        assert [row["cost_usd"] for row in await data(gateway, f"/usage/totals?{span}", "owner")] == ["11"]
        for query, said in (
            ("step=week", "step: "),
            ("by=a", "by: "),
            ("since=2020-01-01&step=minute", "step: "),
        ):
            reply = await gateway.call("viewer", "GET", f"/usage/series?{query}")
            assert (failure(reply)[0], failure(reply)[2].startswith(said)) == (400, True)
        found = await data(gateway, "/requests?search=red+ant&order=dearest")
        assert [row["request_id"] for row in found] == ["req_2"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("by=color", "by: expected some of"),
        ("by=team,team", "by: expected some of"),
        ("by=team,key,route,model", "by: spend is grouped by at most 3"),
        ("per=week", "per: expected hour or day"),
        ("since=2026-03-01T10:30:00Z", "since: sums are kept by the hour"),
        ("since=yesterday", "since: expected ISO 8601"),
    ],
)
async def test_what_cannot_be_summed_is_refused_with_the_parameter(folder, query, said) -> None:
    async with desked(folder) as gateway:
        reply = await gateway.call("viewer", "GET", f"/spend?{query}")
        assert failure(reply)[0] == 400
        assert failure(reply)[2].startswith(said)


async def test_a_key_sees_its_own_requests_and_their_decisions_as_it_may(folder) -> None:
    async with desked(folder) as gateway:
        await gateway.ask(gateway.keys["call"])
        keep(gateway, 2, principal="key_other")
        (row,) = await data(gateway, "/requests", "call")
        assert (row["key"], row["organisation"], row["model"]) == (gateway.ids["call"], "own", "oai/one")
        told = (await gateway.call("call", "GET", f"/requests/{row['request_id']}")).json()
        assert "attempts" not in told
        assert told["decision"]["chosen"] == ["c1"]
        full = (await gateway.call("viewer", "GET", f"/decisions/{row['request_id']}")).json()
        assert full["chosen"] == ["oai/one"]
        assert len(await data(gateway, "/requests")) == 2


async def test_stored_text_is_shown_for_a_reason_which_is_put_on_record(folder) -> None:
    async with desked(folder) as gateway:
        keep(gateway, 1, content=Content("what?", "that"))
        path = "/requests/req_1/content"
        assert failure(await gateway.call("admin", "GET", path))[0] == 400
        told = (await gateway.call("admin", "GET", f"{path}?reason=ticket+4711")).json()
        assert told["content"] == {"request": "what?", "response": "that"}
        assert "what?" not in (await gateway.call("admin", "GET", "/requests/req_1")).text
        act = (await gateway.office.desk.audit("own", limit=1000))[-1].act
        assert (act.action, act.object, act.reason) == ("content.read", "request/req_1", "ticket 4711")


async def test_pages_of_requests_go_on_where_the_last_one_ended(folder) -> None:
    async with desked(folder) as gateway:
        for n in range(3):
            keep(gateway, n, day=n)
        first = (await gateway.call("viewer", "GET", "/requests?limit=2")).json()
        rest = (await gateway.call("viewer", "GET", f"/requests?limit=2&after={first['next']}")).json()
        ids = [row["request_id"] for row in (*first["data"], *rest["data"])]
        assert (ids, rest["has_more"]) == (["req_2", "req_1", "req_0"], False)


async def test_exports_hold_every_row_and_nothing_a_spreadsheet_runs(folder) -> None:
    async with desked(folder) as gateway:
        keep(gateway, 1, project="=1+1")
        keep(gateway, 2, project="plain")
        reply = await gateway.call("viewer", "GET", "/exports/requests")
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        assert [(row["request_id"], row["project"]) for row in rows] == [
            ("req_1", "'=1+1"),
            ("req_2", "plain"),
        ]
        assert reply.headers["content-disposition"] == 'attachment; filename="requests.csv"'
        lines = (await gateway.call("viewer", "GET", "/exports/requests?format=jsonl")).text.splitlines()
        assert [json.loads(line)["request_id"] for line in lines] == ["req_1", "req_2"]
        spend = await gateway.call("viewer", "GET", "/exports/spend?by=project")
        assert spend.text.splitlines() == [
            "project,requests,failed,unpriced,cost_usd",
            "'=1+1,1,0,0,1",
            "plain,1,0,0,1",
        ]
        acts = [entry.act.action for entry in await gateway.office.desk.audit("own", limit=1000)]
        assert acts[-3:] == ["request.export", "request.export", "spend.export"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=A1", "'=A1"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("-1.5", "-1.5"),
        (-2, "-2"),
        (None, ""),
    ],
)
def test_a_cell_that_would_run_is_quoted(value, written) -> None:
    assert cell(value) == written


async def test_a_statement_sums_a_month_of_one_customer_model_by_model(folder) -> None:
    async with desked(folder) as gateway:
        keep(gateway, 1, customer="ada")
        keep(gateway, 2, customer="ada", model="ant/one", day=30)
        keep(gateway, 3, customer="ada", day=31)
        keep(gateway, 4, customer="bob")
        told = (await gateway.call("viewer", "GET", "/statements?customer=ada&month=2026-03")).json()
        assert (told["for"], told["total_usd"], told["requests"]) == (
            {"level": "customer", "id": "ada"},
            "2",
            2,
        )
        assert [line["model"] for line in told["lines"]] == ["ant/one", "oai/one"]
        text = (await gateway.call("viewer", "GET", "/statements?customer=ada&month=2026-03&format=csv")).text
        assert text.splitlines()[-1] == "total,,2,,,0,2"
        assert failure(await gateway.call("viewer", "GET", "/statements?month=2026-13&team=a"))[0] == 400


async def test_reconciliation_names_every_difference_with_a_provider_bill(folder) -> None:
    async with desked(folder) as gateway:
        keep(gateway, 1)
        keep(gateway, 2, day=1)
        bill = b"provider,model,day,cost_usd\noai,one,2026-03-01,1.25\noai,two,2026-03-02,0.5\n"
        reply = await gateway.call("owner", "POST", "/reconciliation", bill, **{"content-type": "text/csv"})
        assert [tuple(row.values()) for row in reply.json()["data"]] == [
            ("oai", "oai/one", "2026-03-02", "1", None, "-1"),
            ("oai", "oai/two", "2026-03-02", None, "0.5", "0.5"),
            ("oai", "oai/one", "2026-03-01", "1", "1.25", "0.25"),
        ]
        bad = b"provider,model,day,cost_usd\noai,one,yesterday,1\n"
        reply = await gateway.call("owner", "POST", "/reconciliation", bad, **{"content-type": "text/csv"})
        assert failure(reply)[2].startswith("body: line 2: expected a day")
