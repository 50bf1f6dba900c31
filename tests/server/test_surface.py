"""A request names its surface in the body or in a header, the same in every dialect (WIRE.md 5 and 7)."""

import pytest

from tests.server.kit import call, chat, message
from tests.server.kit import rig as start

SURFACES = "surfaces: {anthropic-only: {allow: [ant]}, gemini-only: {allow: [gem]}}"
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}
DIALECTS = {
    "openai": ("/v1/chat/completions", chat("auto")),
    "anthropic": ("/v1/messages", message("auto", max_tokens=50)),
    "gemini": ("/v1beta/models/auto:generateContent", GEMINI),
}


async def _model(rig, dialect, surface, *headers):
    path, body = DIALECTS[dialect]
    body = body if surface is None else {**body, "turnout": {"surface": surface}}
    reply = await call(rig, path, body, *headers)
    assert reply.status == 200, reply.body
    return reply.header("x-turnout-model")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_surface_of_the_body_holds_and_wins_over_the_header(dialect):
    async with start(SURFACES) as rig:
        header = "x-turnout-surface: gemini-only"
        assert await _model(rig, dialect, None) == "oai/one"
        assert await _model(rig, dialect, None, header) == "gem/one"
        assert await _model(rig, dialect, "anthropic-only") == "ant/one"
        assert await _model(rig, dialect, "anthropic-only", header) == "ant/one"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("surface", ["", 7, "x" * 257])
async def test_a_surface_that_is_no_name_is_refused(dialect, surface):
    path, body = DIALECTS[dialect]
    async with start(SURFACES) as rig:
        reply = await call(rig, path, {**body, "turnout": {"surface": surface}})
    assert reply.status == 400
    assert "turnout.surface" in reply.json()["error"]["message"]
