"""The dashboard's files: what is served, under which policy, and what they may hold."""

import itertools
import math
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


LINEAR = (((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
           (0.0883024619, 0.2817188376, 0.6299787005)),
          ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
           (0.0259040371, 0.7827717662, -0.8086757660)))  # fmt: skip
"""To OKLab: Björn Ottosson, "A perceptual color space for image processing", 2020."""
VISION = {
    "any": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of CVD", 2009."""
LEAST_APART, LEAST_CONTRAST = 0.07, 3.0


def times(rows, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in rows]


def linear(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def lab(rgb):
    return times(LINEAR[1], [max(0.0, each) ** (1 / 3) for each in times(LINEAR[0], rgb)])


def luminance(colour):
    return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_colours_of_series_are_told_apart_with_any_colour_vision_and_stand_out_from_the_card(dark) -> None:
    text = (STATIC / "base.css").read_text(encoding="utf-8")
    pairs = dict(re.findall(r"--(card|c\d): light-dark\((#\w{6}, #\w{6})\)", text))
    card, *series = [
        pairs.pop("card").split(", ")[dark],
        *(pair.split(", ")[dark] for pair in pairs.values()),
    ]
    assert len(series) == 8
    for vision in VISION.values():
        seen = [
            lab([min(1.0, max(0.0, each)) for each in times(vision, linear(colour))]) for colour in series
        ]
        assert min(math.dist(a, b) for a, b in itertools.combinations(seen, 2)) >= LEAST_APART
    for colour in series:
        low, high = sorted((luminance(colour), luminance(card)))
        assert (high + 0.05) / (low + 0.05) >= LEAST_CONTRAST, colour
