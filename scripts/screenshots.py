"""Draw docs/images/dashboard from seeded traffic (`make screenshots`).

Every page, light and dark, at 1440 and 390 pixels: a real gateway over `scripts/seed.py`'s month, an emulated
provider, and Chromium. Long pages are cut at two screens. Pictures are palette PNGs, so that they stay small.

    python -m scripts.screenshots [PAGE …]
"""

import io
import itertools
import math
import sys
import tempfile
from pathlib import Path

from tests.browser.look import PAGES, Reader, browser, sign_in
from tests.browser.world import World, chromium
from turnout.testing.emulator import Behaviour, Fault

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images" / "dashboard"
SIZES = {1440: 1800, 390: 1688}
"""Width -> the most height: two screens."""
PALETTES = ((6, 64), (16, 48), (24, 40), (32, 32), (40, 24), (52, 20))
"""How far colours are apart at least, and how many there are at most; tried until the picture is small."""
SURFACES = 8
"""The most common colours, which are taken whatever their distance: page, card, lines."""
MOST_BYTES = 60_000
TALL = {"live": (1000, 844), "guards": (1200, 1300), "alerts": (1400, 1400), "overview": (1160, 1688)}
"""Pages that say on less than two screens what they have to say."""
RANGE = {"live": "24h", "evaluate": "30d", "spend": "30d", "playground": None, "keys": None, "audit": None}
"""Pages that look at another time than a week."""
WEEK = "7d"
N_TROUBLED = 30


def main() -> int:
    """Draw the pages that are named, or all."""
    if chromium() is None:
        print("there is no Chromium: install it, or name it in TURNOUT_TEST_CHROMIUM", file=sys.stderr)
        return 1
    TARGET.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        browser() as chrome,
        World(Path(folder) / "world", n_requests=6000) as world,
    ):
        trouble(world)
        context = chrome.new_context()
        sign_in(context.new_page(), world.url, world.admin)
        state = context.storage_state()
        story = world.admin_api("GET", "/requests?route=assistant&order=dearest&limit=1")
        places = (
            {name: name for name in PAGES}
            | {"evaluate": "evaluate?route=drafts"}
            | {"request": f"request/{story['data'][0]['request_id']}"}
        )
        for theme, width in itertools.product(("light", "dark"), SIZES):
            with Reader(chrome, world.url, state, width=width, theme=theme) as reader:
                for name in sys.argv[1:] or places:
                    draw(reader, world, places[name], (name, theme, width))
                for each in reader.complaints:
                    print(f"  {each}", file=sys.stderr)
                reader.complaints.clear()  # the browser suite fails for them
    return 0


def trouble(world: World) -> None:
    """Let a model fail until its circuit opens and an alert is told, so that there is something to see."""
    world.behave("claude-haiku-4-5", Behaviour(faults=(Fault(kind="overloaded"),)))
    for n in range(N_TROUBLED):
        world.ask("turnout/support", f"Where is parcel {n}?", max_tokens=200)
    world.told()


def draw(reader: Reader, world: World, place: str, of: tuple[str, str, int]) -> None:
    """Draw one page."""
    name, theme, width = of
    span = RANGE.get(name, WEEK)
    sign = "&" if "?" in place else "?"
    reader.go(f"{place}{sign}range={span}" if span and not place.startswith("request/") else place)
    if name == "playground":
        ask(reader, world)
    reader.page.mouse.move(0, 0)
    page = reader.page
    most = TALL[name][width != max(SIZES)] if name in TALL else SIZES[width]
    height = min(most, page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": width, "height": max(844, height)})
    page.wait_for_timeout(150)
    picture = page.screenshot()
    page.set_viewport_size({"width": width, "height": 1000})
    path = TARGET / f"{name.replace('/', '-')}-{theme}-{width}.png"
    path.write_bytes(small(picture))
    print(f"· {path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB", flush=True)


def ask(reader: Reader, world: World) -> None:
    """Let three models answer in the playground."""
    page = reader.page
    for n, model in enumerate(
        ("turnout/assistant", "mistral/mistral-small-latest", "openai/gpt-5.4-mini"), 1
    ):
        page.get_by_label(f"Model {n}").select_option(model)
    page.get_by_label("Turnout key").fill(world.caller)
    page.get_by_role("button", name="Ask them").click()
    page.get_by_text("The whole story").nth(2).wait_for()


def small(picture: bytes) -> bytes:
    """Return a PNG with a palette, the largest one with which it is no larger than it may be."""
    from PIL import Image  # noqa: PLC0415  of `make browser`'s packages

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    counted = [colour for _, colour in sorted(image.getcolors(1 << 24) or [], reverse=True)]
    for least, most in PALETTES:
        palette = Image.new("P", (1, 1))
        palette.putpalette([channel for colour in spread(counted, least, most) for channel in colour])
        packed = io.BytesIO()
        image.quantize(palette=palette, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= MOST_BYTES:
            break
    return packed.getvalue()


def spread(colours: list[tuple[int, ...]], least: float, most: int) -> list[tuple[int, ...]]:
    """Return the most common colours that are apart, so that a rare one with a meaning is among them."""
    found = colours[:SURFACES]
    for colour in colours[SURFACES:]:
        if len(found) == most:
            break
        if all(math.dist(colour, other) >= least for other in found):
            found.append(colour)
    return found


if __name__ == "__main__":
    sys.exit(main())
