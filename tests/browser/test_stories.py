"""What people come to the dashboard for, each from the beginning to the end."""

import json
import re
import time
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.look import Reader, sign_in
from tests.browser.world import World
from turnout.testing.emulator import Behaviour, Fault

OVERLOADED = Behaviour(faults=(Fault(kind="overloaded"),))


@pytest.fixture
def own(world, chrome, tmp_path):
    """A gateway of this test alone, which it may change, and a reader who signed in there."""
    with World(tmp_path, n_requests=400) as own:
        context = chrome.new_context()
        sign_in(context.new_page(), own.url, own.admin)
        with Reader(chrome, own.url, context.storage_state()) as reader:
            yield own, reader
        context.close()


def test_the_dearest_request_of_yesterday_says_why_it_went_where_it_went(world, reader) -> None:
    today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    span = [(today - timedelta(days=days)).isoformat().replace("+", "%2B") for days in (1, 0)]
    found = world.admin_api("GET", f"/requests?order=dearest&limit=1&since={span[0]}&until={span[1]}")[
        "data"
    ][0]
    reader.go("overview")
    reader.page.get_by_role("link", name="Live traffic").click()
    reader.page.get_by_label("Time range").select_option("yesterday")
    reader.page.get_by_label("Order").select_option("dearest")
    reader.settle()
    reader.main.locator("tbody tr a").first.click()
    reader.settle()
    assert reader.page.locator("h1").text_content() == found["request_id"]
    record = world.admin_api("GET", f"/requests/{found['request_id']}")
    decision = record["decision"]
    why = reader.card("Why this model")
    expect(why).to_contain_text(f"{decision['chosen'][0]} because {decision['reason'].replace('_', ' ')}")
    rows = why.get_by_role("region", name="Candidates with their scores").locator("tbody tr")
    assert rows.count() == len(decision["candidates"])
    expect(reader.card("The plan")).to_contain_text("was asked")
    expect(reader.card("What happened")).to_contain_text(record["attempts"][0]["deployment"])


def test_three_models_are_compared_side_by_side(world, reader) -> None:
    chosen = ["turnout/assistant", "anthropic/claude-haiku-4-5", "mistral/mistral-small-latest"]
    reader.go("playground")
    for n, name in enumerate(chosen, 1):
        reader.page.get_by_label(f"Model {n}").select_option(name)
    reader.page.get_by_label("Prompt", exact=True).fill("What is a turnout?")
    reader.page.get_by_label("Turnout key").fill(world.caller)
    reader.page.get_by_role("button", name="Ask them").click()
    for name in chosen:
        column = reader.card(name)
        expect(column.locator(".answer")).to_contain_text("emulated answer")
        expect(column).to_contain_text("first token")
        expect(column.locator(".chips")).to_contain_text("$")
        expect(column).to_contain_text("Chosen because")
    reader.card(chosen[0]).get_by_role("link", name="The whole story").click()
    expect(reader.card("Why this model")).to_contain_text("route assistant")


def test_a_key_with_a_budget_is_refused_when_it_is_spent(own) -> None:
    world, reader = own
    reader.go("keys")
    reader.page.get_by_role("button", name="New key").click()
    for label, value in {
        "Name": "intern",
        "Organisation": "acme",
        "Budget in US dollars a month": "0.012",
    }.items():
        reader.page.get_by_role("dialog").get_by_label(label).fill(value)
    reader.page.get_by_role("button", name="Make it").click()
    key = reader.page.locator("#new-key").text_content()
    reader.page.get_by_role("button", name="Close").click()
    statuses = []
    for n in range(30):
        status, answer = world.ask(
            "openai/gpt-5.4", f"Write an essay about parcel {n}.", key, max_tokens=1000
        )
        statuses.append(status)
        if status != 200:
            break
    assert (statuses[0], statuses[-1]) == (200, 402)
    assert answer["error"]["code"] == "budget_exceeded"
    reader.go("spend")
    budget = reader.main.get_by_role("row").filter(has_text="intern").filter(has_text="budget, refuses")
    expect(budget.get_by_role("meter")).to_be_visible()
    reader.go("live")
    expect(reader.main.locator("tbody tr").first).to_contain_text("budget exceeded")
    reader.main.locator("tbody tr a").first.click()
    expect(reader.main).to_contain_text("budget exceeded")


