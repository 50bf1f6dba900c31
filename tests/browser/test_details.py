"""What makes the pages pleasant: first steps, failures, live updates, places for names, addresses, paper."""

import subprocess
from itertools import combinations

import pytest
from playwright.sync_api import expect

from tests.browser.look import Reader, sign_in
from tests.browser.world import World
from turnout.testing.emulator import Behaviour, Fault
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Text, ToolCall

SLOW = Behaviour(ttft_s=0.05, tokens_per_s=4)
QUALITY = {"openai/gpt-5.4-nano": 0.6, "anthropic/claude-haiku-4-5": 0.74, "openai/gpt-5.4": 0.9}
SHAPES = {
    "steps": {"type": "cascade", "accept": {"type": "length", "max_chars": 5}, "quality": QUALITY},
    "race": {"type": "hedge", "delay_s": 0.01},
    "panel": {"type": "consensus", "k": 3, "reduce": {"type": "majority"}},
}


@pytest.fixture(scope="module")
def own(chrome, tmp_path_factory):
    """A gateway of these tests alone, with little traffic, and the state of who signed in there."""
    with World(tmp_path_factory.mktemp("details"), n_requests=200) as own:
        context = chrome.new_context()
        sign_in(context.new_page(), own.url, own.admin)
        yield own, context.storage_state()
        context.close()


@pytest.fixture
def reading(chrome, own):
    with Reader(chrome, own[0].url, own[1]) as reader:
        yield own[0], reader


def test_before_the_first_request_a_page_says_what_to_do_and_its_command_works(chrome, tmp_path) -> None:
    with World(tmp_path, n_requests=0, keyed=False) as world, Reader(chrome, world.url) as reader:
        reader.go("overview")
        expect(reader.main).to_contain_text("No request has come yet")
        command = reader.main.locator("pre").first.text_content()
        assert command.startswith(f"curl {world.url}/v1/chat/completions")
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} -sf"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, '"choices"' in done.stdout) == (0, True)
        copy = reader.main.get_by_role("button", name="Copy").first
        copy.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        copy.click()  # as on plain HTTP
        expect(reader.main).to_contain_text("Selected: copy it with the keyboard")
        assert reader.page.evaluate("String(getSelection())").startswith(f"curl {world.url}")
        expect(reader.main).to_contain_text("Whole answer p50", timeout=15_000)  # by itself


def test_the_playground_stops_and_shows_failures_tools_and_who_was_cheapest(reading) -> None:
    world, reader = reading
    page, names = reader.page, ["openai/gpt-5.4", "mistral/mistral-small-latest", "openai/gpt-5.4-mini"]
    world.behave("mistral-small-latest", Behaviour(faults=(Fault(kind="overloaded"),)))
    reader.expected = {503, 529}
    reader.go("playground")
    for n, name in enumerate(names, 1):
        page.get_by_label(f"Model {n}").select_option(name)
    page.get_by_label("Turnout key").fill(world.caller)
    page.get_by_role("button", name="Ask them").click()
    expect(reader.card(names[1]).get_by_role("alert")).to_be_visible()
    expect(reader.card(names[0])).to_contain_text("Chosen because")
    expect(reader.card(names[2])).to_contain_text("cheapest")
    for name in ("gpt-5.4", "mistral-small-latest", "gpt-5.4-mini"):
        world.behave(name, SLOW)
    page.get_by_role("button", name="Ask them").click()
    expect(reader.card(names[0]).locator(".answer")).to_contain_text("emulated")
    page.get_by_role("button", name="Stop").click()
    expect(reader.card(names[0]).locator(".chips")).to_contain_text("stopped")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    call = ToolCall(id="call_1", name="weather", arguments='{"place": "Bergen"}')
    for name in ("gpt-5.4", "mistral-small-latest", "gpt-5.4-mini"):
        world.emulator.add(name, lambda request: reply_with(request, (call,), model="m"))
    page.get_by_label("Shape of the answer").select_option("tools")
    page.get_by_role("button", name="Ask them").click()
    expect(reader.card(names[0])).to_contain_text("would call weather")
    expect(reader.card(names[0]).locator("pre")).to_contain_text('"place": "Bergen"')
    for name in ("gpt-5.4", "mistral-small-latest", "gpt-5.4-mini"):
        world.emulator.add(name, lambda request: reply_with(request, (Text('{"answer": "x"}'),), model="m"))
    page.get_by_label("Shape of the answer").select_option("schema")
    page.get_by_role("button", name="Ask them").click()
    expect(reader.card(names[0]).locator(".answer")).to_contain_text('{\n  "answer": "x"\n}')


