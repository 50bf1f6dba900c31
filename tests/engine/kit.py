"""An engine over a scripted network, and requests to send through it."""

import asyncio

from turnout.build import build
from turnout.config import parse_config
from turnout.stores.memory import MemoryJournal
from turnout.testing.scripted import ScriptedTransport, Turn
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text

__all__ = ["Turn"]


def names(*hosts):
    return [f"{host}/m" for host in hosts]


def config_for(hosts, extra=""):
    rows = "\n".join(f"  {h}: {{codec: anthropic, base_url: 'http://{h}:1/v1', auth: none}}" for h in hosts)
    models = ", ".join(names(*hosts))
    hosts_list = ", ".join(hosts)
    text = (
        f"providers:\n{rows}\nmodels: [{models}]\negress: {{allow_http: [{hosts_list}]}}\n"
        f"routes:\n  - {{name: r, models: [{models}]{extra}}}\n"
    )
    return parse_config(text, env={})


class Rig:
    """A built engine with its script, journal and shortcuts."""

    def __init__(self, built, transport, journal):
        self.built, self.transport, self.journal = built, transport, journal
        self.engine = built.engine
        self.n = 0

    def ask(self, **fields):
        self.n += 1
        return Ask(request_id=f"req_{self.n:026d}", **fields)

    def open(self, model="turnout/r", stream=False, **fields):
        return self.engine.open(request(model, stream=stream), self.ask(**fields))

    async def text(self, model="turnout/r", **fields):
        async with self.open(model, **fields) as reply:
            return said(await reply.response())

    async def stream(self, model="turnout/r", **fields):
        words = []
        async with self.open(model, stream=True, **fields) as reply:
            async for events in reply.events():
                words += [event.text for event in events if hasattr(event, "text")]
        return words


def request(model="turnout/r", *, stream=False, text="hi"):
    return ChatRequest(model=model, messages=(Message("user", (Text(text),)),), stream=stream, max_tokens=50)


def said(response):
    return "".join(part.text for part in response.choices[0].parts)


async def rig(script, extra="", config=None):
    transport, journal = ScriptedTransport(script), MemoryJournal()
    clock = asyncio.get_running_loop().time
    built = await build(
        config or config_for(script, extra), {}, transport=transport, journal=journal, clock=clock
    )
    return Rig(built, transport, journal)
