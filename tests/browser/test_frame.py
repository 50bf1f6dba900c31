"""Signing in and out, and getting around without a mouse."""

from playwright.sync_api import expect

from tests.browser.look import Reader, sign_in

FORGED = """async () => (await fetch('/admin/v1/breakers/reset', {
  method: 'POST', headers: {'content-type': 'application/json'}, body: '{}' })).status"""


def test_one_signs_in_with_a_key_writes_with_proof_alone_and_signs_out(world, chrome) -> None:
    with Reader(chrome, world.url) as reader:
        page = reader.page
        page.goto(world.url)
        reader.expected = {401}
        page.get_by_label("Admin key or personal token").fill("tn_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not valid here")
        sign_in(page, world.url, world.admin)
        expect(page.get_by_role("navigation", name="Pages")).to_contain_text("Ada")
        reader.expected = {403}
        assert page.evaluate(FORGED) == 403
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Admin key or personal token")).to_be_visible()
        page.reload()
        expect(page.get_by_label("Admin key or personal token")).to_be_visible()
        assert reader.context.cookies() == []


def test_the_keyboard_alone_reaches_pages_rows_and_points(reader) -> None:
    reader.go("overview")
    page = reader.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(reader.main).to_be_focused()
    chart = reader.card("Requests").locator("svg")
    while not chart.evaluate("each => each === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(reader.card("Requests").locator(".tip")).to_contain_text("served")
    page.keyboard.press("Escape")
    expect(reader.card("Requests").locator(".tip")).to_be_hidden()
    page.get_by_role("link", name="Models & providers").focus()
    page.keyboard.press("Enter")
    expect(reader.page.locator("h1")).to_have_text("Models & providers")
    expect(reader.main).to_be_focused()
    reader.settle()
    head = reader.main.get_by_role("columnheader", name="Errors")
    while not head.get_by_role("button").evaluate("each => each === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")


def test_a_choice_in_the_bar_keeps_the_keyboard(reader) -> None:
    reader.go("live")
    pick = reader.page.get_by_label("Time range")
    pick.focus()
    pick.select_option("7d")
    reader.settle()
    expect(reader.page.get_by_label("Time range")).to_be_focused()
    assert "range=7d" in reader.page.url


def test_on_a_small_screen_the_menu_opens_and_closes_by_keyboard(world, chrome, state) -> None:
    with Reader(chrome, world.url, state, width=390) as reader:
        reader.go("overview")
        button = reader.page.get_by_role("button", name="Menu")
        button.focus()
        reader.page.keyboard.press("Enter")
        expect(reader.page.get_by_role("link", name="Overview")).to_be_focused()
        reader.page.keyboard.press("Escape")
        expect(button).to_be_focused()
        expect(reader.page.get_by_role("link", name="Overview")).to_be_hidden()


def test_light_and_dark_are_chosen_by_the_reader_and_kept(reader) -> None:
    reader.go("audit")
    before = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
    reader.page.get_by_role("button", name="Light or dark").click()
    after = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
    reader.reload()
    assert reader.page.evaluate("getComputedStyle(document.body).backgroundColor") == after != before
