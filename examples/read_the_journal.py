"""Read back from the journal who answered, why, and what it cost."""

import asyncio
import tempfile
from pathlib import Path

from turnout.client import AsyncClient
from turnout.config import Config, JournalConfig, ModelConfig, ProviderConfig, RouteConfig
from turnout.stores.base import Query
from turnout.stores.sqlite import SqliteRows
from turnout.testing.emulator import Emulator, dialects, serving


async def main(path: Path) -> None:
    async with serving(Emulator(dialects())) as url:
        config = Config(
            providers={"demo": ProviderConfig(base_url=f"{url}/v1", codec="openai_chat", auth="none")},
            models=(ModelConfig(model="demo/a"), ModelConfig(model="demo/b")),
            routes=(RouteConfig(name="both", models=("demo/a", "demo/b"), strategy={"type": "weighted"}),),
            journal=JournalConfig(path=str(path)),
        )
        async with AsyncClient(config) as client:
            for n in range(4):
                await client.chat(f"Question number {n}", model="turnout/both")

    rows = SqliteRows(path)  # the client was left, so that everything is written
    for record in rows.query(Query(order="oldest")).records:
        assert record.decision is not None
        usage = record.outcome.usage
        tokens = "" if usage is None else f"{usage.n_input} + {usage.n_output} tokens"
        print(record.request_id, record.outcome.model, record.decision.reason, tokens)
    rows.close()


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder) / "journal.db"))
