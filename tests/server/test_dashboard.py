"""The dashboard's files: what is served, under which policy, and what they may hold."""

import re
from pathlib import Path

import httpx
import pytest

import turnout
from tests.server.kit import rig as start

STATIC = Path(turnout.__file__).parent / "server" / "dashboard" / "static"
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
MODULES = [path for path in FILES if path.suffix == ".js"]
HTML = {"accept": "text/html,application/xhtml+xml"}


async def test_a_browser_gets_the_page_and_everybody_else_the_state() -> None:
    async with start() as rig, httpx.AsyncClient(base_url=rig.url) as http:
        page = await http.get("/", headers=HTML)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert (await http.get("/")).json() == {"status": "ok"}
        assert (await http.head("/", headers=HTML)).content == b""


async def test_every_file_is_served_once_and_then_known_by_its_digest() -> None:
    async with start() as rig, httpx.AsyncClient(base_url=rig.url) as http:
        for path in FILES:
            name = path.relative_to(STATIC).as_posix()
            reply = await http.get(f"/ui/{name}")
            assert (reply.status_code, reply.text) == (200, path.read_text(encoding="utf-8")), name
            assert reply.headers["content-encoding"] == "gzip"
            again = await http.get(f"/ui/{name}", headers={"if-none-match": reply.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/ui/", "/ui/nothing.js", "/ui/../dashboard.py", "/ui/%2e%2e/dashboard.py"])
async def test_what_is_no_file_of_the_dashboard_is_not_found(path) -> None:
    async with start() as rig, httpx.AsyncClient(base_url=rig.url) as http:
        assert (await http.get(path)).status_code == 404


def test_no_page_is_heavier_than_a_third_of_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in FILES) < 300_000


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_modules_load_only_each_other_and_write_no_markup(path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"(?:from|import)\s*\(?['\"]([^'\"]+)['\"]", text):
        assert (path.parent / target).resolve() in MODULES, target
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    outside = set(re.findall(r"https?://[^\s'\"`]+", text))
    assert outside <= {"http://www.w3.org/2000/svg"}
    assert len(text.splitlines()) <= 400