def test_an_outage_its_fallback_its_circuit_and_its_alert_are_seen(own) -> None:
    world, reader = own
    world.behave("claude-haiku-4-5", OVERLOADED)
    for n in range(25):
        assert world.ask("turnout/support", f"Where is parcel {n}?")[0] == 200
    reader.go("live")
    row = reader.main.locator("tbody tr").filter(has_text="fallback").first
    expect(row).to_contain_text("openai/gpt-5.4-mini")
    row.locator("a").first.click()
    reader.settle()
    attempts = reader.main.get_by_role("region", name="Attempts").locator("tbody tr")
    expect(attempts.first).to_contain_text("claude-haiku-4-5")
    expect(attempts.first).to_contain_text("provider overloaded")
    expect(attempts.last).to_contain_text("ok")
    reader.go("models")
    shut = reader.main.get_by_role("row").filter(has_text="anthropic/claude-haiku-4-5").first
    expect(shut.locator(".chip.bad")).to_be_visible()
    assert [(each["rule"], each["what"]) for each in world.told()] == [("provider_errors", "firing")]

    reader.go("alerts")
    expect(reader.card("Firing")).to_contain_text("attempts at anthropic failed by its fault")
    expect(reader.card("Who is told")).to_contain_text("ops")
    reader.go("models")
    world.behave("claude-haiku-4-5", Behaviour())
    shut.get_by_role("button", name="Reset").click()
    reader.page.get_by_role("button", name="Close the circuit").click()
    expect(
        reader.main.get_by_role("row").filter(has_text="anthropic/claude-haiku-4-5").first
    ).to_contain_text("up")


def test_a_lower_threshold_is_predicted_applied_and_rolled_back(own) -> None:
    world, reader = own
    reader.go("routes/assistant")
    text = reader.page.get_by_label("Configuration of the route assistant")
    route = json.loads(text.input_value())
    route["strategy"]["q_floor"] = 0.75
    text.fill(json.dumps(route))
    reader.page.get_by_role("button", name="Validate").click()
    expect(reader.main).to_contain_text("This can be put in force.")
    reader.page.get_by_role("button", name="Predict the effect").click()
    expect(reader.main).to_contain_text("would go elsewhere")
    shares = reader.main.get_by_role("region", name="Predicted shares")
    expect(shares.get_by_role("row").filter(has_text="openai/gpt-5.4-mini")).to_contain_text(
        re.compile(r"0\.0 %(9\d|100)")
    )
    reader.page.get_by_role("button", name="Propose and compare").click()
    expect(reader.main.get_by_role("region", name="Differences")).to_contain_text("0.75")
    reader.main.get_by_role("button", name=re.compile("^Apply")).click()
    dialog = reader.page.get_by_role("dialog")
    dialog.get_by_label("Why?").fill("cheaper at the same quality")
    dialog.get_by_role("button", name="Apply").click()
    dialog.wait_for(state="detached")
    assert answered_by(world, "turnout/assistant", "gpt-5.4-mini")
    reader.go("routes")
    reader.page.get_by_role("button", name="Roll back").click()
    dialog.get_by_role("button", name="Roll back").click()
    dialog.wait_for(state="detached")
    assert answered_by(world, "turnout/assistant", "gpt-5.4")


def answered_by(world, route, model, wait_s=5.0) -> bool:
    """Tell whether a model comes to answer: a version is taken in behind the answer to its application."""
    ends = time.monotonic() + wait_s
    while time.monotonic() < ends:
        if world.ask(route, "Hello", max_tokens=20)[1]["model"] == model:
            return True
        time.sleep(0.1)
    return False
