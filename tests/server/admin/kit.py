"""A gateway with its desk, its admin API, and keys of every role."""

from contextlib import asynccontextmanager

import httpx

from tests.server.kit import rig as start
from turnout.govern import records
from turnout.govern.keys import issue
from turnout.govern.rules import CLI
from turnout.server.admin.opening import open_admin
from turnout.server.desk import Room

PEPPER = "0123456789abcdef" * 4
MASTER = "fedcba9876543210" * 4
ROLES = ("call", "viewer", "operator", "admin")
"""Roles of a key of one organisation."""
CHAT = {"model": "oai/one", "messages": [{"role": "user", "content": "hi"}]}


class Desked:
    """A running gateway, and what a test needs of it."""

    def __init__(self, rig, room, overlay, http) -> None:
        self.rig, self.room, self.overlay, self.http = rig, room, overlay, http
        self.office = room.office
        self.keys: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    async def call(self, role, method, path, body=None, **headers):
        """Call the API with the key of a role; "none" shows none."""
        named = {} if role == "none" else {"authorization": f"Bearer {self.keys[role]}"}
        content = {"content": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
        return await self.http.request(method, f"/admin/v1{path}", headers={**named, **headers}, **content)

    async def ask(self, key, model="oai/one"):
        """Ask a model with the text of a key."""
        return await self.http.post(
            "/v1/chat/completions", json={**CHAT, "model": model}, headers={"authorization": f"Bearer {key}"}
        )

    async def issue(self, name, **fields):
        """Issue a key as the command line does, and remember it by a name."""
        shown, document = await issue(self.office, CLI, fields)
        self.keys[name], self.ids[name] = shown.reveal(), document.id
        await self.room.refresh()

    async def make(self, kind, **fields):
        """Make a document as the command line does."""
        await records.create(self.office, CLI, kind, fields)


@asynccontextmanager
async def desked(folder, *, config="desk", extra="", server="", admin=""):
    """Start a gateway with two organisations, and keys: of each role in `own`, of each without one."""

    def edit(text):
        return text + (
            f"\ndesk: {{path: '{folder}/desk.db', pepper: {PEPPER}, master_key: {MASTER}}}\n"
            "ledger: {store: memory}\n"
            f"admin: {{config: {config}{admin}}}\n{extra}"
        )

    async with start(edit=edit, server=server) as rig:
        room = Room(rig.built, rig.gateway.follow)
        rig.gateway.denied, room.forgets = room.denied, rig.gateway.responses.forget
        await room.start()
        overlay = await open_admin(rig.built, rig.gateway, room)
        try:
            async with httpx.AsyncClient(base_url=rig.url) as http:
                found = Desked(rig, room, overlay, http)
                for name in ("own", "other"):
                    await found.make("organisation", id=name)
                for role in ROLES:
                    await found.issue(role, role=role, organisation="own")
                    await found.issue(f"{role} of none", role=role)
                await found.issue("owner", role="owner")
                await found.issue("scrape", role="scrape")
                yield found
        finally:
            await rig.gateway.plane.auth.close()
            await room.close()


def failure(reply):
    """Return status, class and message of a failure."""
    error = reply.json()["error"]
    return reply.status_code, error["class"], error["message"]
