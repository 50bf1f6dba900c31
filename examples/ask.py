"""Ask a question in process, without a server: one engine, one call, and what it took.

The upstream here is the bundled emulator, so that this runs anywhere. For a real provider leave `base_url`
out, name a model such as `openai/gpt-5-mini`, and put its key into the environment.
"""

import asyncio
from decimal import Decimal

from turnout.catalog.prices import UsdPrice
from turnout.client import AsyncClient
from turnout.config import Config, JournalConfig, ModelConfig, ProviderConfig
from turnout.testing.emulator import Emulator, dialects, serving


async def main() -> None:
    async with serving(Emulator(dialects())) as url:
        config = Config(
            providers={"demo": ProviderConfig(base_url=f"{url}/v1", codec="anthropic", auth="none")},
            models=(ModelConfig(model="demo/claude", price=UsdPrice(input=Decimal(1), output=Decimal(5))),),
            journal=JournalConfig(enabled=False),
        )
        async with AsyncClient(config) as client:
            answer = await client.chat("What is a railway turnout?", model="demo/claude", max_tokens=100)

    print(answer.text)
    assert answer.usage is not None
    assert answer.cost_nusd is not None
    n_in, n_out = answer.usage.n_input, answer.usage.n_output
    print(f"{answer.model}: {n_in} tokens in, {n_out} out, ${answer.cost_nusd / 1e9:.6f}")


asyncio.run(main())
