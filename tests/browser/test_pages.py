"""Every page: no complaint, nothing that a screen reader stumbles over, no wider than its screen."""

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

import turnout
from tests.browser.look import PAGES, Reader

STATIC = Path(turnout.__file__).parent / "server" / "dashboard" / "static"
GRAVE = {"serious", "critical"}
WEIGHT = 300_000
DIALOGS = {"keys": "New key", "spend": "New budget", "cache": "Let go of answers"}


@pytest.fixture(scope="session")
def axe():
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def dearest(world) -> str:
    return world.admin_api("GET", "/requests?order=dearest&limit=1")["data"][0]["request_id"]


def grave(page, script, place) -> list[tuple]:
    """Return what is wrong on a page as it stands."""
    page.evaluate(script)
    told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    wrong = [each for each in told["violations"] if each["impact"] in GRAVE]
    return [(place, each["id"], [node["html"][:120] for node in each["nodes"]]) for each in wrong]


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_grave_fault_of_accessibility_or_is_wider_than_the_screen(
    world, chrome, state, axe, theme, width
) -> None:
    found: list[tuple] = []
    with Reader(chrome, world.url, state, width=width, theme=theme) as reader:
        for place in (*PAGES, f"request/{dearest(world)}"):
            reader.go(place)
            for each in reader.page.locator("details.data summary").all():
                each.click()
            found += grave(reader.page, axe, place)
            if reader.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append((place, "wider than the screen"))
    assert found == []


@pytest.mark.parametrize(("place", "button"), DIALOGS.items())
def test_no_dialog_has_one_either(reader, axe, place, button) -> None:
    reader.go(place)
    reader.main.get_by_role("button", name=button, exact=True).click()
    dialog = reader.page.get_by_role("dialog")
    dialog.wait_for()
    assert grave(reader.page, axe, place) == []
    reader.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert reader.page.evaluate("document.activeElement.textContent") == button


def test_a_first_visit_of_any_page_transfers_less_than_300_kb(world, chrome, state) -> None:
    weights = {}
    for place in (*PAGES, f"request/{dearest(world)}"):
        with Reader(chrome, world.url, state) as reader:
            reader.go(place)
            weights[place] = reader.n_bytes
    assert {place: n for place, n in weights.items() if n > WEIGHT} == {}


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node: modules are parsed by the browser alone")
def test_every_module_parses() -> None:
    modules = [str(path) for path in STATIC.rglob("*.js")]
    for path in modules:
        done = subprocess.run(["node", "--check", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), path
