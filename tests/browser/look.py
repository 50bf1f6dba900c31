"""How tests and screenshots look at the dashboard: one browser, and pages that are watched."""

from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.browser.world import chromium

PAGES = (
    *("overview", "live", "models", "alerts", "routes", "routes/assistant", "evaluate", "playground"),
    *("spend", "keys", "guards", "cache", "audit"),
)
WAIT_MS = 10_000
LOADING = "main .wait, .boot"


@contextmanager
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


def sign_in(page, url: str, key: str) -> None:
    page.goto(url)
    page.get_by_label("Admin key or personal token").fill(key)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("navigation", name="Pages").wait_for(timeout=WAIT_MS)


class Reader:
    """One tab. `complaints` is what the console said, what left the origin, and what the gateway refused."""

    def __init__(self, chrome, url: str, state=None, *, width: int = 1440, theme: str = "light") -> None:
        self.url, self.complaints, self.expected = url, [], set()
        self.n_bytes = 0
        size = {"width": width, "height": 1000}
        self.context = chrome.new_context(
            viewport=size, color_scheme=theme, reduced_motion="reduce", storage_state=state, locale="en-US"
        )
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"raised: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfinished", self._came)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, kind, *_) -> None:
        self.context.close()
        if kind is None:
            assert self.complaints == []

    def go(self, place: str) -> None:
        """Open a page of the dashboard and wait until nothing is loading on it."""
        address = f"{self.url}/#/{place}"
        if self.page.url.startswith(self.url):
            self.page.evaluate("to => { location.hash = to; }", f"#/{place}")
        else:
            self.page.goto(address)
        self.page.wait_for_load_state("networkidle")
        self.settle()

    def settle(self) -> None:
        self.main.locator("> *").first.wait_for(state="attached")
        for _ in range(20):  # what arrives may begin to load something of its own
            self.page.locator(LOADING).first.wait_for(state="detached")
            if self.page.locator(LOADING).count() == 0:
                return

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_load_state("networkidle")
        self.settle()

    @property
    def main(self):
        return self.page.locator("main")

    def card(self, title: str):
        return self.page.locator(
            "section.card", has=self.page.get_by_role("heading", name=title, exact=True)
        ).last

    def _said(self, message) -> None:
        if message.type not in ("error", "warning"):
            return
        if any(str(status) in message.text and "Failed to load" in message.text for status in self.expected):
            return
        self.complaints.append(f"{message.text} at {message.location.get('url')}")

    def _asked(self, request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc and not request.url.startswith("data:"):
            self.complaints.append(f"left the origin for {request.url}")

    def _came(self, request) -> None:
        sizes = request.sizes()
        self.n_bytes += sizes["responseBodySize"] + sizes["responseHeadersSize"]