def test_a_plan_is_a_tree_with_what_came_of_each_step(reading) -> None:
    world, reader = reading
    config = world.admin_api("GET", "/config")["config"]
    pool = ["openai/gpt-5.4-nano", "anthropic/claude-haiku-4-5", "openai/gpt-5.4"]
    more = [{"name": name, "models": pool, "strategy": each} for name, each in SHAPES.items()]
    version = world.admin_api(
        "POST", "/config/versions", {"sections": {"routes": [*config["routes"], *more]}}
    )
    world.admin_api("POST", f"/config/versions/{version['id']}/apply", {"reason": "plans"})
    for name in SHAPES:
        assert world.ask(f"turnout/{name}", "What is a plan?", max_tokens=50)[0] == 200
        reader.go(f"live?route={name}")  # looks until it is written
        reader.main.locator("tbody tr a").first.click()
        reader.settle()
        plan = reader.card("The plan")
        expect(plan.locator(".node strong")).to_have_count(len(pool))
        expect(plan).to_contain_text("was asked")
        expect(plan.locator(".asked").first).to_contain_text("s")  # how long it took


@pytest.mark.parametrize("width", [1440, 390])
def test_names_at_points_cover_neither_each_other_nor_the_edge(world, chrome, state, width) -> None:
    with Reader(chrome, world.url, state, width=width) as reader:
        for place in ("models?range=30d", "routes/reports?range=30d"):
            reader.go(place)
            boxes = [each.bounding_box() for each in reader.main.locator(".chart g[role=img] text").all()]
            assert boxes, place
            for box in boxes:
                assert 0 <= box["x"] <= box["x"] + box["width"] <= width
            for a, b in combinations(boxes, 2):
                apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
                assert apart or a["y"] + a["height"] <= b["y"] + 4 or b["y"] + b["height"] <= a["y"] + 4


def test_live_traffic_keeps_order_and_keyboard_while_requests_come(world, reader) -> None:
    reader.go("live?range=30d")
    head = reader.main.get_by_role("columnheader", name="Cost")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    row = reader.main.locator("tbody tr a").nth(2)
    address = row.get_attribute("href")
    row.focus()
    before = reader.main.locator("tbody tr a").evaluate_all("all => all.map(each => each.href).join()")
    world.ask("turnout/support", "Where is my parcel?", max_tokens=50)
    reader.page.wait_for_function(
        "before => [...document.querySelectorAll('tbody tr a')].map(each => each.href).join() !== before",
        arg=before,
    )
    expect(reader.main.get_by_role("columnheader", name="Cost")).to_have_attribute("aria-sort", "descending")
    assert reader.page.evaluate("document.activeElement.getAttribute('href')") == address


def test_who_asks_for_more_stands_still_and_who_leaves_asks_no_more(reader) -> None:
    reader.go("live?range=30d")
    page, rows = reader.page, reader.main.locator("tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(200)
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    asked = []
    page.route("**/admin/v1/requests?*", lambda route: asked.append(route))  # noqa: PLW0108  it marks what it is given
    with page.expect_request("**/admin/v1/requests?*"):
        page.get_by_role("button", name="Go on").click()
    reader.go("models")
    asked[0].continue_()
    page.wait_for_timeout(2_500)
    assert len(asked) == 1


def test_a_failure_is_told_and_tried_again(reader) -> None:
    reader.expected = {503}
    broken = '{"error": {"message": "the journal refuses", "class": "store_unavailable"}}'
    reader.page.route(
        "**/admin/v1/usage/**",
        lambda route: route.fulfill(status=503, content_type="application/json", body=broken),
    )
    reader.go("overview")
    expect(reader.main.get_by_role("alert")).to_contain_text("the journal refuses")
    reader.page.unroute("**/admin/v1/usage/**")
    reader.main.get_by_role("button", name="Try again").click()
    expect(reader.main).to_contain_text("Whole answer p50")


def test_an_address_holds_time_and_filters_from_page_to_page(reader) -> None:
    reader.go("overview?range=30d&team=web")
    reader.card("Who made the spend").get_by_role("link").first.click()
    expect(reader.page.get_by_role("button", name="team: web ×")).to_be_visible()
    reader.settle()
    assert "range=30d" in reader.page.url
    assert "model=" in reader.page.url
    reader.page.get_by_role("link", name="Spend & budgets").click()
    reader.settle()
    reader.reload()
    assert all(each in reader.page.url for each in ("#/spend", "range=30d", "team=web", "model="))


def test_spend_is_taken_away_as_a_file_and_on_paper(world, reader) -> None:
    reader.go("spend?range=30d")
    address = reader.main.get_by_role("link", name="Download as CSV").get_attribute("href")
    file = reader.page.request.get(f"{world.url}{address}")
    head, *rows = file.text().splitlines()
    assert (file.status, "cost_usd" in head, len(rows) > 30) == (200, True, True)
    reader.page.emulate_media(media="print")
    expect(reader.main).to_contain_text("Spend over time")
    expect(reader.page.get_by_role("navigation", name="Pages")).to_be_hidden()
    expect(reader.main.get_by_role("button", name="Print")).to_be_hidden()


def test_a_request_is_decided_again_from_its_record_and_judged_by_its_reader(reading) -> None:
    _, reader = reading
    reader.go("live?range=30d&route=assistant")
    reader.main.locator("tbody tr a").first.click()
    reader.settle()
    reader.page.get_by_role("button", name="Decide again from the Record").click()
    expect(reader.card("Feedback and replay")).to_contain_text("The same decision would be made again")
    reader.page.get_by_role("button", name="Bad answer").click()
    expect(reader.card("Feedback and replay")).to_contain_text("thumb: 0")
